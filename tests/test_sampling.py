"""Positives against all-pairs search, and windows that stay within their trial."""

import numpy as np
import pytest

from nerlib.sampling import _movement, history, pairs


def labels_of(n=60, seed=0):
    rng = np.random.default_rng(seed)
    return np.column_stack([np.cumsum(rng.normal(size=(n, 2)), axis=0), 45.0 * rng.integers(0, 8, n)])


def drawn(labels, n_batches=40, periods=(None, None, 360.0), trial=None):
    source = pairs(labels, batch_size=50, rng=np.random.default_rng(1), periods=periods, trial=trial)
    reference, positive = zip(*(next(source) for _ in range(n_batches)), strict=True)
    return np.concatenate(reference), np.concatenate(positive)


def test_positive_is_nearest_to_reference_plus_one_step():
    labels = labels_of()
    velocity, trial = labels[:, :2], np.repeat(np.arange(6), 10)
    steps = (velocity[1:] - velocity[:-1])[trial[1:] == trial[:-1]]
    reachable = {}
    for i in range(len(velocity)):
        target = velocity[i] + steps
        distance = np.linalg.norm(target[:, None] - velocity[None], axis=2)
        reachable[i] = set(distance.argmin(axis=1))
    for reference, positive in zip(*drawn(labels, trial=trial), strict=True):
        assert positive in reachable[reference]


def test_references_cover_all_bins_evenly():
    reference, _ = drawn(labels_of(), n_batches=400)
    counts = np.bincount(reference, minlength=60)
    assert abs(counts - counts.mean()).max() < 5 * np.sqrt(counts.mean())


def test_steps_do_not_cross_trials():
    velocity = np.r_[np.zeros(5), np.full(5, 1000.0)][:, None]
    reference, positive = drawn(velocity, trial=np.repeat([0, 1], 5), periods=(None,))
    assert np.array_equal(reference < 5, positive < 5)
    reference, positive = drawn(velocity, periods=(None,))
    assert not np.array_equal(reference < 5, positive < 5)


def test_same_seed_same_batches():
    first, second = drawn(labels_of()), drawn(labels_of())
    assert np.array_equal(first, second)


def test_direction_alone_is_compared_on_the_circle():
    circle = _movement(np.array([[0.0], [359.0], [180.0]]), (360.0,), None)
    assert np.linalg.norm(circle[0] - circle[1]) == pytest.approx(1.0, rel=1e-3)
    assert np.linalg.norm(circle[0] - circle[2]) == pytest.approx(360 / np.pi)


def test_only_columns_that_count_choose_the_positive():
    labels = labels_of()
    periods = (None, None, 360.0)
    circle = _movement(labels[:, 2:], (360.0,), None)
    assert np.array_equal(_movement(labels, periods, (0, 0, 1)), circle)
    assert np.array_equal(_movement(labels, periods, (0, 2, 1)), 2 * labels[:, 1:2])
    with pytest.raises(ValueError, match="no label column counts"):
        _movement(labels, periods, (0, 0, 0))


def test_no_time_step_is_refused():
    with pytest.raises(ValueError, match="3 sample\\(s\\) hold no time step"):
        next(pairs(np.zeros((3, 2)), batch_size=2, rng=np.random.default_rng(0), trial=np.arange(3)))


def test_windows_stop_at_the_trials_first_bin():
    trial = np.array([4, 4, 4, 7, 7])
    bins = np.arange(5)
    expected = [[0, 0, 0], [1, 0, 0], [2, 1, 0], [3, 3, 3], [4, 3, 3]]
    assert history(trial, 5, 3)(bins).tolist() == expected
    assert history(None, 5, 3)(bins).tolist() == [[0, 0, 0], [1, 0, 0], [2, 1, 0], [3, 2, 1], [4, 3, 2]]
