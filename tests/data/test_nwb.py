from datetime import UTC

import h5py
import numpy as np
import pytest

from nerlib.data import DataError, read_nwb
from nerlib.data.nwb import open_nwb, read_units


def test_trials_without_event_target_or_velocity_are_left_out_with_a_warning(write_nwb, content):
    content["trials"]["go_cue_time"][0] = np.nan
    content["trials"]["target_dir"][1] = np.nan
    content["trials"]["go_cue_time"][3] -= 0.5
    content["velocity"][1850] = np.nan  # in the fifth trial
    expected = (
        r"hand.nwb: left out trials: 2 without go_cue_time or target, 1 without behavior/Velocity/cursor_vel"
    )
    with pytest.warns(UserWarning, match=expected):
        session = read_nwb(write_nwb(**content), "M1")
    assert np.unique(session.trial).tolist() == [3, 5]


def test_trials_that_a_unit_was_not_observed_in_are_left_out_with_a_warning(write_nwb, content):
    whole = [[0.0, 30.0]]
    late = [[8.0, 30.0], [0.0, 3.2]]  # out of order; the first window ends at 3.2, the second begins at 6.213
    path = write_nwb(**content, observed=[whole, whole, late, whole])
    with pytest.warns(UserWarning, match="1 outside obs_intervals of some unit"):
        session = read_nwb(path, "M1")
    assert np.unique(session.trial).tolist() == [0, 4, 5]
    assert read_nwb(path, "PMd").n_trials == 4  # the late unit is in M1


def test_a_unit_without_intervals_was_never_observed(write_nwb, content):
    whole = [[0.0, 30.0]]
    early = [[0.0, 5.0]]
    with open_nwb(write_nwb(**content, observed=[early, np.empty((0, 2)), whole, early])) as nwb:
        first, last = np.array([0.0, 7.0]), np.array([1.0, 8.0])
        _, observed = read_units(nwb)
        assert observed(first, last).tolist() == [False, False]
        _, of_m1 = read_units(nwb, "M1")
        assert of_m1(first, last).tolist() == [True, False]


def test_a_unit_without_electrodes_is_in_no_area(write_nwb, content):
    content["groups"] = [None, "PMd", "M1", None]
    with open_nwb(write_nwb(**content)) as nwb:
        assert [len(read_units(nwb, area)[0]) for area in ("PMd", "M1", None)] == [1, 1, 4]


def test_fewer_than_two_trials(write_nwb, content):
    content["trials"]["go_cue_time"][1:] = np.nan
    with pytest.raises(DataError, match="1 of 6 trials usable, need two; .* 4 without go_cue_time or target"):
        read_nwb(write_nwb(**content), "M1")


def test_a_series_too_slow_for_the_bins(write_nwb, content):
    content["velocity"], content["times"] = content["velocity"][::10], np.arange(260) / 10
    with pytest.raises(DataError, match="4 without behavior/Velocity/cursor_vel, or NaN, in some bin"):
        read_nwb(write_nwb(**content), "M1")


def test_a_file_without_behaviour(write_nwb, content):
    with pytest.raises(DataError, match="hand.nwb: no 'behavior' .* in the file; it has acquisition"):
        read_nwb(write_nwb(**{**content, "velocity": None}), "M1")


def test_areas_are_words_not_letters(write_nwb, content):
    content["groups"] = ["M1", "M10", "PM1", "left_m1"]
    with open_nwb(write_nwb(**content)) as nwb:
        spikes, observed = read_units(nwb, "M1")
        assert [len(times) for times in spikes] == [400, 300]
        assert len(read_units(nwb)[0]) == 4
        assert observed(np.zeros(3), np.ones(3)).all()


def test_a_file_without_trials_or_units(tmp_path):
    from datetime import datetime

    import pynwb

    path, start = tmp_path / "empty.nwb", datetime(2020, 1, 1, tzinfo=UTC)
    nwb = pynwb.NWBFile(session_description="empty", identifier="empty", session_start_time=start)
    with pynwb.NWBHDF5IO(str(path), "w") as io:
        io.write(nwb)
    with pytest.raises(DataError, match="empty.nwb: the file has no trials table"):
        read_nwb(path)
    with pytest.raises(DataError, match="the file has no units table"), open_nwb(path) as nwb:
        read_units(nwb)


@pytest.mark.parametrize("kept", [0, 1000, 0.5, 0.95])
def test_truncated_nwb(write_nwb, content, kept):
    path = write_nwb(**content)
    whole = path.read_bytes()
    path.write_bytes(whole[: kept if isinstance(kept, int) else int(kept * len(whole))])
    with pytest.raises(DataError, match="cannot be read as NWB, it is truncated or another format"):
        read_nwb(path, "M1")


def test_another_format(tmp_path):
    path = tmp_path / "other.nwb"
    with h5py.File(path, "w") as file:
        file["x"] = np.arange(3)
    with pytest.raises(DataError, match="another format"):
        read_nwb(path)
    with pytest.raises(FileNotFoundError, match="none.nwb: no such file"):
        read_nwb(tmp_path / "none.nwb")
