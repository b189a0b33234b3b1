"""Controls break what they say they break, and no more; a leak that is planted is caught by them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from toy import make_session

from companion import control_tables, controls
from nerlib import Ridge, metrics
from nerlib.runs import fit_run, score_run

SEEDS = range(8)


class Leak(Ridge):
    """A method that looks up the true movements, as one does whose test embedding is given the labels."""

    truth: dict = {}

    def fit(self, X, y, trial=None):
        return super().fit(X, y, trial)

    def transform(self, X, trial=None):
        return np.vstack([self.truth[row.tobytes()] for row in X])


def scored(model, session):
    train, test = session.split()
    model.fit(train.rates, train.labels, train.trial)
    return controls.score(train, test, [model.transform(s.rates, s.trial) for s in (train, test)])


def permuted_scores(leaks):
    found, guesses = [], {}
    for seed in SEEDS:
        session = make_session(n_trials=80, seed=seed, name=f"S{seed}").permute_movements(seed)
        model = Leak() if leaks else Ridge(periods=session.periods)
        Leak.truth = {row.tobytes(): v for row, v in zip(session.rates, session.velocity, strict=True)}
        result = scored(model, session)
        guesses[session.name, "M1"] = controls.chance(
            session.split()[1].direction[:: session.trial_lengths[0]]
        )
        found.append({"value": "permuted", "method": "leak", "session": session.name, "area": "M1"} | result)
    return pd.DataFrame(found), guesses


def test_honest_scores_of_permuted_movements_are_at_chance_and_a_planted_leak_is_caught():
    for leaks, expected in ((False, "no better than chance"), (True, "above chance")):
        rows, guesses = permuted_scores(leaks)
        told = control_tables.above_chance(rows, guesses)
        assert told.shape == (1, 2) and told.iloc[0].str.endswith(f": {expected}").all()
    few = control_tables.above_chance(rows[:2], guesses)
    assert few.iloc[0].str.endswith(": undecided").all()


def test_single_trials_that_rates_carry_score_above_zero():
    """Speeds differ from trial to trial; rates that hold the velocity tell by how much."""
    session = make_session(n_trials=80, n_bins=40)
    scale = np.repeat(np.random.default_rng(1).uniform(0.6, 1.4, session.n_trials), session.trial_lengths)
    velocity = session.velocity * scale[:, None]
    weights = np.random.default_rng(2).normal(size=(2, 10)) / 100
    varied = replace(session, velocity=velocity, rates=6 + velocity @ weights)
    told = scored(Ridge(periods=session.periods), varied)
    assert told["single_trial_r2"] > 0.9 and told["onset_r2"] > 0.9
    average = replace(varied, rates=6 + session.velocity @ weights)  # rates of the average reach
    assert scored(Ridge(periods=session.periods), average)["single_trial_r2"] == pytest.approx(0, abs=0.05)


def test_rates_of_other_trials_are_the_same_rates():
    session = make_session()
    moved = controls.shift_by_trials(session)
    assert np.array_equal(moved.velocity, session.velocity)
    assert np.allclose(np.sort(moved.rates, axis=0), np.sort(session.rates, axis=0))
    starts = session.trial_starts
    assert not (moved.rates[starts] == session.rates[starts]).all(axis=1).any()


def test_rates_of_other_times_stay_in_their_trial():
    session = make_session()
    moved = controls.shift_within_trials(session, 0)
    for start, length in zip(session.trial_starts, session.trial_lengths, strict=True):
        own, found = (s.rates[start : start + length] for s in (session, moved))
        lags = [lag for lag in range(length) if np.array_equal(np.roll(own, -lag, axis=0), found)]
        assert len(lags) == 1
    assert len({np.flatnonzero((session.rates == r).all(axis=1))[0] for r in moved.rates[::16]}) > 30


def test_permuted_neurons_keep_the_summed_rate():
    session = make_session()
    for within in ("bin", "trial"):
        found = controls.permute_neurons(session, 0, within=within)
        assert np.allclose(found.rates.sum(axis=1), session.rates.sum(axis=1))
        assert not np.array_equal(found.rates, session.rates)
    same = controls.permute_neurons(session, 0, within="trial").rates[:16]  # of the last one: in one trial
    columns = [np.flatnonzero((session.rates[:16].T == c).all(axis=1)) for c in same.T]
    assert sorted(np.concatenate(columns)) == list(range(10))
    with pytest.raises(ValueError, match='"bin" or "trial"'):
        controls.permute_neurons(session, 0, within="session")


def test_onset_is_where_speed_passes_a_fifth_of_its_peak():
    session = make_session(n_trials=8, n_bins=40)
    late = 5 * (np.arange(8) % 2)  # every other trial begins five bins later
    shift = np.repeat(late, 40)
    rows = np.maximum(np.arange(len(shift)) - shift, np.repeat(session.trial_starts, 40))
    delayed = replace(session, velocity=session.velocity[rows])
    rows, aligned = controls.at_onset(delayed)
    assert aligned.n_trials == 8 and set(aligned.trial_lengths) == {controls.BEFORE + controls.AFTER}
    speed = np.linalg.norm(aligned.velocity, axis=1).reshape(8, -1)
    assert np.allclose(speed, speed[0])
    assert np.array_equal(delayed.velocity[rows], aligned.velocity)
    none, nothing = controls.at_onset(make_session(n_bins=16))  # too short
    assert len(none) == 0 and nothing is None


def test_endpoints():
    session = make_session(n_trials=8)
    true = metrics.position(session.velocity, session)
    assert controls.endpoint_error(true, true, session) == 0
    assert controls.endpoint_error(true + [3.0, 4.0], true, session) == pytest.approx(5)
    perfect = scored(Ridge(periods=session.periods), make_session(n_trials=40, noise=0))
    assert perfect["endpoint"] < 2 and perfect["endpoint_direct"] > 20  # rates hold velocity, not position


def test_confusion_counts_trials_and_neighbours():
    runs = [fit_run(make_session(n_trials=160, noise=3, seed=s), "ridge", name="ridge") for s in (0, 1)]
    directions, counts = controls.confusion(runs)
    assert list(directions) == list(45.0 * np.arange(8)) and counts.sum() == 2 * 32
    assert 32 < np.trace(counts) < 64
    near = np.eye(8, dtype=int) + np.roll(np.eye(8, dtype=int), 1, axis=1)
    assert controls.neighbour_share(directions, near) == 1
    assert controls.neighbour_share(directions, np.roll(np.eye(8, dtype=int), 4, axis=1)) == 0
    assert np.isnan(controls.neighbour_share(directions, np.eye(8, dtype=int)))


def test_wrong_directions_are_those_that_the_score_misses():
    run = fit_run(make_session(n_trials=160, noise=3), "ridge", name="ridge")
    found = controls.wrong_directions(run)
    (scores,) = [r for r in score_run(run) if (r["split"], r["protocol"]) == ("test", "corrected")]
    assert found["wrong"] == pytest.approx(1 - scores["direction_accuracy"]) and 0 < found["wrong"] < 1
    assert found["neighbour"] == controls.neighbour_share(*controls.confusion([run])) > 2 / 7
    assert found["session"] == run.session.name


def test_averages_explain_what_is_alike():
    session = make_session()
    assert controls.share_of_averages(session) == pytest.approx(1)
    rng = np.random.default_rng(0)
    noise = session.velocity.std() * rng.normal(size=session.velocity.shape)
    mixed = replace(session, velocity=session.velocity + noise)
    assert 0.5 < controls.share_of_averages(mixed) < 0.7  # five trials an average


def test_folds_hold_out_each_trial_once_in_time_order():
    session = make_session(n_trials=23)
    held = [test.trial[test.trial_starts] for _, test in controls.folds(session)]
    assert np.array_equal(np.concatenate(held), np.arange(23))
    assert {len(h) for h in held} == {4, 5}
    for train, test in controls.folds(session):
        assert not set(train.trial) & set(test.trial)
