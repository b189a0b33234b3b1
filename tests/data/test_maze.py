import h5py
import numpy as np
import pytest
from test_preprocess import loop_smooth

from nerlib.data import DataError, open_maze, read_maze, write_simulated
from nerlib.data.maze import GROUPS, read_maze_rates
from nerlib.data.nwb import open_nwb, trial_column
from nerlib.data.registry import Unavailable


@pytest.fixture
def maze():
    """Five MC_Maze trials of 2 s; hand velocity in mm/s, stored as m/s with a conversion, 1 kHz."""
    rng = np.random.default_rng(5)
    start = 0.5 + 2.5 * np.arange(5)
    targets = [
        [[100.0, 0.0]],
        [[0.0, 80.0], [-70.0, 70.0], [30.0, -40.0]],
        [[1.0, 1.0], [0.0, -90.0]],
        [[-100.0, 0.0]],
        [[50.0, 50.0]],
    ]
    trials = {
        "start_time": start,
        "stop_time": start + 2.0,
        "move_onset_time": start + np.array([0.8, 0.9, 1.55, 0.06, 1.6]),  # the last is too late
        "trial_type": [13, 37, 38, 13, 13],
        "trial_version": [0, 2, 1, 1, 0],
        "target_pos": targets,
        "active_target": [0, 1, 1, 0, 0],
    }
    spikes = [np.sort(rng.uniform(0, 13, n)) for n in (600, 200, 90)]
    velocity, times = rng.normal(0, 100, (13000, 2)), np.arange(13000) / 1000
    more = {"conversion": 0.001, "unit": "m/s", "groups": ["PMd", "PMd", "M1"], "maze": True}
    return {"spikes": spikes, "trials": trials, "velocity": velocity, "times": times, **more}


def test_read_maze(write_nwb, maze):
    session = read_maze(write_nwb(**maze))
    np.testing.assert_array_equal(session.trial, np.repeat([0, 1, 2, 3], 100))
    np.testing.assert_array_equal(session.direction, np.repeat([0, 135, 270, 180], 100))
    assert session.bin_width == 0.005 and session.area == "M1+PMd" and session.rates.shape == (400, 3)
    for i in range(4):
        start, stop, onset = (maze["trials"][c][i] for c in ("start_time", "stop_time", "move_onset_time"))
        first = onset - 0.05
        before, after = int((first - start) / 0.005 + 1e-4), int((stop - first) / 0.005 + 1e-4)
        edges = first + 0.005 * np.arange(-before, after + 1) - 1e-7
        counts = np.column_stack([np.histogram(s, edges)[0] for s in maze["spikes"]])
        expected = loop_smooth(counts, 10, 30)[before : before + 100]
        np.testing.assert_allclose(session.rates[100 * i : 100 * i + 100], expected, atol=1e-12)
        sample = round(first * 1000)
        moved = maze["velocity"][sample : sample + 500].reshape(100, 5, 2).mean(axis=1)
        np.testing.assert_allclose(session.velocity[100 * i : 100 * i + 100], moved)


def test_read_maze_selects_types_and_versions(write_nwb, maze):
    path = write_nwb(**maze)
    chosen = {"trial_types": [13, 37]}, {"versions": [1, 2]}, {"trial_types": 13, "versions": [0, 1]}
    trials = [np.unique(read_maze(path, **choice).trial).tolist() for choice in chosen]
    assert trials == [[0, 1, 3], [1, 2, 3], [0, 3]]
    with pytest.raises(DataError, match=r"hand.nwb: no trial has trial_type = 99; there are \[13, 37, 38\]"):
        read_maze(path, trial_types=99)
    with pytest.raises(
        DataError, match=r"1 of 5 trials usable, need two; left out: 3 not as asked .* 1 too short"
    ):
        read_maze(path, versions=0)


def test_read_maze_warns_of_trials_without_a_target(write_nwb, maze):
    maze["trials"]["active_target"] = [0, 7, 1, 0, 0]
    with pytest.warns(UserWarning, match="1 without move_onset_time or target"):
        assert read_maze(write_nwb(**maze)).n_trials == 3


@pytest.mark.parametrize("column", ["trial_version", "target_pos", "active_target", "move_onset_time"])
def test_read_maze_says_which_column_is_missing(write_nwb, maze, column):
    del maze["trials"][column]
    with pytest.raises(
        DataError, match=f"the trials table has no column '{column}'; it has start_time, stop_time"
    ):
        read_maze(write_nwb(**maze), versions=[0, 1])


def test_rates_alone_are_those_of_read_maze(write_nwb, maze):
    path = write_nwb(**maze)
    rates, trial = read_maze_rates(path)
    session = read_maze(path)
    np.testing.assert_array_equal(rates, session.rates)
    np.testing.assert_array_equal(trial, session.trial)
    maze["trials"]["move_onset_time"] = maze["trials"]["stop_time"]
    with pytest.raises(DataError, match="none of 5 trials holds −50…450 ms"):
        read_maze_rates(write_nwb(**maze))


@pytest.fixture
def recorded_file(data_folder):
    path = data_folder / "nwb" / "sub-Jenkins_ses-small_desc-test_ecephys.nwb"
    if not path.is_file():
        pytest.skip(f"{path.name} is not in the data folder")
    return path


def test_the_recorded_file(recorded_file):
    """The schema as published: rates against the spikes that h5py reads, smoothed by a loop."""
    rates, trial = read_maze_rates(recorded_file)
    assert rates.shape == (100 * 100, 107)
    np.testing.assert_array_equal(trial, np.repeat(np.arange(100), 100))
    with h5py.File(recorded_file) as file:
        spikes = np.split(file["units/spike_times"][:], file["units/spike_times_index"][:-1])
        onset = file["intervals/trials/move_onset_time"][:]
        start = file["intervals/trials/start_time"][:]
    for number in (
        0,
        57,
        99,
    ):  # trials of 0.7 s whose onset is after 0.25 s: 40 bins before the window, none after
        edges = onset[number] - 0.05 + 0.005 * np.arange(-40, 101) - 1e-7
        assert edges[0] == pytest.approx(start[number], abs=1e-6)
        counts = np.column_stack([np.histogram(times, edges)[0] for times in spikes])
        expected = loop_smooth(counts, 10, 30)[40:]
        np.testing.assert_allclose(rates[trial == number], expected, atol=1e-12)


def test_the_recorded_file_has_no_behaviour(recorded_file):
    with pytest.raises(
        DataError, match="desc-test_ecephys.nwb: no 'behavior' .* in the file; it has acquisition"
    ):
        read_maze(recorded_file)


def test_groups_of_the_paper_from_the_simulator():
    groups, versions, reason = open_maze("simulated", n_trials=200)
    assert not reason and list(groups) == list(GROUPS)
    assert all(session.simulated and session.n_trials >= 5 for session in groups.values())
    assert {version for s in groups.values() for version in versions[s.trial]} == {0, 1, 2}
    apart = [groups["curve-straight", kind].n_trials for kind in ("13", "38", "18")]
    assert groups["curve-straight", "13 38 18"].n_trials == sum(apart)
    assert groups["curve-up-down", "34 18"].name == "SimMaze curve-up-down 34 18"
    with pytest.raises(ValueError, match="'real'"):
        open_maze("real")


def test_groups_are_of_the_types_and_versions_asked_for(tmp_path, monkeypatch):
    path = tmp_path / "maze.nwb"
    write_simulated(path, n_trials=160, task="maze")
    monkeypatch.setattr("nerlib.data.registry.fetch", lambda name: path)
    groups, of_trial, reason = open_maze("recorded")
    with open_nwb(path) as nwb:
        kinds, versions = (trial_column(nwb, name) for name in ("trial_type", "trial_version"))
    assert of_trial.tolist() == np.asarray(versions).tolist()
    for (task, types), lowest in GROUPS.items():
        rows = np.unique(groups[task, types].trial)
        wanted = np.isin(kinds, [int(kind) for kind in types.split()]) & (np.asarray(versions) >= lowest)
        assert not reason and rows.tolist() == np.flatnonzero(wanted).tolist()


def test_the_simulator_stands_in_with_a_reason(monkeypatch, tmp_path):
    def absent(name):
        raise Unavailable("not to be had")

    monkeypatch.setattr("nerlib.data.registry.fetch", absent)
    groups, _, reason = open_maze("recorded", n_trials=160)
    assert reason == "not to be had" and all(session.simulated for session in groups.values())
