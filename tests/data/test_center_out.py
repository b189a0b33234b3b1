import numpy as np
import pytest
from scipy.io import loadmat, savemat
from test_preprocess import loop_smooth

from nerlib.data import DataError, read_authors_mat, read_nwb, read_trialdata_mat

RECORDED = {  # trials, neurons by area
    "Chewie_20150629": (172, {"M1": 49}),
    "Chewie_20150630": (172, {"M1": 44}),
    "Chewie_20160929": (208, {"M1": 74, "PMd": 114}),
    "Chewie_20161007": (168, {"M1": 70, "PMd": 137}),
    "Mihili_20140217": (206, {"M1": 44, "PMd": 104}),
    "Mihili_20140303": (208, {"M1": 52, "PMd": 66}),
    "Mihili_20140304": (203, {"M1": 39, "PMd": 76}),
    "Mihili_20140307": (216, {"M1": 26, "PMd": 66}),
    "Han_20171201": (292, {"S1": 70}),
    "Han_20171204": (251, {"S1": 83}),
    "Han_20171207": (244, {"S1": 72}),
}


@pytest.mark.parametrize("name", RECORDED)
def test_the_authors_sessions(name, data_folder):
    path = data_folder / "perich" / f"{name}_neural_con_dis_index.mat"
    if not path.is_file():
        pytest.skip(f"{path.name} is not in the data folder")
    n_trials, areas = RECORDED[name]
    raw = loadmat(path)
    for area, neurons in areas.items():
        session = read_authors_mat(path, area)
        n_bins = 35 if area == "S1" else 40
        assert session.n_trials == n_trials and session.rates.shape == (n_trials * n_bins, neurons)
        assert set(session.trial_lengths) == {n_bins} and session.bin_width == 0.03
        assert (session.name, session.area, session.monkey, session.date) == (name, area, *name.split("_"))
        assert not session.simulated
        np.testing.assert_array_equal(session.velocity, 10 * raw["continuous_index"])
        np.testing.assert_array_equal(np.unique(session.direction), np.arange(0, 360, 45))
        np.testing.assert_array_equal((raw["discrete_index"].ravel() - session.direction) % 360, 0)
        # the hand goes where the target is
        reach = np.add.reduceat(session.velocity, session.trial_starts)
        angle = np.degrees(np.arctan2(*reach.T[::-1])) - session.direction[session.trial_starts]
        assert np.mean(np.abs((angle + 180) % 360 - 180) < 30) > 0.9


@pytest.fixture
def authors_file(tmp_path):
    rng = np.random.default_rng(0)
    content = {
        "neural_M1": rng.random((80, 3)),
        "continuous_index": rng.normal(size=(80, 2)),
        "discrete_index": np.repeat([[-180], [45]], 40, axis=0),
    }

    def write(**changes):
        path = tmp_path / "Chewie_20990101_neural.mat"
        savemat(path, {key: value for key, value in {**content, **changes}.items() if value is not None})
        return path

    return write


def test_authors_mat(authors_file):
    session = read_authors_mat(authors_file(), "M1")
    assert session.name == "Chewie_20990101" and session.n_trials == 2
    np.testing.assert_array_equal(session.direction, np.repeat([180, 45], 40))


@pytest.mark.parametrize(
    ("changes", "area", "message"),
    [
        ({}, "PMd", "has no area 'PMd'; it has M1"),
        (
            {"continuous_index": None},
            "M1",
            "no variable 'continuous_index'; it has neural_M1, discrete_index",
        ),
        ({"neural_M1": np.ones((79, 3))}, "M1", "M1 has 79 bins, expected two or more trials of 40"),
        ({"neural_M1": np.ones((40, 3))}, "M1", "40 bins, expected two or more trials"),
        ({"continuous_index": np.ones((79, 2))}, "M1", r"velocity must be \(80, 2\); got \(79, 2\)"),
        ({"neural_M1": np.full((80, 3), np.nan)}, "M1", "rates has 240 NaN"),
        ({"discrete_index": np.arange(80)[:, None] // 20 * 45}, "M1", "direction changes within a trial"),
        ({"discrete_index": np.full((80, 1), 30)}, "M1", "multiples of 45"),
    ],
)
def test_authors_mat_says_what_is_wrong(authors_file, changes, area, message):
    with pytest.raises(ValueError, match=message):
        read_authors_mat(authors_file(**changes), area)


@pytest.mark.parametrize("length", [0, 100, 1500])
def test_truncated_mat(authors_file, length):
    path = authors_file()
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DataError, match="damaged or truncated|no area"):
        read_authors_mat(path, "M1")


def test_no_such_mat(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_authors_mat(tmp_path / "none.mat", "M1")


def trialdata(path, trials, bin_size=0.01):
    fields = list(trials[0])
    array = np.empty((1, len(trials)), dtype=[(field, object) for field in fields])
    for i, trial in enumerate(trials):
        array[0, i] = tuple(trial[field] for field in fields)
    savemat(path, {"trial_data": array})
    return path


@pytest.fixture
def trials():
    """Five TrialData trials of 10 ms bins: three good ones, a failure, one too short."""
    rng = np.random.default_rng(3)
    made = []
    for number, (length, go, result) in enumerate(
        [(200, 61, "R"), (190, 62, "R"), (200, 50, "F"), (150, 60, "R"), (183, 63, "R")]
    ):
        made.append(
            {
                "monkey": "Chewie",
                "date": "09-15-2016",
                "result": result,
                "bin_size": 0.01,
                "trial_id": number + 1,
                "target_direction": np.pi / 4 * (number - 3),
                "idx_go_cue": float(go),
                "pos": rng.normal(size=(length, 2)),
                "vel": rng.normal(size=(length, 2)),
                "M1_spikes": rng.poisson(0.2, (length, 4)).astype(np.uint8),
            }
        )
    return made


def test_trialdata(tmp_path, trials):
    session = read_trialdata_mat(trialdata(tmp_path / "Chewie_CO.mat", trials), "M1")
    assert session.name == "Chewie_CO" and session.monkey == "Chewie" and session.date == "09-15-2016"
    np.testing.assert_array_equal(session.trial, np.repeat([0, 1, 4], 40))
    np.testing.assert_array_equal(session.direction, np.repeat([225, 270, 45], 40))
    for i, number in enumerate([0, 1, 4]):
        trial = trials[number]
        go = int(trial["idx_go_cue"]) - 1  # from MATLAB's counting to ours
        counts = [trial["M1_spikes"][k : k + 3].sum(axis=0) for k in range(go % 3, len(trial["vel"]) - 2, 3)]
        expected = loop_smooth(np.array(counts), 1.5, 4)[go // 3 : go // 3 + 40]
        np.testing.assert_allclose(session.rates[40 * i : 40 * i + 40], expected, atol=1e-12)
        moved = trial["vel"][go : go + 120].reshape(40, 3, 2).mean(axis=1) * 10
        np.testing.assert_allclose(session.velocity[40 * i : 40 * i + 40], moved)


@pytest.mark.parametrize(
    ("field", "value"), [("idx_go_cue", np.nan), ("target_direction", np.nan), ("idx_go_cue", np.empty(0))]
)
def test_trialdata_leaves_out_unfinished_trials_with_a_warning(tmp_path, trials, field, value):
    trials[0][field] = value
    with pytest.warns(UserWarning, match=r"1 unfinished \(no go cue or target\), 1 not as asked"):
        session = read_trialdata_mat(trialdata(tmp_path / "a.mat", trials), "M1")
    assert np.unique(session.trial).tolist() == [1, 4]


def test_trialdata_leaves_out_nan_velocity_with_a_warning(tmp_path, trials):
    trials[1]["vel"][100] = np.nan
    with pytest.warns(UserWarning, match=r"1 unfinished \(velocity NaN\)"):
        session = read_trialdata_mat(trialdata(tmp_path / "a.mat", trials), "M1")
    assert np.unique(session.trial).tolist() == [0, 4]


def test_trialdata_says_what_is_wrong(tmp_path, trials):
    path = tmp_path / "a.mat"
    with pytest.raises(DataError, match="no field 'PMd_spikes'; it has monkey, date, .*M1_spikes"):
        read_trialdata_mat(trialdata(path, trials), "PMd")
    with pytest.raises(DataError, match="no field 'epoch'"):
        read_trialdata_mat(path, "M1", keep={"result": "R", "epoch": "BL"})
    with pytest.raises(DataError, match=r"1 of 5 trials usable, need two; left out: 4 not as asked"):
        read_trialdata_mat(path, "M1", keep={"trial_id": [1]})
    with pytest.raises(DataError, match="bins of 0.02 s do not add up to 0.03 s"):
        read_trialdata_mat(trialdata(path, [{**t, "bin_size": 0.02} for t in trials]), "M1")
    savemat(path, {"td": 1})
    with pytest.raises(DataError, match="no variable 'trial_data'; it has td"):
        read_trialdata_mat(path, "M1")
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(512))
    with pytest.raises(DataError, match="MATLAB 7.3 file; save it in MATLAB with '-v7'"):
        read_trialdata_mat(path, "M1")


def test_read_nwb(write_nwb, content):
    session = read_nwb(write_nwb(**content), "M1")
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


def test_s1_trials_have_35_bins(write_nwb, content):
    session = read_nwb(write_nwb(**{**content, "groups": ["S1"] * 4}), "S1")
    assert set(session.trial_lengths) == {35} and session.n_trials == 5  # the late go cue now fits


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
        ({"keep": {"outcome": 1}}, "no column 'outcome'"),
        ({"keep": {"result": "W"}}, r"no trial has result = W; there are \['A', 'R'\]"),
        ({"velocity": "kinematics/Velocity"}, "no 'kinematics' .* in the file; it has behavior, acquisition"),
        ({"velocity": "behavior/Velocity/hand_vel"}, "no 'hand_vel' .* in Velocity; it has cursor_vel"),
        ({"velocity": "behavior/Velocity"}, "must be a time series of two columns"),
        ({"velocity_unit": "furlong/s"}, "is in 'furlong/s'; pass velocity_unit as m/s, cm/s or mm/s"),
        ({"direction_unit": "turns"}, 'direction_unit must be "radians" or "degrees"'),
        (
            {"n_bins": 80},
            r"hand.nwb: 0 of 6 trials usable, need two; left out: 1 not as asked .* 5 too short for 80",
        ),
    ],
)
def test_read_nwb_says_what_is_wrong(write_nwb, content, options, message):
    with pytest.raises(ValueError, match=message):
        read_nwb(write_nwb(**content), **options)
