import numpy as np
import pytest
from nwb_files import loop_smooth

from companion import catalogue
from companion.maze import GROUPS, open_maze, read_maze
from nerlib.data import DataError
from nerlib.data.nwb import open_nwb, trial_column

SHORT = "1 too short for 100 bins of 0.005 s"  # the fifth trial of the file made by hand


def test_read_maze(write_nwb, maze):
    with pytest.warns(UserWarning, match=f"hand.nwb: left out trials: {SHORT}"):
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
    with pytest.warns(UserWarning, match=SHORT):
        trials = [np.unique(read_maze(path, **choice).trial).tolist() for choice in chosen]
    assert trials == [[0, 1, 3], [1, 2, 3], [0, 3]]
    with pytest.raises(DataError, match=r"hand.nwb: no trial has trial_type = 99; there are \[13, 37, 38\]"):
        read_maze(path, trial_types=99)
    with pytest.raises(
        DataError, match=r"1 of 5 trials usable, need 2; left out: 3 not selected by .* 1 too short"
    ):
        read_maze(path, versions=0)


def test_read_maze_warns_of_trials_without_a_target(write_nwb, maze):
    maze["trials"]["active_target"] = [0, 7, 1, 0, 0]
    with pytest.warns(UserWarning, match=f"{SHORT}, 1 without target_pos"):
        assert read_maze(write_nwb(**maze)).n_trials == 3


@pytest.mark.parametrize("column", ["trial_version", "target_pos", "active_target", "move_onset_time"])
def test_read_maze_says_which_column_is_missing(write_nwb, maze, column):
    del maze["trials"][column]
    with pytest.raises(
        DataError, match=f"the trials table has no column '{column}'; it has start_time, stop_time"
    ):
        read_maze(write_nwb(**maze), versions=[0, 1])


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


def test_groups_are_of_the_types_and_versions_asked_for(write_nwb, maze, monkeypatch):
    n, start = 63, 0.15 * np.arange(63)  # three trials of each type and version
    columns = {"start_time": start, "stop_time": start + 2.0, "move_onset_time": start + 0.8}
    columns |= {
        "trial_type": np.resize([1, 13, 18, 31, 34, 37, 38], n),
        "trial_version": np.repeat([0, 1, 2], 21),
    }
    columns |= {"target_pos": [[[100.0, 0.0]]] * n, "active_target": np.zeros(n, int)}
    path = write_nwb(**maze | {"trials": columns})
    monkeypatch.setattr("companion.catalogue.find_file", lambda name: path)
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
        raise catalogue.Unavailable("not available")

    monkeypatch.setattr("companion.catalogue.find_file", absent)
    groups, _, reason = open_maze("recorded", n_trials=160)
    assert reason == "not available" and all(session.simulated for session in groups.values())
