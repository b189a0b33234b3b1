"""Scores against values worked out by hand, and the two protocols against each other."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import r2_score
from toy import make_session

from nerlib import metrics


def test_position_restarts_with_each_trial():
    session = make_session(n_trials=2, n_bins=3)
    velocity = np.array([[10.0, 0], [20, 0], [0, 10], [5, 5], [0, 0], [5, -5]])
    expected = 0.03 * np.array([[10.0, 0], [30, 0], [30, 10], [5, 5], [5, 5], [10, 0]])
    assert np.allclose(metrics.position(velocity, session), expected)


def test_accuracy_over_time_by_hand():
    session = make_session(n_trials=4, n_bins=2)  # directions 0, 45, 90, 135
    decoded = np.array([0.0, 0, 45, 90, 90, 90, 0, 135])
    assert metrics.accuracy_over_time(decoded, session).tolist() == [0.75, 0.75]
    decoded[1] = 45
    assert metrics.accuracy_over_time(decoded, session).tolist() == [0.75, 0.5]


def test_the_best_bin_is_one_that_all_trials_reach_and_of_equals_the_middle():
    session = make_session(n_trials=8, n_bins=6)
    right = np.zeros((8, 6))
    right[:, 1:4] = 1
    direction = np.where(right.ravel(), session.direction, -1)
    assert metrics.peak_bin(direction, session) == 2
    keep = np.r_[0:3, 6 : len(direction)]  # the first trial ends after three bins, the other seven go on
    fields = {name: getattr(session, name)[keep] for name in ("rates", "velocity", "direction", "trial")}
    ragged = replace(session, **fields)
    late = np.where(ragged.bin_in_trial == 5, ragged.direction, -1)
    assert metrics.peak_bin(late, ragged) < 3
    assert (
        metrics.score(ragged.velocity, late, ragged, held_out=False)["published"]["direction_accuracy"] == 0
    )


def test_without_directions_there_is_no_accuracy(session):
    free = replace(session, direction=None)
    for call in (metrics.accuracy_over_time, metrics.peak_bin):
        with pytest.raises(ValueError, match="Toy has no directions to compare with"):
            call(np.zeros(640), free)
    scores = metrics.score(free.velocity, None, free, held_out=True)
    assert scores["corrected"] == {"velocity_r2": 1, "position_r2": 1}


def test_the_two_protocols(session):
    rng = np.random.default_rng(0)
    velocity = 0.5 * session.velocity + 40 * rng.normal(size=session.velocity.shape)
    direction = np.where(rng.random(640) < 0.5, session.direction, 0.0)
    scores = metrics.score(velocity, direction, session, held_out=True, peak_bin=3)
    over_time = metrics.accuracy_over_time(direction, session)
    assert scores["corrected"]["velocity_r2"] == pytest.approx(r2_score(session.velocity, velocity))
    assert scores["published"]["velocity_r2"] == pytest.approx(r2_score(velocity, session.velocity))
    assert scores["published"]["velocity_r2"] < scores["corrected"]["velocity_r2"]
    assert scores["corrected"]["direction_accuracy"] == over_time[3]
    assert scores["published"]["direction_accuracy"] == over_time.max() > over_time[3]
    assert scores["published"]["position_r2"] == scores["corrected"]["position_r2"]


def test_protocols_agree_on_training_data(session):
    velocity = session.velocity + np.random.default_rng(0).normal(size=session.velocity.shape)
    scores = metrics.score(velocity, session.direction, session, held_out=False)
    assert scores["published"] == scores["corrected"]
    assert scores["corrected"]["direction_accuracy"] == 1


def test_bad_input_is_refused(session):
    with pytest.raises(ValueError, match="must match the session's"):
        metrics.score(session.velocity[1:], session.direction, session, held_out=False)
    with pytest.raises(ValueError, match="needs peak_bin"):
        metrics.score(session.velocity, session.direction, session, held_out=True)


def test_consistency_by_construction():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(8, 40, 3))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    assert metrics.consistency(a, 5 * a @ turn + [1, 2, 3]) == pytest.approx(1)
    noisy = a + 0.5 * rng.normal(size=a.shape)
    assert metrics.consistency(a, noisy) == pytest.approx(metrics.consistency(noisy, a))
    assert metrics.consistency(a, noisy) == pytest.approx(1 / 1.25, abs=0.03)
    assert metrics.consistency(a, rng.normal(size=a.shape)) < 0.05
    with pytest.raises(ValueError, match=r"one shape; got \(8, 40, 3\) and \(8, 39, 3\)"):
        metrics.consistency(a, a[:, 1:])
    with pytest.raises(ValueError, match="vary"):
        metrics.consistency(a, np.ones_like(a))


def template_session(spread, seed=0):
    """Reaches that are the template of their direction, and a trial's own gain times ``spread``."""
    session = make_session(noise=0, n_trials=80)
    gain = 1 + spread * np.random.default_rng(seed).normal(size=80)
    return replace(session, velocity=session.velocity * gain[session.trial][:, None])


def test_average_reaches_say_nothing_of_single_trials():
    """Alone they explain everything and no single trial; with single-trial variation they score 0, too."""
    session = template_session(0)
    assert metrics.score(session.velocity, session.direction, session, held_out=False)["corrected"] == {
        "velocity_r2": 1.0, "position_r2": 1.0, "direction_accuracy": 1.0,
        "single_trial_r2": 0.0, "single_trial_correlation": 0.0,
    }  # fmt: skip
    varied = template_session(0.3)
    found = metrics.single_trial(session.velocity, varied)
    assert found == {"single_trial_r2": pytest.approx(0, abs=1e-9), "single_trial_correlation": 0.0}


def test_single_trials_are_scored_beyond_their_average():
    session = template_session(0.3)
    directions, averages = session.average_by_direction(session.velocity)
    average = averages[np.searchsorted(directions, session.direction), session.bin_in_trial]
    own = session.velocity - average
    assert metrics.single_trial(session.velocity, session)["single_trial_r2"] == pytest.approx(1)
    half = metrics.single_trial(average + own / 2, session)
    assert half == {"single_trial_r2": pytest.approx(0.75), "single_trial_correlation": pytest.approx(1)}
    wrong = metrics.single_trial(average - own, session)
    assert wrong == {"single_trial_r2": pytest.approx(-3), "single_trial_correlation": pytest.approx(-1)}
    shifted = metrics.single_trial(2 * average + 7 + own, session)  # the average does not count
    assert shifted["single_trial_r2"] == pytest.approx(1)


def test_single_trials_need_directions():
    session = replace(make_session(), direction=None)
    with pytest.raises(ValueError, match="no directions"):
        metrics.single_trial(session.velocity, session)
    assert (
        "single_trial_r2" not in metrics.score(session.velocity, None, session, held_out=False)["corrected"]
    )
