import numpy as np
import pytest
from nwb_files import RECORDED
from scipy.io import loadmat, savemat

from companion.authors_files import direction_to_eight, read_authors_mat
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


def test_a_newer_mat_file_says_how_to_save_it(tmp_path):
    path = tmp_path / "a.mat"
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(512))
    with pytest.raises(DataError, match="MATLAB 7.3 file; save it in MATLAB with '-v7'"):
        read_authors_mat(path, "M1")


def test_directions():
    angles = [-180, -135, -90, -45, 0, 45, 90, 135, 180, 225, 270, 315, 360, 44.99]
    np.testing.assert_array_equal(
        direction_to_eight(angles), [180, 225, 270, 315, 0, 45, 90, 135, 180, 225, 270, 315, 0, 45]
    )
    with pytest.raises(ValueError, match="multiples of 45 degrees, got .*22.5"):
        direction_to_eight([0, 22.5])
    with pytest.raises(ValueError, match="nan"):
        direction_to_eight([np.nan])
