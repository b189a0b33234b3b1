"""From spike times and movement samples to rates and velocities, trial by trial.

Source of all functions: preprocessing in section 3.1 and the appendix of the NER paper.
"""

import numpy as np

Array = np.ndarray
EDGE = 1e-7  # s; edges are rounded: a time this close before one belongs to the bin that starts there


def _edges(starts, n_bins, bin_width):
    """Bin edges of all windows, one window after the other, and the index of the edge that opens each bin."""
    starts = np.atleast_1d(np.asarray(starts, float))
    n_bins = np.broadcast_to(n_bins, starts.shape).astype(int)
    if not bin_width > 0 or (n_bins < 1).any():
        raise ValueError(f"bins need a positive width and number, got {bin_width} s and {n_bins.min()} bins")
    edges = [start + np.arange(n + 1) * bin_width - EDGE for start, n in zip(starts, n_bins, strict=True)]
    opening = np.arange(n_bins.sum()) + np.repeat(np.arange(len(starts)), n_bins)
    return np.concatenate([*edges, np.empty(0)]), opening


def bin_spikes(spike_times: list, starts: Array, n_bins: int | Array, bin_width: float) -> Array:
    """Count spikes in the bins [start + k·bin_width, start + (k + 1)·bin_width) of every window.

    ``spike_times`` are N arrays. ``starts``, an array (n_windows,), is where each window's first bin starts;
    windows may overlap. ``n_bins`` is one int, or an int a window. All times are in s. Returns a float array
    (n_bins of all windows, N). Raises ValueError where bin_width or n_bins is not positive.
    """
    edges, opening = _edges(starts, n_bins, bin_width)
    counts = np.empty((len(opening), len(spike_times)))
    for neuron, times in enumerate(spike_times):
        counts[:, neuron] = np.diff(np.searchsorted(np.sort(times), edges))[opening]
    return counts


def bin_means(times: Array, values: Array, starts: Array, n_bins: int | Array, bin_width: float) -> Array:
    """Mean of ``values`` (n_samples, d) at ascending ``times`` (s) in each bin of windows as in `bin_spikes`.

    An array (n_bins of all windows, d) in the unit of ``values``, NaN where a bin holds no sample, or one
    that is not finite. Raises ValueError where lengths differ, or times go back.
    """
    times, values = np.asarray(times, float), np.asarray(values, float)
    if len(times) != len(values):
        raise ValueError(f"{len(values)} samples need as many times, got {len(times)}")
    if (np.diff(times) < 0).any():
        raise ValueError(f"times must ascend; they go back after sample {int(np.argmax(np.diff(times) < 0))}")
    edges, opening = _edges(starts, n_bins, bin_width)
    values = np.where(np.isfinite(values).all(axis=1, keepdims=True), values, np.nan)
    at = np.searchsorted(times, edges)
    sums = np.add.reduceat(np.vstack([values, np.zeros(values.shape[1])]), at)  # exact for single samples
    total, count = sums[opening], np.diff(at)[opening, None]
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def kernel(sd: float, smoothing: str = "published") -> Array:
    """Gaussian kernel that sums to 1 and reaches 3 s.d. (rounded down); s.d. in bins.

    "published": to either side; "causal": to the past alone, with weight 0 on bins that are still to come.
    """
    if smoothing not in ("published", "causal"):
        raise ValueError(f'smoothing must be "published" or "causal", got {smoothing!r}')
    if sd < 0:
        raise ValueError(f"sd must not be negative, got {sd}")
    reach = int(3 * sd)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sd) ** 2) if reach else np.ones(1)
    if smoothing == "causal":
        weights[:reach] = 0  # convolution reverses the order: the first weights are for later bins
    return weights / weights.sum()


def smooth(
    counts: Array, sd: float = 1.5, lengths: Array | None = None, smoothing: str = "published"
) -> Array:
    """Smooth each neuron within each trial, with zeros beyond the trial's ends: array (T, N), spikes/bin.

    ``counts`` (T, N) are whole trials one after the other, not yet cut, and ``lengths``, an int array
    (n_trials,), the bins of each; None is one trial. ``sd`` is the Gaussian's s.d. in bins: 1.5 for 45 ms and
    30 ms bins (9 weights, as in the paper), 10 for MC_Maze (61 weights); 0 is none. ``smoothing`` is
    "published" or "causal", as in `read_nwb`. Raises ValueError where lengths do not add up to T, for a
    negative sd, and for another smoothing.
    """
    from scipy.ndimage import convolve1d

    counts, weights = np.asarray(counts, float), kernel(sd, smoothing)
    lengths = np.array([len(counts)]) if lengths is None else np.asarray(lengths)
    if lengths.sum() != len(counts):
        raise ValueError(f"lengths add up to {lengths.sum()} bins, counts have {len(counts)}")
    # As many zero rows between trials as the kernel reaches, so that one convolution serves all of them.
    rows = np.arange(len(counts)) + len(weights) // 2 * np.repeat(np.arange(len(lengths)), lengths)
    spaced = np.zeros((rows[-1] + 1 if len(rows) else 0, *counts.shape[1:]))
    spaced[rows] = counts
    return convolve1d(spaced, weights, axis=0, mode="constant")[rows]


def window_rates(
    spike_times: list, windows, n_bins: int, bin_width: float, smooth_sd: float, smoothing: str = "published"
) -> Array:
    """Smoothed counts (spikes/bin) in one window per trial: array (n_trials · n_bins, N).

    ``spike_times`` are N arrays, ``windows`` is an array (3, n_trials): when each window begins, and when its
    trial, in which it must lie, begins and ends. All times are in s, as bin_width and smooth_sd. The whole
    trial is binned and smoothed, then cut; bins out of the kernel's reach are not computed. Raises ValueError
    where smooth_sd is longer than a window.
    """
    if smooth_sd > n_bins * bin_width:
        raise ValueError(f"smooth_sd is in seconds; {smooth_sd:g} is longer than a trial, {n_bins} bins")
    first, start, stop = windows
    reach = len(kernel(smooth_sd / bin_width)) // 2
    before = np.clip(np.floor((first - start + EDGE) / bin_width), 0, reach).astype(int)
    after = np.clip(np.floor((stop - first + EDGE) / bin_width) - n_bins, 0, reach).astype(int)
    lengths = before + n_bins + after
    counts = bin_spikes(spike_times, first - before * bin_width, lengths, bin_width)
    rates = smooth(counts, smooth_sd / bin_width, lengths, smoothing)
    first_rows = np.cumsum(lengths) - lengths + before
    return rates[(first_rows[:, None] + np.arange(n_bins)).ravel()]


def whole_degrees(angle: Array) -> Array:
    """Angles in degrees, rounded to whole degrees in [0, 360); NaN stays NaN."""
    return np.round(angle) % 360
