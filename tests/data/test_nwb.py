import pickle
import sys
from datetime import UTC
from pathlib import Path

import h5py
import numpy as np
import pytest
from nwb_files import loop_smooth

from nerlib.data import MAZE_SCHEMA, DataError, TrialsLeftOut, read_nwb, read_nwb_rates
from nerlib.data.nwb import open_nwb, read_units, within

WINDOW = {key: MAZE_SCHEMA[key] for key in ("align", "before", "bin_width", "n_bins", "smooth_sd")}
SHORT = "1 too short for 40 bins of 0.03 s"  # the fourth trial of the file made by hand
LATE = pytest.mark.filterwarnings("ignore:hand.nwb. left out trials. 1 too short")


def test_read_nwb(write_nwb, content):
    with pytest.warns(UserWarning, match=f"hand.nwb: left out trials: {SHORT}") as caught:
        session = read_nwb(write_nwb(**content), "M1")
    assert len(caught) == 1 and caught[0].filename == __file__
    kept = [0, 1, 4, 5]
    np.testing.assert_array_equal(session.trial, np.repeat(kept, 40))
    np.testing.assert_array_equal(session.direction, np.repeat([0, 135, 45, 225], 40))
    assert (session.name, session.area, session.monkey, session.date) == ("hand", "M1", "C", "20161014")
    assert session.bin_width == 0.03 and session.rates.shape == (160, 3) and not session.simulated
    clock = np.arange(2600) / 100
    for i, trial in enumerate(kept):
        start, stop, go = (content["trials"][c][trial] for c in ("start_time", "stop_time", "go_cue_time"))
        before = int((go - start) / 0.03 + 1e-6)
        edges = go + 0.03 * np.arange(-before, int((stop - go) / 0.03 + 1e-6) + 1) - 1e-7
        counts = np.column_stack([np.histogram(content["spikes"][unit], edges)[0] for unit in (0, 2, 3)])
        expected = loop_smooth(counts, 1.5, 4)[before : before + 40]
        np.testing.assert_allclose(session.rates[40 * i : 40 * i + 40], expected, atol=1e-12)
        edges = go + 0.03 * np.arange(41) - 1e-7
        moved = [
            content["velocity"][(clock >= a) & (clock < b)].mean(axis=0) * 10
            for a, b in zip(edges[:-1], edges[1:], strict=True)
        ]
        np.testing.assert_allclose(session.velocity[40 * i : 40 * i + 40], moved)


def test_read_nwb_of_ones_own(write_nwb, content):
    """Other columns, bins and units, all units, and time stamps instead of a rate."""
    trials = content["trials"]
    trials["cue"], trials["angle"] = trials.pop("go_cue_time"), np.degrees(trials.pop("target_dir")) + 7.0
    content["times"] = np.arange(2600) / 100 + 0.004
    path = write_nwb(**content, unit="m/s", conversion=0.02, offset=0.1)
    options = {"align": "cue", "direction": "angle", "direction_unit": "degrees", "name": "mine", "keep": {}}
    session = read_nwb(path, bin_width=0.05, n_bins=10, smooth_sd=0, **options)
    assert session.n_trials == 6 and session.rates.shape == (60, 4) and session.name == "mine"
    assert session.rates.sum() == np.round(session.rates).sum() > 0
    np.testing.assert_array_equal(session.direction[::10], [7, 142, 322, 97, 52, 232])
    clock, go = content["times"], trials["cue"][0]
    first = content["velocity"][(clock >= go) & (clock < go + 0.05)].mean(axis=0)
    np.testing.assert_allclose(session.velocity[0], (first * 0.02 + 0.1) * 1000)
    same = read_nwb(path, bin_width=0.05, n_bins=10, smooth_sd=0, velocity_unit="cm/s", **options)
    np.testing.assert_allclose(same.velocity, session.velocity / 100)
    assert read_nwb(path, "PMd", bin_width=0.05, n_bins=10, **options).rates.shape == (60, 1)


def test_the_number_of_bins_does_not_depend_on_the_area(write_nwb, content):
    path = write_nwb(**{**content, "groups": ["S1"] * 4})
    with pytest.warns(UserWarning, match=SHORT):
        session = read_nwb(path, "S1")
    assert set(session.trial_lengths) == {40} and session.n_trials == 4
    session = read_nwb(path, "S1", n_bins=35)
    assert set(session.trial_lengths) == {35} and session.n_trials == 5  # the late go cue now fits


def test_trials_too_short_are_counted_in_a_warning(write_nwb, content):
    content["trials"]["go_cue_time"][[0, 4]] += 1.0
    with pytest.warns(UserWarning, match="left out trials: 3 too short for 40 bins of 0.03 s$"):
        session = read_nwb(write_nwb(**content), "M1")
    assert np.unique(session.trial).tolist() == [1, 5]


@LATE
def test_a_session_without_directions(write_nwb, content):
    path = write_nwb(**content)
    session, with_direction = read_nwb(path, "M1", direction=None), read_nwb(path, "M1")
    assert session.direction is None and session.labels.shape == (160, 2) and session.periods == (None, None)
    np.testing.assert_array_equal(session.rates, with_direction.rates)
    content["trials"]["target_dir"][:] = np.nan
    assert read_nwb(write_nwb(**content), "M1", direction=None).n_trials == 4


@LATE
def test_directions_from_positions(write_nwb, content):
    """One position per trial; a target at the center and a missing one have no direction."""
    places = [[30.0, 0.0], [0.0, 5.0], [1.0, 1.0], [1.0, 1.0], [-2.0, -2.0], [3.0, -3.0]]
    content["trials"]["place"] = places
    path = write_nwb(**content)
    session = read_nwb(path, "M1", direction="place", direction_unit="position")
    np.testing.assert_array_equal(session.direction, np.repeat([0, 90, 225, 315], 40))
    content["trials"]["place"] = [[0.0, 0.0], [np.nan, 5.0], *places[2:]]
    with pytest.warns(UserWarning, match=f"{SHORT}, 2 without place"):
        session = read_nwb(write_nwb(**content), "M1", direction="place", direction_unit="position")
    np.testing.assert_array_equal(session.direction, np.repeat([225, 315], 40))
    content["trials"]["place"] = np.ones((6, 3)).tolist()
    path = write_nwb(**content)
    for column in ("target_dir", "place"):
        with pytest.raises(DataError, match=rf"{column} must hold target positions \(x, y\), got \("):
            read_nwb(path, "M1", direction=column, direction_unit="position")


def test_positions_of_several_targets_need_the_active_one(write_nwb, maze):
    path = write_nwb(**maze)
    with pytest.raises(DataError, match="target_pos has several targets per trial; active_target must name"):
        read_nwb(path, **{**MAZE_SCHEMA, "active_target": None})
    maze["trials"]["target_pos"] = [places[:1] for places in maze["trials"]["target_pos"]]
    with pytest.warns(UserWarning, match="1 too short for 100 bins of 0.005 s$"):
        session = read_nwb(write_nwb(**maze), **{**MAZE_SCHEMA, "active_target": None})
    np.testing.assert_array_equal(session.direction, np.repeat([0, 90, 45, 180], 100))


@LATE
@pytest.mark.parametrize("shape", [(2600,), (2600, 1), (2600, 3)])
def test_velocity_of_any_number_of_columns(write_nwb, content, shape):
    two = read_nwb(write_nwb(**content), "M1")
    content["velocity"] = np.resize(content["velocity"].T, shape[::-1]).T  # the same first column
    session = read_nwb(write_nwb(**content), "M1")
    n_columns = (*shape, 1)[1]
    assert session.velocity.shape == (160, n_columns) and session.labels.shape == (160, n_columns + 1)
    np.testing.assert_allclose(session.velocity[:, 0], two.velocity[:, 0])


def test_without_pynwb_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynwb", None)
    for call in (
        lambda: read_nwb(tmp_path / "any.nwb"),
        lambda: read_nwb_rates(tmp_path / "any.nwb"),
    ):
        with pytest.raises(ImportError) as caught:
            call()
        expected = "reading NWB files needs pynwb; install it with: pip install 'nerlib[nwb]'"
        assert str(caught.value) == expected and caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"area": "S1"},
            r"no unit in area 'S1'; .* electrode_group_M1 M1 \(3 units\), electrode_group_PMd PMd \(1 ",
        ),
        ({"area": "M"}, "no unit in area 'M'"),
        (
            {"align": "move_time"},
            "trials table has no column 'move_time'; it has start_time, .*target_dir, result",
        ),
        ({"direction": "angle"}, "no column 'angle'"),
        ({"keep": {"outcome": 1}}, r"no column 'outcome'; it has .*, result \(keep=\{\} keeps all trials\)"),
        ({"keep": {"result": "W"}}, r"no trial has result = W; there are \['A', 'R'\]"),
        (
            {"velocity": "kinematics/Velocity"},
            r"no time series 'kinematics/Velocity' .* in the file: behavior/Velocity/cursor_vel \(cm/s\)$",
        ),
        ({"velocity": "behavior/Velocity/hand_vel"}, "no time series 'behavior/Velocity/hand_vel'"),
        (
            {"velocity": "behavior/Velocity"},
            r"no time series 'behavior/Velocity' of one column or more. Time series in the file: behavior/",
        ),
        ({"smooth_sd": 45}, "smooth_sd is in seconds; 45 is longer than a trial, 40 bins"),
        (
            {"direction_unit": "degrees"},
            'target_dir has fractions up to 5.* degrees; direction_unit="radians"?',
        ),
        ({"align": "result"}, "column 'result' of the trials table must hold one number a trial, got .*'R'"),
        ({"direction": "result"}, "column 'result' of the trials table must hold one number a trial"),
        ({"velocity_unit": "furlong/s"}, "is in 'furlong/s'; pass velocity_unit as m/s, cm/s or mm/s"),
        (
            {"direction_unit": "turns"},
            'direction_unit must be "radians", "degrees" or "position", got .turns',
        ),
        (
            {"n_bins": 80},
            r"hand.nwb: 0 of 6 trials usable, need 2; left out: 1 not selected by .* 5 too short for 80",
        ),
    ],
)
def test_read_nwb_says_what_is_wrong(write_nwb, content, options, message):
    with pytest.raises(ValueError, match=message):
        read_nwb(write_nwb(**content), **options)


def test_degrees_are_not_read_as_radians(write_nwb, content):
    content["trials"]["target_dir"] = np.degrees(content["trials"]["target_dir"])
    with pytest.raises(
        DataError, match='target_dir reaches .*, more than a turn in radians; direction_unit="degrees"'
    ):
        read_nwb(write_nwb(**content))


@LATE
def test_trials_to_keep_are_a_dict_of_values_or_sets(write_nwb, content):
    path = write_nwb(**content)
    one, same = (read_nwb(path, "M1", keep=keep) for keep in ({"result": {"R", "W"}}, {"result": "R"}))
    assert one.digest == same.digest
    for keep in (None, "result:R"):
        with pytest.raises(TypeError, match="keep must be a dict, column -> value"):
            read_nwb(path, "M1", keep=keep)


def test_an_area_may_be_a_number(write_nwb, content):
    with pytest.raises(DataError, match="no unit in area 2; the units' electrode groups are"):
        read_nwb(write_nwb(**content), 2)


def test_trials_without_event_target_or_velocity_are_left_out_with_a_warning(write_nwb, content):
    content["trials"]["go_cue_time"][0] = np.nan
    content["trials"]["target_dir"][1] = np.nan
    content["trials"]["go_cue_time"][3] -= 0.5
    content["velocity"][1850] = np.nan  # in the fifth trial
    expected = "left out trials: 1 without go_cue_time, 1 without target_dir, 1 without behavior/Velocity/"
    with pytest.warns(UserWarning, match=expected):
        session = read_nwb(write_nwb(**content), "M1")
    assert np.unique(session.trial).tolist() == [3, 5]


def test_trials_that_a_unit_was_not_observed_in_are_left_out_with_a_warning(write_nwb, content):
    whole = [[0.0, 30.0]]
    late = [[8.0, 30.0], [0.0, 3.2]]  # out of order; the first window ends at 3.2, the second begins at 6.213
    path = write_nwb(**content, observed=[whole, whole, late, whole])
    with pytest.warns(UserWarning, match=f"{SHORT}, 1 outside obs_intervals of some unit"):
        session = read_nwb(path, "M1")
    assert np.unique(session.trial).tolist() == [0, 4, 5]
    with pytest.warns(UserWarning, match=f"{SHORT}$"):
        assert read_nwb(path, "PMd").n_trials == 4  # the late unit is in M1


def test_a_unit_without_intervals_was_never_observed(write_nwb, content):
    whole = [[0.0, 30.0]]
    early = [[0.0, 5.0]]
    with open_nwb(write_nwb(**content, observed=[early, np.empty((0, 2)), whole, early])) as nwb:
        first, last = np.array([0.0, 7.0]), np.array([1.0, 8.0])
        _, observed = read_units(nwb)
        assert within(observed, first, last).tolist() == [False, False]
        _, of_m1 = read_units(nwb, "M1")
        assert within(of_m1, first, last).tolist() == [True, False]


def test_intervals_may_overlap():
    observed = [np.array([[0.0, 10.0], [2.0, 3.0], [12.0, 15.0]])]
    first = np.array([2.5, 4.0, 9.0, 12.0, np.nan])
    assert within(observed, first, first + 2).tolist() == [True, True, False, True, False]


def test_a_unit_without_electrodes_is_in_no_area(write_nwb, content):
    content["groups"] = [None, "PMd", "M1", None]
    with open_nwb(write_nwb(**content)) as nwb:
        assert [len(read_units(nwb, area)[0]) for area in ("PMd", "M1", None)] == [1, 1, 4]


def test_fewer_than_two_trials(write_nwb, content):
    content["trials"]["go_cue_time"][1:] = np.nan
    with pytest.raises(DataError, match="1 of 6 trials usable, need 2; .* 4 without go_cue_time"):
        read_nwb(write_nwb(**content), "M1")


def test_a_series_too_slow_for_the_bins(write_nwb, content):
    content["velocity"], content["times"] = content["velocity"][::10], np.arange(260) / 10
    with pytest.raises(DataError, match="4 without behavior/Velocity/cursor_vel, or NaN, in some bin"):
        read_nwb(write_nwb(**content), "M1")


def test_a_file_without_behaviour(write_nwb, content):
    expected = "hand.nwb: no time series 'behavior/.* or more. The file has no time series, .*_rates"
    with pytest.raises(DataError, match=expected):
        read_nwb(write_nwb(**{**content, "velocity": None}), "M1")


def test_areas_are_words_not_letters(write_nwb, content):
    content["groups"] = ["M1", "M10", "PM1", "left_m1"]
    with open_nwb(write_nwb(**content)) as nwb:
        spikes, observed = read_units(nwb, "M1")
        assert [len(times) for times in spikes] == [400, 300]
        assert len(read_units(nwb)[0]) == 4
        assert within(observed, np.zeros(3), np.ones(3)).all()


@LATE
def test_spellings_of_lengths(write_nwb, content):
    mm = {unit: read_nwb(write_nwb(**content, unit=unit), "M1").velocity for unit in ("mm/s", "m/s")}
    for unit, per in (("millimeters / s", "mm/s"), ("meter/s", "m/s"), ("metres/second", "m/s")):
        np.testing.assert_array_equal(read_nwb(write_nwb(**content, unit=unit), "M1").velocity, mm[per])
    np.testing.assert_allclose(mm["m/s"], 1000 * mm["mm/s"])
    centimeters = read_nwb(write_nwb(**content), "M1", velocity_unit="centimetre/s").velocity
    np.testing.assert_allclose(centimeters, 10 * mm["mm/s"])
    with pytest.raises(DataError, match="is in 'ms'; pass velocity_unit as"):
        read_nwb(write_nwb(**content), "M1", velocity_unit="ms")


RANDOM_TARGETS = {"align": "onset", "direction": None, "keep": {"outcome": "hit"}}


def test_random_targets_in_three_dimensions(write_nwb, random_targets):
    with pytest.warns(TrialsLeftOut, match="left out trials: 1 without onset$") as caught:
        session = read_nwb(write_nwb(**random_targets), "M1", **RANDOM_TARGETS)
    assert caught[0].message.counts == {"without onset": 1}
    assert session.n_trials == 18 and not {5, 7} & set(session.trial)
    assert session.direction is None and session.labels.shape == (720, 3) and session.periods == (None,) * 3


def test_positions_are_differentiated_when_asked_to(write_nwb, random_targets):
    """Accelerations of 5, 10 and 15 mm/s²; the mean velocity of a bin is that of its middle sample."""
    clock = np.arange(5300) / 100
    random_targets["velocity"] = np.outer(clock**2, [2.5, 5.0, 7.5])
    path = write_nwb(**random_targets, unit="mm")
    with pytest.raises(DataError, match="is in 'mm'; pass velocity_unit .* or mm to differentiate positions"):
        read_nwb(path, **RANDOM_TARGETS)
    with pytest.warns(TrialsLeftOut):
        session = read_nwb(path, velocity_unit="mm", **RANDOM_TARGETS)
    middle = random_targets["trials"]["onset"][0] + 0.03 * np.arange(40) + 0.01  # of samples 10 ms apart
    np.testing.assert_allclose(session.velocity[:40], np.outer(middle, [5, 10, 15]), rtol=1e-6)


def test_units_without_electrodes_are_in_no_area(write_nwb, content, monkeypatch):
    with open_nwb(write_nwb(**content)) as nwb:
        monkeypatch.setattr(type(nwb.units), "colnames", ("spike_times", "quality"))
        with pytest.raises(
            DataError, match=r"no electrodes, so no area; area=None takes all \(columns: spike_"
        ):
            read_units(nwb, "M1")
        monkeypatch.setattr(type(nwb.units), "colnames", ("quality",))
        with pytest.raises(
            DataError, match="no column 'spike_times'; it has quality; counts= takes the path of a series"
        ):
            read_units(nwb)


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
    with pytest.raises(DataError, match="cannot be read as NWB: truncated, or another format"):
        read_nwb(path, "M1")


def test_a_file_that_cannot_be_read_is_closed(write_nwb, content, monkeypatch):
    import pynwb

    opened = []

    def read(io):
        opened.append(io)
        raise OSError("truncated")

    monkeypatch.setattr(pynwb.NWBHDF5IO, "read", read)
    with pytest.raises(DataError, match="cannot be read as NWB"):
        read_nwb(write_nwb(**content))
    assert not opened[0]._file  # h5py's word for closed


def test_another_format(tmp_path):
    path = tmp_path / "other.nwb"
    with h5py.File(path, "w") as file:
        file["x"] = np.arange(3)
    with pytest.raises(DataError, match="another format"):
        read_nwb(path)
    with pytest.raises(FileNotFoundError, match="none.nwb: no such file"):
        read_nwb(tmp_path / "none.nwb")


def test_rates_alone_are_those_of_read_nwb(write_nwb, maze):
    path = write_nwb(**maze)
    warning = "hand.nwb: left out trials: 1 too short for 100 bins of 0.005 s"
    with pytest.warns(UserWarning, match=warning) as caught:
        rates, trial = read_nwb_rates(path, **WINDOW)
    assert len(caught) == 1 and caught[0].filename == __file__
    with pytest.warns(UserWarning, match="hand.nwb: left out trials: 1 too short"):
        session = read_nwb(path, **MAZE_SCHEMA)
    np.testing.assert_array_equal(rates, session.rates)
    np.testing.assert_array_equal(trial, session.trial)
    with pytest.warns(UserWarning, match="hand.nwb: left out trials: 1 too short"):
        causal = read_nwb_rates(path, **WINDOW, smoothing="causal")[0]
    assert causal.shape == rates.shape and not np.allclose(causal, rates)
    maze["trials"]["move_onset_time"] = maze["trials"]["stop_time"]
    with pytest.raises(DataError, match="0 of 5 trials usable, need 1; left out: 5 too short for 100 bins"):
        read_nwb_rates(write_nwb(**maze), **WINDOW)


BUNDLED = Path(__file__).parents[2] / "book" / "recordings" / "Han_20171204.nwb"
COUNTS = {"area": "S1", "n_bins": 35, "counts": "ecephys/counts_S1"}


@pytest.mark.parametrize("smoothing", ["published", "causal"])
def test_whole_counts_in_place_of_spike_times(smoothing):
    session = read_nwb(BUNDLED, **COUNTS, smoothing=smoothing)
    with h5py.File(BUNDLED) as file:
        counts = file["processing/ecephys/counts_S1/data"][:].reshape(session.n_trials, 43, -1)
        velocity = file["processing/behavior/Velocity/cursor_vel/data"][:]
    for trial in (0, 100, session.n_trials - 1):
        if smoothing == "published":
            expected = loop_smooth(counts[trial], 1.5, 4)[4:39]
        else:  # a bin and the four before it
            weights = np.exp(-(np.arange(5) ** 2) / (2 * 1.5**2))
            past = [[weights @ counts[trial, t - np.arange(5), n] for n in range(83)] for t in range(4, 39)]
            expected = np.array(past) / weights.sum()
        np.testing.assert_allclose(session.rates[35 * trial : 35 * trial + 35], expected, atol=1e-12)
    np.testing.assert_array_equal(session.velocity, 10 * velocity.astype(float))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"bin_width": 0.02}, DataError, r"counts_S1 has bins of 0.03 s; pass bin_width=0.03, got 0.02"),
        ({"counts": "behavior/Velocity/cursor_vel"}, DataError, "must hold whole counts, got float32"),
        ({"counts": "ecephys/counts_M1"}, DataError, "no time series 'ecephys/counts_M1' .*/counts_S1"),
        ({"smoothing": "none"}, ValueError, 'smoothing must be "published" or "causal", got \'none\''),
    ],
)
def test_counts_and_smoothing_that_cannot_be_had(options, error, message):
    with pytest.raises(error, match=message):
        read_nwb(BUNDLED, **COUNTS | options)


@pytest.fixture
def recorded_file(data_folder):
    path = data_folder / "nwb" / "sub-Jenkins_ses-small_desc-test_ecephys.nwb"
    return path


def test_the_recorded_file(recorded_file):
    """The schema as published: rates against the spikes that h5py reads, smoothed by a loop."""
    rates, trial = read_nwb_rates(recorded_file, **WINDOW)
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
    with pytest.raises(DataError, match="desc-test_ecephys.nwb: no time series 'behavior/hand_vel'"):
        read_nwb(recorded_file, **MAZE_SCHEMA)


def test_a_warning_of_trials_left_out_reaches_other_processes():
    told = pickle.loads(pickle.dumps(TrialsLeftOut("a.nwb", {"too short": 2})))
    assert told.counts == {"too short": 2} and str(told) == "a.nwb: left out trials: 2 too short"
