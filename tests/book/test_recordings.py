"""The recordings that come with the book: whole, small and valid, and equal to the authors' files."""

import hashlib
from pathlib import Path

import numpy as np
import pynwb
import pytest
from nwb_files import RECORDED, loop_smooth

from nerlib.data import DataError
from nerlib.data.nwb import open_nwb, read_velocity
from nerlib.data.preprocess import bin_means, whole_degrees
from recordings import make

FOLDER = Path(__file__).parents[2] / "book" / "recordings"


def test_all_files_are_here_and_unchanged():
    lines = (FOLDER / "checksums.txt").read_text().splitlines()
    listed = {name: checksum for checksum, name in (line.split("  ") for line in lines)}
    content = {path.name: path.read_bytes() for path in sorted(FOLDER.glob("*.nwb"))}
    assert listed == {name: hashlib.sha256(found).hexdigest() for name, found in content.items()}
    assert list(content) == list(listed) == [f"{name}.nwb" for name in sorted(RECORDED)]
    assert set(make.SESSIONS) == set(RECORDED)
    assert sum(map(len, content.values())) <= 3e6
    areas = [area for _, units in RECORDED.values() for area in units]
    assert [areas.count(area) for area in ("M1", "PMd", "S1")] == [8, 6, 3]


@pytest.mark.parametrize("name", RECORDED)
def test_recording(name):
    path, (n_trials, units), (monkey, date) = FOLDER / f"{name}.nwb", RECORDED[name], name.split("_")
    assert pynwb.validate(path=str(path)) == []
    n_bins = 35 if "S1" in units else 40
    with open_nwb(path) as nwb:
        assert (nwb.session_id, nwb.subject.subject_id) == (name, monkey)
        assert f"{nwb.session_start_time:%Y%m%d %H%M %Z}" == f"{date} 0000 UTC"
        assert nwb.subject.species == "Macaca mulatta" and nwb.lab == "Miller lab"
        assert nwb.institution == "Northwestern University"
        assert "10.5061/dryad.xd2547dkt" in nwb.related_publications[0]
        assert "CC0" in nwb.notes and "Derived from" in nwb.notes and "nominal" in nwb.session_description
        groups = [group.location for group in nwb.units["electrode_group"][:]]
        assert {area: groups.count(area) for area in groups} == units
        assert groups == sorted(groups)

        trials = nwb.trials.to_dataframe()
        assert len(trials) == n_trials and set(trials.result) == {"R"}
        np.testing.assert_allclose(trials.stop_time - trials.start_time, 0.03 * (n_bins + 8))
        np.testing.assert_allclose(trials.go_cue_time - trials.start_time, 0.12)
        assert (trials.start_time[1:].values > trials.stop_time[:-1].values).all()
        assert set(whole_degrees(np.degrees(trials.target_dir))) == set(range(0, 360, 45))

        for area, n_units in units.items():
            counts = nwb.processing["ecephys"][f"counts_{area}"]
            assert counts.data.shape == (n_trials * (n_bins + 8), n_units) and counts.data.dtype == np.uint8
            assert counts.data[:].max() <= 12 and counts.data[:].any(axis=0).all()
            starts = trials.start_time.values[:, None] + 0.03 * np.arange(n_bins + 8)
            np.testing.assert_allclose(counts.timestamps[:], starts.ravel())

        # velocity is where readers look for it: one sample in each bin from the go cue, and no other
        times, velocity = read_velocity(nwb, "behavior/Velocity/cursor_vel")
        binned = bin_means(times, velocity, trials.go_cue_time, n_bins, 0.03)
        np.testing.assert_allclose(binned, velocity, atol=1e-9)
        # the hand goes where the target is
        reach = velocity.reshape(n_trials, n_bins, 2).sum(axis=1)
        angle = np.arctan2(*reach.T[::-1]) - trials.target_dir
        assert np.mean(np.cos(angle) > np.cos(np.pi / 6)) > 0.9


@pytest.mark.parametrize("name", RECORDED)
def test_recording_returns_the_authors_values(name, data_folder):
    source = data_folder / "perich" / f"{name}_neural_con_dis_index.mat"
    of_rates, of_velocity, of_direction = make.largest_errors(FOLDER / f"{name}.nwb", source)
    assert of_rates <= 1e-9 and of_velocity <= 1e-4 and of_direction <= 1e-9


def simulated_counts(mean, high, seed=0):
    """Counts of 6 trials of 48 bins and 5 units; the last trials end up to four bins early."""
    counts = np.random.default_rng(seed).poisson(mean, (6, 48, 5)).clip(0, high)
    for trial, bins in enumerate((0, 0, 1, 2, 3, 4)):
        counts[trial, 48 - bins :] = 0
    return counts


def smoothed_and_cut(counts):
    """The authors' processing: whole trials smoothed with zeros beyond the ends, then 40 bins of each."""
    return np.concatenate([loop_smooth(trial, 1.5, 4)[4:44] for trial in counts])


@pytest.mark.parametrize(("mean", "high"), [(0.3, 12), (3, 12), (9, 12), (12, 12)])
def test_counts_are_recovered(mean, high):
    counts = simulated_counts(mean, high)
    found = make.recover_counts(smoothed_and_cut(counts), 40)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, counts)


def test_a_trial_longer_than_the_window_gives_the_bins_around_it():
    longer = np.random.default_rng(1).poisson(1, (3, 70, 4))
    rates = np.concatenate([loop_smooth(trial, 1.5, 4)[10:45] for trial in longer])
    np.testing.assert_array_equal(make.recover_counts(rates, 35), longer[:, 6:49])


def test_what_is_no_smoothed_count_is_refused():
    counts = simulated_counts(3, 8)
    rates = smoothed_and_cut(counts)
    with pytest.raises(DataError, match="whole counts up to 12; 1 of 1200 are not"):
        make.recover_counts(
            np.where(np.arange(rates.size).reshape(rates.shape) == 500, rates + 1e-8, rates), 40
        )
    with pytest.raises(DataError, match="are not"):
        make.recover_counts(smoothed_and_cut(counts / 2), 40)
    counts[2, 20, 3] = 13
    with pytest.raises(DataError, match="up to 12; .* are not"):
        make.recover_counts(smoothed_and_cut(counts), 40)
    np.testing.assert_array_equal(make.recover_counts(smoothed_and_cut(counts), 40, most=13), counts)


def test_smoothed_values_are_distinct():
    assert np.diff(make.smoothed_values(12)[0]).min() > 9e-8


def test_the_same_input_gives_the_same_file(tmp_path):
    counts = simulated_counts(1, 12)
    rates = {"M1": smoothed_and_cut(counts), "PMd": smoothed_and_cut(counts[:, :, :2])}
    velocity = np.random.default_rng(2).normal(0, 20, (240, 2))
    direction = np.array([0, 45, -90, 180, -180, 315.0])
    paths = [tmp_path / str(copy) / "Sim_20990101.nwb" for copy in range(2)]
    for path in paths:
        path.parent.mkdir()
        make.write_session(path, rates, velocity, direction)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert pynwb.validate(path=str(paths[0])) == []
    found, moved, angles = make.read_recording(paths[0])
    np.testing.assert_array_equal(found["M1"], counts)
    np.testing.assert_array_equal(found["PMd"], counts[:, :, :2])
    np.testing.assert_allclose(moved, velocity, rtol=1e-7)
    np.testing.assert_allclose(angles, direction)
