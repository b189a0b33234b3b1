import numpy as np
import pytest
from nwb_files import RECORDED, loop_smooth
from scipy.io import loadmat, savemat

from companion.authors_files import direction_to_eight, read_authors_mat, read_trialdata_mat
from companion.catalogue import N_BINS
from nerlib.data import DataError


@pytest.mark.parametrize("name", RECORDED)
def test_the_authors_sessions(name, data_folder):
    path = data_folder / "perich" / f"{name}_neural_con_dis_index.mat"
    n_trials, areas = RECORDED[name]
    raw = loadmat(path)
    for area, neurons in areas.items():
        n_bins = 35 if area == "S1" else 40
        session = read_authors_mat(path, area, N_BINS[area])
        assert session.n_trials == n_trials and session.rates.shape == (n_trials * n_bins, neurons)
        assert set(session.trial_lengths) == {n_bins} and session.bin_width == 0.03
        assert (session.name, session.area, session.monkey, session.date) == (name, area, *name.split("_"))
        assert not session.simulated
        np.testing.assert_allclose(session.velocity, 10 * raw["continuous_index"], atol=1e-4)
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
        ({"continuous_index": np.ones((79, 2))}, "M1", r"velocity must be \(80, k\) .* got \(79, 2\)"),
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
    with pytest.warns(UserWarning, match="Chewie_CO.mat: left out trials: 1 .* 1 too short for 40 bins"):
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
    with pytest.warns(UserWarning, match=r"1 unfinished \(no go cue or target\), 1 not selected by"):
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
    with pytest.raises(DataError, match=r"1 of 5 trials usable, need 2; left out: 4 not selected by"):
        read_trialdata_mat(path, "M1", keep={"trial_id": [1]})
    with pytest.raises(DataError, match="bins of 0.02 s do not add up to 0.03 s"):
        read_trialdata_mat(trialdata(path, [{**t, "bin_size": 0.02} for t in trials]), "M1")
    savemat(path, {"td": 1})
    with pytest.raises(DataError, match="no variable 'trial_data'; it has td"):
        read_trialdata_mat(path, "M1")
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(512))
    with pytest.raises(DataError, match="MATLAB 7.3 file; save it in MATLAB with '-v7'"):
        read_trialdata_mat(path, "M1")


def test_directions():
    angles = [-180, -135, -90, -45, 0, 45, 90, 135, 180, 225, 270, 315, 360, 44.99]
    np.testing.assert_array_equal(
        direction_to_eight(angles), [180, 225, 270, 315, 0, 45, 90, 135, 180, 225, 270, 315, 0, 45]
    )
    with pytest.raises(ValueError, match="multiples of 45 degrees, got .*22.5"):
        direction_to_eight([0, 22.5])
    with pytest.raises(ValueError, match="nan"):
        direction_to_eight([np.nan])
