import sys

import numpy as np
import pytest
from sklearn.linear_model import RidgeCV

from nerlib.data import simulate_recording, simulate_session


@pytest.fixture(scope="module")
def sessions():
    return {area: simulate_session(0, area) for area in ("M1", "PMd", "S1")}


def test_sessions_are_marked_and_shaped_like_recorded_ones(sessions):
    for (area, session), neurons, n_bins in zip(sessions.items(), (65, 90, 60), (40, 40, 35), strict=True):
        assert session.simulated and session.monkey == "Sim" and session.area == area
        assert session.name == f"Sim_{area}_day000" and session.date == "20000101"
        assert session.n_trials == 170 and session.rates.shape == (170 * n_bins, neurons)
        directions, counts = np.unique(session.direction, return_counts=True)
        np.testing.assert_array_equal(directions, np.arange(0, 360, 45))
        assert counts.min() > 0.7 * counts.max()
        assert 0.15 < session.rates.mean() < 0.5  # spikes per 30 ms bin
        speed = np.linalg.norm(session.velocity, axis=1).reshape(170, n_bins)
        assert 15 <= speed.mean(axis=0).argmax() <= 18
        assert 240 < np.median(speed.max(axis=1)) < 300 and speed.max(axis=1).std() > 10
        assert speed[:, :4].mean() < 20  # still at rest when the go cue is given
        reach = np.add.reduceat(session.velocity, session.trial_starts) * 0.03
        assert 70 < np.median(np.linalg.norm(reach, axis=1)) < 90
        angle = np.degrees(np.arctan2(*reach.T[::-1])) - session.direction[session.trial_starts]
        assert np.abs((angle + 180) % 360 - 180).max() < 30


def test_rates_tell_the_velocity_but_not_perfectly(sessions):
    for area, least in (("M1", 0.5), ("PMd", 0.4), ("S1", 0.5)):
        train, test = sessions[area].split()
        ridge = RidgeCV(np.logspace(-2, 4, 13)).fit(train.rates, train.velocity)
        assert least < ridge.score(test.rates, test.velocity) < 0.7


def test_preparation_is_in_pmd_and_not_in_s1(sessions):
    """At the go cue, before any movement, direction explains much of PMd's rates, and nothing of S1's."""

    def explained(session):
        first = session.rates[session.trial_starts]
        direction = session.direction[session.trial_starts]
        means = np.array([first[direction == d].mean(axis=0) for d in np.arange(0, 360, 45)])
        return means[(direction / 45).astype(int)].var(axis=0).sum() / first.var(axis=0).sum()

    chance = 7 / 169  # eight means of unrelated trials
    assert explained(sessions["PMd"]) > 3 * chance
    assert explained(sessions["S1"]) < 1.5 * chance


def test_areas_share_the_movements_of_a_day(sessions):
    np.testing.assert_array_equal(sessions["M1"].velocity, sessions["PMd"].velocity)


def test_same_arguments_same_bits_other_arguments_other_sessions():
    small = {"n_trials": 8, "n_neurons": 5}
    digest = simulate_session(3, "M1", **small).digest
    assert simulate_session(3, "M1", **small).digest == digest
    others = [simulate_session(4, "M1", **small), simulate_session(3, "PMd", **small)]
    others.append(simulate_session(3, "M1", day=1, **small))
    assert len({digest, *(other.digest for other in others)}) == 4


def test_neurons_come_and_go_over_days():
    rates = {}
    for day in (0, 1, 60, 400):
        session, _, neurons = simulate_recording(1, "M1", day=day)
        rates[day] = dict(zip(neurons.tolist(), session.rates.mean(axis=0), strict=True))
    shared = [len(rates[0].keys() & rates[day].keys()) for day in (1, 60, 400)]
    assert 60 < shared[0] <= 65 and shared[0] > shared[1] > shared[2] > 5
    same = [(rates[0][unit], rates[1][unit]) for unit in rates[0].keys() & rates[1].keys()]
    assert np.corrcoef(np.transpose(same))[0, 1] > 0.98  # the neurons that stay are the same neurons


def test_failed_trials_are_in_the_table_and_not_in_the_session():
    session, trials, _ = simulate_recording(0, "M1", n_trials=20, n_neurons=4)
    rewarded, go = trials["rewarded"], trials["go_cue_time"]
    assert len(rewarded) == 21 and np.isnan(go[~rewarded]).all() and rewarded.sum() == 20
    assert np.unique(session.trial).tolist() == np.flatnonzero(rewarded).tolist()


def test_the_simulator_needs_no_pynwb(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynwb", None)
    assert simulate_session(n_trials=2, n_neurons=3).n_trials == 2


def test_sessions_are_those_of_earlier_versions():
    """Up to rounding, which differs between processors."""
    session = simulate_session(0, "M1")
    rates, velocity = session.rates, session.velocity
    found = [rates.sum(), (rates**2).sum(), np.abs(velocity).sum(), (velocity * rates[:, :2]).sum()]
    assert found == pytest.approx([156300.587146, 120201.088808, 621643.698381, 18815.4712925], rel=1e-9)


def test_maze():
    session, trials, _ = simulate_recording(0, "M1", task="maze", n_trials=60)
    assert session.simulated and session.name == "SimMaze_M1_day000" and session.area == "M1"
    assert session.rates.shape == (60 * 100, 65) and session.bin_width == 0.005
    assert set(trials["trial_type"]) <= {1, 13, 18, 31, 34, 37, 38}
    straight, curved = (
        session.select(chosen) for chosen in (trials["trial_version"] == 0, trials["trial_version"] > 0)
    )
    assert straight.n_trials + curved.n_trials == 60

    def path_over_distance(s):
        steps = s.velocity.reshape(s.n_trials, 100, 2) * 0.005
        return np.median(
            np.linalg.norm(steps, axis=2).sum(axis=1) / np.linalg.norm(steps.sum(axis=1), axis=1)
        )

    assert path_over_distance(straight) < 1.1 < 1.2 < path_over_distance(curved)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"area": "V1"}, "area must be M1, PMd or S1, got 'V1'"),
        ({"task": "pinball"}, "task must be .* got 'pinball'"),
        ({"n_trials": 1}, "need n_trials >= 2.* got 1, 65, 0"),
        ({"day": -1}, "day >= 0; got 170, 65, -1"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        simulate_session(**options)


def test_causal_smoothing_sees_no_spike_to_come():
    published, causal = (simulate_session(n_trials=4, smoothing=name) for name in ("published", "causal"))
    np.testing.assert_array_equal(published.velocity, causal.velocity)
    first = published.rates.reshape(4, 40, -1), causal.rates.reshape(4, 40, -1)
    later = np.abs(first[0][:, 4:].sum() - first[1][:, 4:].sum()) / first[0].sum()
    assert 0 < later < 0.1 and not np.allclose(*first)
    with pytest.raises(ValueError, match="smoothing must be"):
        simulate_session(smoothing="none")
