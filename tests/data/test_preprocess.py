import numpy as np
import pytest
from nwb_files import loop_smooth

from nerlib.data.preprocess import (
    bin_means,
    bin_spikes,
    kernel,
    smooth,
    whole_degrees,
    window_rates,
)

MAZE_TRIALS = ("trial_748_data.csv", "trial_1356_data.csv")


def test_bin_spikes_by_hand():
    spikes = [[0.0, 0.01, 0.0299, 0.03, 0.0899, 0.09], [], [0.061, 0.062, 0.0]]  # the last is not in order
    counts = bin_spikes(spikes, [0.0], 3, 0.03)
    np.testing.assert_array_equal(counts, [[3, 0, 1], [1, 0, 0], [1, 0, 2]])


def test_a_time_on_an_edge_opens_the_next_bin_despite_rounding():
    edge = 0.1 + 3 * 0.03  # 0.19, but 0.18999999999999997 as a float sum
    counts = bin_spikes([[0.19, edge]], [0.1], 4, 0.03)
    np.testing.assert_array_equal(counts[:, 0], [0, 0, 0, 2])


def test_windows_of_different_lengths_that_overlap_match_histograms():
    rng = np.random.default_rng(0)
    spikes = [np.sort(rng.uniform(0, 10, n)) for n in (200, 37, 0)]
    starts, n_bins = [0.5, 1.0, 7.3], [40, 3, 11]
    counts = bin_spikes(spikes, starts, n_bins, 0.03)
    expected = [
        np.column_stack([np.histogram(s, start + 0.03 * np.arange(n + 1))[0] for s in spikes])
        for start, n in zip(starts, n_bins, strict=True)
    ]
    np.testing.assert_array_equal(counts, np.vstack(expected))


@pytest.mark.parametrize(("n_bins", "bin_width"), [(0, 0.03), (3, 0.0), (3, -1.0)])
def test_bins_must_exist(n_bins, bin_width):
    with pytest.raises(ValueError, match="positive width and number"):
        bin_spikes([[0.1]], [0.0], n_bins, bin_width)


def test_bin_means_by_hand():
    times = [0.00, 0.01, 0.02, 0.03, 0.06, 0.09, 0.10]
    values = np.column_stack([[1, 2, 3, 10, np.nan, 5, 7], np.zeros(7)])
    means = bin_means(times, values, [0.0], 5, 0.03)
    np.testing.assert_allclose(means[:, 0], [2, 10, np.nan, 6, np.nan])  # NaN sample, and no sample
    np.testing.assert_allclose(means[:, 1], [0, 0, np.nan, 0, np.nan])


def test_bin_means_refuses_what_it_cannot_bin():
    with pytest.raises(ValueError, match="3 samples need as many times, got 2"):
        bin_means([0, 1], np.zeros((3, 2)), [0.0], 1, 1.0)
    with pytest.raises(ValueError, match="go back after sample 1"):
        bin_means([0, 2, 1], np.zeros((3, 2)), [0.0], 1, 1.0)


def test_the_kernel_has_the_papers_nine_weights():
    weights = kernel(1.5)
    np.testing.assert_allclose(weights[4:], [0.266560, 0.213445, 0.109586, 0.036075, 0.007614], atol=1e-6)
    assert len(weights) == 9 and weights.sum() == pytest.approx(1)
    assert np.array_equal(weights, weights[::-1])
    assert len(kernel(10)) == 61
    with pytest.raises(ValueError, match="must not be negative"):
        kernel(-1)


def test_smooth_of_one_spike_is_the_kernel_cut_off_at_the_trials_ends():
    counts = np.zeros((20, 2))
    counts[10, 0] = counts[1, 1] = 1
    smoothed = smooth(counts)
    np.testing.assert_allclose(smoothed[6:15, 0], kernel(1.5))
    np.testing.assert_allclose(smoothed[:6, 1], kernel(1.5)[3:])
    assert smoothed[:6, 0].max() == 0 and smoothed[15:, 0].max() == 0 and smoothed[6:, 1].max() == 0


@pytest.mark.parametrize(("sd", "half_width"), [(1.5, 4), (10, 30), (2.0, 6)])
def test_smooth_stays_within_trials(sd, half_width):
    lengths = [40, 3, 25, 1]
    counts = np.random.default_rng(1).poisson(2, (sum(lengths), 5))
    expected = [loop_smooth(trial, sd, half_width) for trial in np.split(counts, np.cumsum(lengths)[:-1])]
    np.testing.assert_allclose(smooth(counts, sd, lengths), np.vstack(expected), atol=1e-12)


def test_smooth_edge_cases():
    counts = np.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(smooth(counts, 0), counts)
    with pytest.raises(ValueError, match="lengths add up to 4 bins, counts have 3"):
        smooth(counts, lengths=[2, 2])


def test_window_rates_are_whole_trials_smoothed_then_cut():
    rng = np.random.default_rng(2)
    spikes = [np.sort(rng.uniform(0, 30, n)) for n in (900, 300, 60)]
    start, stop = np.array([0.0, 4.0, 9.0]), np.array([4.0, 6.35, 12.0])
    first = np.array([1.61, 5.11, 9.0])  # the second ends close to the trial's end, the third begins with it
    rates = window_rates(spikes, (first, start, stop), n_bins=40, bin_width=0.03, smooth_sd=0.045)
    for trial, (f, a, b) in enumerate(zip(first, start, stop, strict=True)):
        before, after = int((f - a) / 0.03 + 1e-6), int((b - f) / 0.03 + 1e-6)
        edges = f + 0.03 * np.arange(-before, after + 1)
        counts = np.column_stack([np.histogram(s, edges)[0] for s in spikes])
        expected = loop_smooth(counts, 1.5, 4)[before : before + 40]
        np.testing.assert_allclose(rates[40 * trial : 40 * trial + 40], expected, atol=1e-12)


def test_whole_degrees():
    np.testing.assert_array_equal(whole_degrees(np.array([-0.2, 359.7, -90.4, 17.2])), [0, 0, 270, 17])
    assert np.isnan(whole_degrees(np.array([np.nan]))).all()


@pytest.fixture(params=MAZE_TRIALS)
def maze_trial(request, data_folder):
    import pandas as pd

    path = data_folder / "mc_maze_trials" / request.param
    return pd.read_csv(path)


def test_recorded_spikes_and_velocity(maze_trial):
    """One 1 ms trial of MC_Maze: binning, smoothing and velocity against independent computations."""
    times = maze_trial.timestamp.to_numpy()
    units = maze_trial.filter(like="unit_").to_numpy()
    n_bins = len(times) // 5
    counts = bin_spikes([times[unit == 1] for unit in units.T], times[:1], n_bins, 0.005)
    expected = units[: 5 * n_bins].reshape(n_bins, 5, -1).sum(axis=1)
    assert expected.sum() > 1000
    np.testing.assert_array_equal(counts, expected)
    np.testing.assert_allclose(smooth(counts, 10), loop_smooth(expected, 10, 30), atol=1e-12)

    hand, speed = (maze_trial[[f"hand_{kind}_x", f"hand_{kind}_y"]].to_numpy() for kind in ("pos", "vel"))
    velocity = bin_means(times, speed, times[:1], n_bins, 0.005)
    moved = (hand[5 : 5 * n_bins : 5] - hand[: 5 * n_bins - 5 : 5]) / 0.005  # mm/s, over each bin
    assert np.abs(velocity).max() > 200
    assert np.abs(velocity[:-1] - moved).max() < 0.02 * np.abs(velocity).max()


def test_a_causal_kernel_is_the_past_half_of_the_published_one():
    impulse = np.zeros((12, 1))
    impulse[5] = 1
    published, causal = (smooth(impulse, smoothing=name).ravel() for name in ("published", "causal"))
    half = np.where(np.arange(12) < 5, 0, published)
    np.testing.assert_allclose(causal, half / half.sum())
    assert published.sum() == pytest.approx(1) and np.count_nonzero(causal) == 5
    with pytest.raises(ValueError, match='smoothing must be "published" or "causal", got \'past\''):
        smooth(impulse, smoothing="past")


def test_recorded_rates_were_smoothed_with_this_kernel(data_folder):
    """A lone spike leaves the outermost weight behind: the smallest rate of the authors' file."""
    from scipy.io import loadmat

    path = data_folder / "perich" / "Chewie_20161007_neural_con_dis_index.mat"
    rates = loadmat(path)["neural_M1"]
    assert rates[rates > 0].min() == pytest.approx(kernel(1.5)[0], rel=1e-9)
