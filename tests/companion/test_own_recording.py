"""A recording of one's own, read from a small NWB file: what is used, what is not, and what is wrong."""

from functools import partial

import numpy as np
import pytest
from toy import make_session

from companion import own_recording as own
from nerlib.data import DataError

OPTIONS = {
    "velocity": "behavior/Velocity/cursor_vel", "velocity_unit": "", "align": "onset", "before": 0.0,
    "direction": "", "direction_unit": "radians", "active_target": "", "bin_width": 0.03, "n_bins": 40,
    "smooth_sd": 0.045, "smoothing": "published",
}  # fmt: skip
read = partial(own.read, area="M1", keep="outcome:hit", counts="", **OPTIONS)


@pytest.fixture
def file(write_nwb, random_targets):
    return own.find_recording("recorded", str(write_nwb(**random_targets)))


def test_a_file_without_directions_says_what_is_left_out(file):
    session, used = read(file)
    assert session.direction is None and session.velocity.shape == (720, 3)
    assert used.to_dict("records") == [
        {"trials": 18, "why": "used"},
        {"trials": 1, "why": "without onset"},
        {"trials": 1, "why": "not selected by keep=outcome:hit"},
    ]


def test_silent_and_duplicated_units_and_still_trials_are_found(file):
    raw, _ = read(file)
    units, trials = own.check_units(raw), own.check_trials(raw, 0.2)
    problems = {1: "silent", 3: "equal to unit 2", 5: "like unit 4"}
    assert units["problem"].tolist() == [problems.get(unit, "") for unit in range(7)]
    assert units.loc[units["dropped"], "unit"].tolist() == [1, 3]
    assert trials.loc[trials["dropped"], "trial"].tolist() == [3, 8]
    assert not own.check_trials(raw, 0)["dropped"].any()
    session = own.clean(raw, units, trials)
    assert session.n_trials == 16 and session.rates.shape == (640, 5) and session.rates.any(axis=0).all()
    np.testing.assert_array_equal(session.rates[:40, 1], raw.rates[:40, 2])
    np.testing.assert_allclose(units["rate"], raw.rates.mean(axis=0) / 0.03)
    told = own.in_words(units, trials)
    assert "5 units are used" in told and "left out: 3, 8." in told
    assert "left out: 1 (silent), 3 (equal to unit 2)." in told and "look at them: 5 (like unit 4)." in told


def test_long_lists_are_cut():
    session = make_session(n_neurons=30)
    units = own.check_units(session).assign(problem="silent", dropped=lambda t: t["unit"] > 2)
    told = own.in_words(units, own.check_trials(session, 0.2))
    assert "(silent) and 7 more.\n" in told and "look at them: 0 (silent), 1 (silent), 2 (silent)." in told


def test_without_directions_figures_take_those_of_the_movement(file):
    raw, _ = read(file)
    drawn = own.colored(raw)
    moved = raw.velocity.reshape(18, 40, 3).sum(axis=1)
    angle = np.rad2deg(np.arctan2(moved[:, 1], moved[:, 0]))[~np.isin(np.unique(raw.trial), [3, 8])]
    found = drawn.direction[::40][~np.isin(np.unique(raw.trial), [3, 8])]
    assert (np.abs((found - angle + 180) % 360 - 180) <= 22.5).all() and not (found % 45).any()
    assert own.colored(make_session()).direction[0] == make_session().direction[0]
    assert "7 units, 18 trials of 40 bins of 30 ms, velocity in 3 columns, no directions" in own.describe(raw)
    assert own.describe(make_session(simulated=True)).startswith("**SIMULATED** · Toy M1: 10 units")
    assert own.describe(make_session()).endswith("8 directions.")


def test_nothing_moves():
    session = make_session()
    frozen = type(session)(session.rates, 0 * session.velocity, session.direction, session.trial)
    with pytest.raises(ValueError, match="velocity is 0 in all 40 trials; is it the right series?"):
        own.check_trials(frozen, 0.2)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"area": "S1"},
            "no unit in area 'S1'; .* electrode_group_M1 M1 .7 units.*group_PMd PMd",
        ),
        ({"velocity": "hand/vel"}, r"no time series 'hand/vel' .* behavior/Velocity/cursor_vel \(cm/s\)"),
        ({"align": "cue"}, "no column 'cue'; it has start_time, stop_time, onset, outcome"),
        ({"keep": "outcome:yes"}, r"no trial has outcome = \['yes'\]; there are \['hit', 'miss'\]"),
        ({"keep": "outcome"}, 'keep must read "column:value" or "column:a,b; other:c", got \'outcome\''),
        ({"velocity_unit": "ft/s"}, "is in 'ft/s'; pass velocity_unit as m/s, cm/s or mm/s"),
        ({"n_bins": 60}, "0 of 20 trials usable, need 2; left out: .* too short for 60 bins of 0.03 s"),
    ],
)
def test_errors_list_what_the_file_has(file, wrong, message):
    with pytest.raises(ValueError, match=message):
        read(file, **wrong)


def test_a_path_that_is_not_there_is_told_in_full(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=f"{tmp_path}/mine.nwb: no such file; .* so give a whole one"):
        own.find_recording("recorded", "mine.nwb")


@pytest.mark.parametrize(
    ("text", "keep"),
    [
        ("", {}),
        ("{}", {}),
        ("result:R", {"result": ["R"]}),
        (" outcome : hit, late; block:2 ", {"outcome": ["hit", "late"], "block": [2]}),
        ("good:True; score:0.5; name:None", {"good": [True], "score": [0.5], "name": ["None"]}),
    ],
)
def test_trials_to_keep_as_text(text, keep):
    assert own.parse_keep(text) == keep


@pytest.mark.parametrize("given", [["NER", "ridge"], "['NER', 'ridge']", "NER, ridge", "NER,ridge, NER"])
def test_names_as_list_or_text(given):
    assert own.parse_names(given) == ["NER", "ridge"]


def test_the_bundled_recording_and_the_simulated_one():
    path = own.find_recording("recorded")
    assert f"{own.BUNDLED}" in path.name and "units" in set(own.contents(path)["part"])
    about = OPTIONS | {"align": "go_cue_time", "direction": "target_dir"}
    session, used = own.read(path, area="PMd", keep="result:R", counts="", **about)
    assert session.rates.shape[1] == 66 and used["trials"].tolist() == [session.n_trials] == [208]
    assert own.find_recording("simulated") is None and own.contents(None).empty
    session, used = read(None)
    assert session.simulated and used["trials"].tolist() == [session.n_trials]


def test_a_file_without_movement_says_so(write_nwb, random_targets):
    with pytest.raises(DataError, match="The file has no time series, so no movement; read_nwb_rates"):
        read(write_nwb(**random_targets | {"velocity": None}))
