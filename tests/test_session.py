"""Session: what it refuses, how it splits, averages and permutes."""

import pickle
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
from toy import make_session

from nerlib import Session


def changed(session, field, index, value):
    values = getattr(session, field).copy()
    values[index] = value
    return replace(session, **{field: values})


def test_split_is_by_trial_and_in_time_order(session):
    train, test = session.split()
    assert (train.n_trials, test.n_trials) == (32, 8)
    assert train.trial.max() < test.trial.min()
    assert np.array_equal(np.concatenate([train.rates, test.rates]), session.rates)
    assert [part.n_trials for part in session.split(0.55)] == [22, 18]


@pytest.mark.parametrize("n_trials", [168, 172, 208])
def test_split_rounds_down_as_the_published_scores_show(n_trials):
    train, _ = make_session(n_trials, n_bins=2).split()
    assert train.n_trials == int(0.8 * n_trials)


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5])
def test_split_needs_a_share_between_0_and_1(session, share):
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        session.split(share)


def test_one_trial_cannot_be_split():
    with pytest.raises(ValueError, match="1 trials cannot be split"):
        make_session(n_trials=1).split()


def test_labels_hold_velocity_and_direction(session):
    assert session.labels.shape == (640, 3)
    assert np.array_equal(session.labels[:, 2], session.direction)


def test_trials_of_unequal_length(session):
    kept = np.ones(len(session.trial), bool)
    kept[5:16] = False  # the first trial keeps 5 bins
    arrays = {f: getattr(session, f)[kept] for f in ("rates", "velocity", "direction", "trial")}
    short = replace(session, **arrays)
    assert short.trial_lengths[:2].tolist() == [5, 16]
    assert short.bin_in_trial[:7].tolist() == [0, 1, 2, 3, 4, 0, 1]
    assert short.average_by_direction(short.rates)[1].shape == (8, 5, 10)


def test_average_by_direction_equals_a_loop(session):
    directions, averages = session.average_by_direction(session.velocity)
    by_trial = session.velocity.reshape(40, 16, 2)
    for direction, average in zip(directions, averages, strict=True):
        trials = session.direction.reshape(40, 16)[:, 0] == direction
        assert np.allclose(average, by_trial[trials].mean(axis=0))


def test_permuted_movements_are_those_of_other_trials(session):
    shuffled = session.permute_movements(seed=1)
    assert np.array_equal(shuffled.rates, session.rates)
    assert not np.array_equal(shuffled.direction, session.direction)
    before, after = (np.sort(s.velocity.reshape(40, -1), axis=0) for s in (session, shuffled))
    assert np.array_equal(before, after)
    assert np.array_equal(shuffled.velocity, session.permute_movements(seed=1).velocity)
    speed = np.linalg.norm(shuffled.velocity, axis=1)
    assert np.allclose(speed, np.linalg.norm(session.velocity, axis=1))  # the course in time stays


def test_digest_tells_content_apart(session):
    assert session.digest == replace(session, rates=session.rates.copy()).digest
    others = [
        changed(session, "rates", (3, 2), 9.0),
        replace(session, area="PMd"),
        replace(session, simulated=True),
        session.select(slice(0, 39)),
    ]
    assert len({s.digest for s in [session, *others]}) == 5
    width = np.float64(session.bin_width)
    same = replace(session, bin_width=width, name=np.str_(session.name), simulated=np.False_)
    assert same.digest == session.digest


def test_simulated_is_shown(session):
    assert "SIMULATED" in repr(replace(session, simulated=True))
    assert "SIMULATED" not in repr(session)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("rates", np.zeros((640, 0)), r"rates must be \(bins, neurons\)"),
        ("rates", np.zeros(640), r"rates must be \(bins, neurons\), neither of them 0; got \(640,\)"),
        ("rates", np.full((640, 2), "x"), "rates must hold numbers"),
        (
            "velocity",
            np.zeros((639, 2)),
            r"rates have 640 bins, so velocity must be \(640, k\) with k >= 1; got \(639, 2\)",
        ),
        ("direction", np.zeros((640, 1)), r"direction must be \(640,\)"),
        ("direction", np.full(640, 360.0), r"direction must be in \[0, 360\) degrees, got 360 to 360"),
        ("trial", np.zeros(640), "trial must hold integers"),
        ("trial", np.arange(640) % 40, "some trials are scattered"),
        ("bin_width", 0.0, "bin_width must be positive"),
        ("bin_width", 30, "bin_width must be positive seconds, less than 5, got 30"),
        ("trial", None, "direction changes within a trial; .* trial= says which a bin belongs to"),
    ],
)
def test_bad_arrays_are_refused(session, field, value, message):
    with pytest.raises(ValueError, match=message):
        replace(session, **{field: value})


@pytest.mark.parametrize("field", ["rates", "velocity", "direction"])
def test_nan_is_refused_and_located(session, field):
    with pytest.raises(ValueError, match=f"{field} has 1 NaN or infinite values, first at index \\(7,"):
        changed(session, field, 7, np.nan) if field == "direction" else changed(
            session, field, (7, 1), np.inf
        )


def test_arrays_are_copies_that_nobody_can_change():
    rates, velocity, trial = np.ones((6, 2)), np.zeros((6, 2)), np.repeat([0, 1], 3)
    session = Session(rates, velocity, trial=trial)
    digest, rates[0, 0], velocity[0, 0], trial[0] = session.digest, 9.0, 9.0, 1
    assert session.rates.max() == 1 and session.velocity.max() == 0 and session.trial[0] == 0
    assert replace(session, name=session.name).digest == digest
    for field in ("rates", "velocity", "trial"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(session, field)[0] = 5
    assert session.labels.flags.writeable  # a new array each time
    for copy in (pickle.loads(pickle.dumps(session)), deepcopy(session)):
        assert copy.digest == digest and not any(a.flags.writeable for a in (copy.rates, copy.trial))


@pytest.mark.parametrize("k", [1, 2, 3])
def test_directions_and_trials_are_optional_and_velocity_has_any_number_of_columns(session, k):
    velocity = np.column_stack([session.velocity, session.velocity[:, 0]])[:, :k]
    free = Session(session.rates, velocity, trial=session.trial)
    assert free.direction is None and free.periods == (None,) * k and free.labels.shape == (640, k)
    assert replace(session, velocity=velocity).periods == (None,) * k + (360.0,)
    train, test = free.split()
    assert (train.n_trials, test.n_trials) == (32, 8) and train.direction is None
    permuted = free.permute_movements(1)
    assert permuted.direction is None and permuted.velocity.shape == (640, k)
    assert len({free.digest, session.digest, train.digest}) == 3
    with pytest.raises(ValueError, match="session has no directions to average over"):
        free.average_by_direction(free.rates)
    one = Session(session.rates, velocity)
    assert one.n_trials == 1
    with pytest.raises(ValueError, match="1 trials cannot be split"):
        one.split()


def test_the_digest_is_that_of_earlier_versions(session):
    """Kept results name sessions by their digest."""
    assert session.digest == "043ac5a05ce199be02d0785aaed45d4a8888deff22fbbe0b50ed951bf261d1bf"


def test_direction_must_not_change_within_a_trial(session):
    with pytest.raises(ValueError, match="direction changes within a trial"):
        changed(session, "direction", 3, 90.0)
