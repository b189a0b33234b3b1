"""A simulated animal on a track, with place cells and head-direction cells: an example without an NWB file.

It shows labels that are no movements, and says nothing about any brain.
"""

import numpy as np

from nerlib.data.preprocess import smooth

LENGTH, BIN_WIDTH = 200.0, 0.05  # cm, s
N_LAPS, N_BINS, N_UNITS = 40, 160, 60  # laps, bins of each lap, units


def simulate_track(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Laps along a track of 200 cm, one way, at a speed that varies, while the animal looks around.

    Half of the units have a place field, the other half a preferred heading; spikes are Poisson, counted in
    bins of 50 ms and smoothed within a lap by a Gaussian of 100 ms. Returns rates (T, units) in spikes/bin,
    position (T,) in cm, heading (T,) in degrees from 0 to 360, and lap (T,) int.
    """
    rng = np.random.default_rng(seed)
    steps = rng.gamma(2.0, size=(N_LAPS, N_BINS)).cumsum(axis=1)
    position = (LENGTH * steps / steps[:, -1:]).ravel()
    turns = smooth(rng.normal(0, 60, (N_LAPS * N_BINS, 1)), 10, np.full(N_LAPS, N_BINS)).ravel()
    heading = turns.reshape(N_LAPS, N_BINS).cumsum(axis=1) + rng.uniform(0, 360, (N_LAPS, 1))
    heading = heading.ravel() % 360
    n_place = N_UNITS // 2
    fields, preferred = rng.uniform(0, LENGTH, n_place), rng.uniform(0, 360, N_UNITS - n_place)
    at_place = np.exp(-0.5 * ((position[:, None] - fields) / 15) ** 2)
    at_heading = np.exp(2 * (np.cos(np.deg2rad(heading[:, None] - preferred)) - 1))
    hz = 0.5 + 20 * np.hstack([at_place, at_heading])
    rates = smooth(rng.poisson(hz * BIN_WIDTH), 2, np.full(N_LAPS, N_BINS))
    return rates, position, heading, np.repeat(np.arange(N_LAPS), N_BINS)


def median_errors(position: tuple, heading: tuple) -> tuple[float, float]:
    """Median absolute errors of pairs (true, decoded): position (cm), heading (degrees, the short way)."""
    turned = np.abs((heading[1] - heading[0] + 180) % 360 - 180)
    return float(np.median(np.abs(position[1] - position[0]))), float(np.median(turned))
