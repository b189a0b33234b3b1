"""`describe_nwb` lists the names that `read_nwb` takes, with what is behind them."""

import numpy as np
import pytest

from nerlib.data import DataError, describe_nwb, read_nwb
from nerlib.data._series import all_series, read_velocity
from nerlib.data.nwb import open_nwb


def listed(path, part):
    table = describe_nwb(path)
    rows = table[table["part"] == part]
    return {row.name: (row.size, row.holds) for row in rows.itertuples(index=False, name="Row")}


def test_what_a_file_holds(write_nwb, random_targets):
    path = write_nwb(**random_targets)
    assert listed(path, "file") == {"hand": ("", "C, 2016-10-14: made by hand")}
    units = listed(path, "units")
    assert set(units) == {"electrode_group_M1 M1", "electrode_group_PMd PMd"}
    assert units["electrode_group_M1 M1"][0] == "7" and units["electrode_group_M1 M1"][1].endswith(
        "; 1 silent"
    )
    counts = [len(times) for times in random_targets["spikes"]]
    every = np.concatenate(random_targets["spikes"])
    assert units["electrode_group_PMd PMd"][1].startswith(f"median {counts[7] / np.ptp(every):.3g} spikes/s")
    assert listed(path, "trials") == {
        "start_time": ("20", "1 to 48.5, 20 values"),
        "stop_time": ("20", "3 to 50.5, 20 values"),
        "onset": ("20", "1.6 to 49.1, 19 values; 1 missing"),
        "outcome": ("20", "hit (19), miss (1)"),
    }
    assert listed(path, "series") == {"behavior/Velocity/cursor_vel": ("5300×3", "cm/s, 100 Hz")}


def test_columns_with_several_values_and_scaled_series(write_nwb, maze):
    path = write_nwb(**maze)
    assert listed(path, "trials")["target_pos"] == ("5", "arrays of different lengths")
    assert listed(path, "trials")["trial_type"] == ("5", "13 (3), 37 (1), 38 (1)")
    assert listed(path, "series") == {"behavior/hand_vel": ("13000×2", "m/s, times 0.001, 1000 Hz")}


def test_every_path_that_is_listed_can_be_read(write_nwb, content, maze):
    for file in (content, maze):
        path = write_nwb(**file)
        with open_nwb(path) as nwb:
            (where,) = [where for where, _ in all_series(nwb)]
            times, values = read_velocity(nwb, where)
        assert where in listed(path, "series") and len(times) == len(values) == len(file["velocity"])


def test_files_without_some_of_it(write_nwb, content, tmp_path):
    silent = [content["spikes"][0], [], [], []]
    bare = write_nwb(**{**content, "velocity": None, "groups": ["M1", None, None, None], "spikes": silent})
    assert listed(bare, "series") == {}
    assert listed(bare, "units")["(no electrode)"] == ("3", "median 0 spikes/s, 0 to 0; 3 silent")
    content["trials"]["target_dir"][:] = np.nan
    assert listed(write_nwb(**content), "trials")["target_dir"] == ("6", "nothing; 6 missing")
    with pytest.raises(FileNotFoundError, match=r"none.nwb: no such file"):
        describe_nwb(tmp_path / "none.nwb")
    (tmp_path / "text.nwb").write_text("no NWB")
    with pytest.raises(DataError, match="cannot be read as NWB"):
        describe_nwb(tmp_path / "text.nwb")


def test_the_bundled_files_have_counts_in_place_of_spike_times():
    from companion.catalogue import RECORDINGS

    path = RECORDINGS / "Han_20171204.nwb"
    assert listed(path, "units") == {"S1 S1": ("83", "no spike times")}
    assert "ecephys/counts_S1" in listed(path, "series")
    with pytest.raises(DataError, match="counts= takes the path of a series of counts"):
        read_nwb(path, "S1")
