import numpy as np
import pytest
from nwb_files import loop_smooth

from companion import catalogue
from companion.catalogue import load_session
from companion.maze import GROUPS, open_maze
from nerlib.data import DataError
from nerlib.data.nwb import open_nwb, trial_column

SHORT = "1 too short for 100 bins of 0.005 s"  # the fifth trial of the file made by hand


@pytest.fixture
def write_maze(write_nwb, monkeypatch):
    """A function that writes a file, which is then that of MC_Maze."""

    def write(**content):
        path = write_nwb(**content)
        monkeypatch.setattr("companion.catalogue.find_file", lambda name: path)
        return path

    return write


def test_maze_is_read_as_in_the_paper(write_maze, maze):
    write_maze(**maze)
    with pytest.warns(UserWarning, match=f"hand.nwb: left out trials: {SHORT}"):
        session = load_session("MC_Maze")
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


def test_trials_without_a_target_are_left_out_with_a_warning(write_maze, maze):
    maze["trials"]["active_target"] = [0, 7, 1, 0, 0]
    write_maze(**maze)
    with pytest.warns(UserWarning, match=f"{SHORT}, 1 without target_pos"):
        assert load_session("MC_Maze").n_trials == 3


@pytest.mark.parametrize("column", ["trial_version", "target_pos", "active_target", "move_onset_time"])
def test_a_missing_column_is_named(write_maze, maze, column):
    del maze["trials"][column]
    write_maze(**maze)
    with pytest.raises(
        DataError, match=f"the trials table has no column '{column}'; it has start_time, stop_time"
    ):
        open_maze("recorded")


def test_half_of_the_groups_come_from_the_simulator():
    groups, versions, reason = open_maze("simulated")
    straight, curved = (
        [types for task, types in groups if task == name] for name in ("curve-straight", "curve-up-down")
    )
    assert not reason and set(groups) < set(GROUPS)
    assert straight == ["13", "13 38 18"] and curved == ["37 1", "37 1 31 38 34 18"]
    assert all(session.simulated and session.n_trials >= 5 for session in groups.values())
    assert {version for s in groups.values() for version in versions[s.trial]} == {0, 1, 2}
    for task, one, many in (("curve-straight", *straight), ("curve-up-down", *curved)):
        assert set(groups[task, one].trial) < set(groups[task, many].trial)
    assert groups["curve-up-down", "37 1"].name == "SimMaze curve-up-down 37 1"
    with pytest.raises(ValueError, match="'real'"):
        open_maze("real")


def test_groups_are_of_the_types_and_versions_asked_for(write_maze, maze):
    n, start = 63, 0.15 * np.arange(63)  # three trials of each type and version
    columns = {"start_time": start, "stop_time": start + 2.0, "move_onset_time": start + 0.8}
    columns |= {
        "trial_type": np.resize([1, 13, 18, 31, 34, 37, 38], n),
        "trial_version": np.repeat([0, 1, 2], 21),
    }
    columns |= {"target_pos": [[[100.0, 0.0]]] * n, "active_target": np.zeros(n, int)}
    path = write_maze(**maze | {"trials": columns})
    groups, of_trial, reason = open_maze("recorded")
    with open_nwb(path) as nwb:
        kinds, versions = (trial_column(nwb, name) for name in ("trial_type", "trial_version"))
    assert of_trial.tolist() == np.asarray(versions).tolist()
    for (task, types), lowest in GROUPS.items():
        rows = np.unique(groups[task, types].trial)
        wanted = np.isin(kinds, [int(kind) for kind in types.split()]) & (np.asarray(versions) >= lowest)
        assert not reason and rows.tolist() == np.flatnonzero(wanted).tolist()


def test_the_simulator_stands_in_with_a_reason(monkeypatch):
    def absent(name):
        raise catalogue.Unavailable("not available")

    monkeypatch.setattr("companion.catalogue.find_file", absent)
    groups, _, reason = open_maze("recorded")
    assert reason == "not available" and all(session.simulated for session in groups.values())
