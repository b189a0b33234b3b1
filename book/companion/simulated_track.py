"""A simulated animal on a track, with place cells and head-direction cells: an example without an NWB file.

It shows labels that are no movements, and says nothing about any brain.
"""

import numpy as np

from nerlib.data.preprocess import smooth

LENGTH, BIN_WIDTH = 200.0, 0.05  # cm, s


def simulate_track(
    seed: int, *, n_laps: int = 40, n_bins: int = 160, n_units: int = 60
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Laps along a track of 200 cm, one way, at a speed that varies, while the animal looks around.

    Half of the units have a place field, the other half a preferred heading; spikes are Poisson, counted in
    bins of 50 ms and smoothed within a lap by a Gaussian of 100 ms.

    Parameters
    ----------
    seed : int
    n_laps, n_bins, n_units : int, laps, bins of each lap, units

    Returns
    -------
    rates (T, units) in spikes/bin, position (T,) in cm, heading (T,) in degrees from 0 to 360, lap (T,) int
    """
    rng = np.random.default_rng(seed)
    steps = rng.gamma(2.0, size=(n_laps, n_bins)).cumsum(axis=1)
    position = (LENGTH * steps / steps[:, -1:]).ravel()
    turns = smooth(rng.normal(0, 60, (n_laps * n_bins, 1)), 10, np.full(n_laps, n_bins)).ravel()
    heading = turns.reshape(n_laps, n_bins).cumsum(axis=1) + rng.uniform(0, 360, (n_laps, 1))
    heading = heading.ravel() % 360
    n_place = n_units // 2
    fields, preferred = rng.uniform(0, LENGTH, n_place), rng.uniform(0, 360, n_units - n_place)
    at_place = np.exp(-0.5 * ((position[:, None] - fields) / 15) ** 2)
    at_heading = np.exp(2 * (np.cos(np.deg2rad(heading[:, None] - preferred)) - 1))
    hz = 0.5 + 20 * np.hstack([at_place, at_heading])
    rates = smooth(rng.poisson(hz * BIN_WIDTH), 2, np.full(n_laps, n_bins))
    return rates, position, heading, np.repeat(np.arange(n_laps), n_bins)


def median_errors(position: tuple, heading: tuple) -> tuple[float, float]:
    """Median absolute errors of pairs (true, decoded): position (cm), heading (degrees, the short way)."""
    turned = np.abs((heading[1] - heading[0] + 180) % 360 - 180)
    return float(np.median(np.abs(position[1] - position[0]))), float(np.median(turned))
