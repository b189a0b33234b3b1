"""Simulated sessions: minimum-jerk reaches and cosine-tuned Poisson neurons, for tests and stand-ins.

Such sessions are marked SIMULATED and say nothing about the paper's values.
"""

from datetime import date, timedelta
from typing import NamedTuple

import numpy as np

from nerlib.data.nwb import MAZE_SCHEMA
from nerlib.data.preprocess import bin_means, whole_degrees, window_rates
from nerlib.session import Session

N_NEURONS = {"M1": 65, "PMd": 90, "S1": 60}
N_BINS = {"M1": 40, "PMd": 40, "S1": 35}  # bins per centre-out trial
BASE = {"M1": 8.5, "PMd": 5.5, "S1": 6.5}  # Hz, median rate
LEAD = {"M1": 0.08, "PMd": 0.12, "S1": -0.04}  # s by which the rates precede the movement
PREPARATION = {"M1": 2.5, "PMd": 5.0, "S1": 0.0}  # Hz, s.d. over neurons, from target to go cue
MOVEMENT = {"M1": 1.45, "PMd": 1.6, "S1": 1.3}  # strength of velocity and speed tuning
MAZE_TYPES = (1, 13, 18, 31, 34, 37, 38)  # each has versions 0 (straight), 1 and 2 (barriers, curved)


class Simulation(NamedTuple):
    """A session, its trials table (dict of columns, one row per trial id) and the numbers of its neurons."""

    session: Session
    trials: dict
    neurons: np.ndarray


def simulate_session(seed: int = 0, area: str = "M1", **options) -> Session:
    """The session of `simulate_recording`, which documents the parameters."""
    return simulate_recording(seed, area, **options).session


def simulate_recording(
    seed: int = 0, area: str = "M1", *, day: int = 0, n_trials: int = 170, n_neurons: int | None = None,
    task: str = "center_out", smoothing: str = "published",
) -> Simulation:  # fmt: skip
    """Simulate a recording; ValueError for an argument that is not as below.

    Its session is named e.g. "Sim_M1_day000" ("SimMaze_M1_day000") and has simulated=True. The same arguments
    give the same arrays, bit for bit on one machine and up to rounding on others.

    Parameters
    ----------
    seed : int, the animal; it has the same neurons on all days, and the same movements in all areas of a day
    area : "M1", "PMd" or "S1"
    day : int >= 0, days since the first; the longer the interval, the fewer neurons two days share
    n_trials : int >= 2, rewarded trials; in "center_out" about one in twenty more is a failure, left out
    n_neurons : int or None; None is 65 for M1, 90 for PMd, 60 for S1
    task : "center_out", or "maze" for straight and curved reaches, binned as MC_Maze is
    smoothing : "published" or "causal", as in `read_nwb`
    """
    if area not in N_NEURONS:
        raise ValueError(f"area must be M1, PMd or S1, got {area!r}")
    if task not in ("center_out", "maze"):
        raise ValueError(f'task must be "center_out" or "maze", got {task!r}')
    n_neurons = N_NEURONS[area] if n_neurons is None else n_neurons
    if n_trials < 2 or n_neurons < 1 or day < 0:
        raise ValueError(f"need n_trials >= 2, n_neurons >= 1, day >= 0; got {n_trials}, {n_neurons}, {day}")
    trials, targets, reaches = _plan(_rng("plan", seed, day, task), n_trials, task)
    step = 0.01 if task == "center_out" else 0.005
    times = np.arange(round((trials["stop_time"][-1] + 1.0) / step)) * step
    position, velocity = _move(_rng("tremor", seed, day, task), times, reaches)
    rates, neurons = _rates(seed, area, day, n_neurons, times, position, velocity, trials, targets)
    noise = _rng("spikes", seed, day, task, area)
    counts = noise.poisson(rates * step).T
    fired = np.repeat(np.tile(times, n_neurons), counts.ravel()) + step * noise.random(counts.sum())
    spikes = np.split(fired, np.cumsum(counts.sum(axis=1))[:-1])

    centered = {"align": "go_cue_time", "before": 0.0, "n_bins": N_BINS[area], "bin_width": 0.03}
    window: dict = MAZE_SCHEMA if task == "maze" else centered | {"smooth_sd": 0.045}
    n_bins, width = window["n_bins"], window["bin_width"]
    kept = np.flatnonzero(trials["rewarded"])
    first = trials[window["align"]][kept] - window["before"]
    windows = first, trials["start_time"][kept], trials["stop_time"][kept]
    binned = window_rates(spikes, windows, n_bins, width, window["smooth_sd"], smoothing)
    moved = bin_means(times, 10 * velocity, first, n_bins, width)
    direction = whole_degrees(np.degrees(np.arctan2(*targets[kept].T[::-1])))
    name = f"{'Sim' if task == 'center_out' else 'SimMaze'}_{area}_day{day:03d}"
    today = f"{date(2000, 1, 1) + timedelta(days=day):%Y%m%d}"
    about: dict = {"name": name, "area": area, "monkey": "Sim", "date": today, "simulated": True}
    session = Session(binned, moved, np.repeat(direction, n_bins), np.repeat(kept, n_bins), width, **about)
    return Simulation(session, trials, neurons)


def _rng(purpose, seed, *more):
    """A generator of its own for every purpose and every further word or number."""
    return np.random.default_rng([seed, *" ".join(map(str, (purpose, *more))).encode()])


def _plan(rng, n_trials, task):
    """The trials table (dict of columns), targets (n, 2; cm), and the reaches out and back as arrays."""
    n_failed = max(1, n_trials // 20) if task == "center_out" else 0
    n = n_trials + n_failed
    failed = np.isin(np.arange(n), rng.permutation(n)[:n_failed])
    hold, delay = rng.uniform(0.4, 0.6, n), rng.uniform(0.5, 1.0, n)
    reaction, vigour = rng.normal(0.24, 0.03, n).clip(0.15, 0.4), rng.normal(1, 0.08, n).clip(0.75, 1.25)
    duration = (0.56 if task == "center_out" else 0.45) / vigour
    length = hold + delay + reaction + duration + rng.uniform(0.65, 0.9, n)  # 1.2 s from the go cue fit
    start = 0.5 + np.r_[0, np.cumsum(length + 1.2)[:-1]]
    go = start + hold + delay
    trials = {"start_time": start, "stop_time": start + length, "target_on_time": start + hold}
    trials["rewarded"] = ~failed
    if task == "center_out":
        target_id = np.concatenate([rng.permutation(8) for _ in range(-(-n // 8))])[:n].astype(float)
        angle, distance, bend = target_id * np.pi / 4, 8.0, np.zeros(n)
        trials["go_cue_time"] = np.where(failed, np.nan, go)
    else:
        kind, version = rng.integers(len(MAZE_TYPES), size=n), rng.integers(3, size=n)
        angle, distance = 2 * np.pi * kind / len(MAZE_TYPES) + 0.3, 10.0
        bend = np.where(kind % 2, 1, -1) * np.array([0.0, 3.5, 5.0])[version]
        trials |= {"go_cue_time": go, "move_onset_time": go + reaction}
        trials |= {"trial_type": np.array(MAZE_TYPES)[kind], "trial_version": version}
    targets = distance * np.column_stack([np.cos(angle), np.sin(angle)])
    end = targets + rng.normal(0, 0.5, (n, 2))
    side = np.column_stack([-np.sin(angle), np.cos(angle)]) * (bend + rng.normal(0, 0.35, n))[:, None]
    begin, back = go + reaction, (start + length + 0.1, np.full(n, 0.8), -end, -0.2 * side)
    pairs = zip((begin, duration, end, side), back, strict=True)
    return trials, targets, [np.concatenate([x[~failed], y[~failed]]) for x, y in pairs]  # no failed reaches


def _move(rng, times, reaches):
    """Position (cm) and velocity (cm/s) at all times: minimum-jerk reaches, bent sideways, some tremor."""
    from scipy.ndimage import gaussian_filter1d

    step = times[1] - times[0]
    position = np.zeros((len(times), 2))
    for begin, duration, path, side in zip(*reaches, strict=True):
        first, last = np.searchsorted(times, (begin, begin + duration))
        t = ((times[first:last] - begin) / duration)[:, None]
        progress = t**3 * (10 - 15 * t + 6 * t**2)
        position[first:last] += progress * path + np.sin(np.pi * progress) * side
        position[last:] += path
    tremor = gaussian_filter1d(rng.normal(size=position.shape), 0.05 / step, axis=0)
    position += 0.06 * tremor / tremor.std()
    return position, np.gradient(position, step, axis=0)


def _rates(seed, area, day, n_neurons, times, position, velocity, trials, targets):
    """Rates (n_times, N) in Hz of the neurons present on this day, and their numbers (N,)."""
    from scipy.signal import lfilter

    tuning = _rng("tuning", seed, area)
    size = 3 * n_neurons  # neurons that the array could record; each comes and goes with a period of its own
    period, phase, drift = tuning.uniform(150, 900, size), tuning.random(size), tuning.normal(0, 0.25, size)
    preferred = tuning.uniform(-np.pi, np.pi, size) + drift * np.sin(2 * np.pi * day / 400)
    base = tuning.lognormal(np.log(BASE[area]), 0.8, size).clip(1, 45)
    depth = MOVEMENT[area] * base**0.7 * tuning.uniform(0.4, 1.8, (3, size))  # direction, speed, position
    place, plan = tuning.uniform(-np.pi, np.pi, (2, size))
    inhibited = tuning.random(size) < 0.25
    prepares = PREPARATION[area] * tuning.normal(size=size) * np.sqrt(base / 8)
    loading = tuning.normal(size=(3, size)) * np.sqrt(base) * 0.8
    there = np.sort(np.argsort(np.cos(2 * np.pi * (day / period + phase)))[-n_neurons:])
    direction, place, plan = (np.stack([np.cos(a), np.sin(a)])[:, there] for a in (preferred, place, plan))

    shift = round(LEAD[area] / (times[1] - times[0]))
    moved, placed = (np.roll(x, -shift, axis=0) for x in (velocity, position))
    speed = np.linalg.norm(moved, axis=1, keepdims=True) / 25.0
    rates = base[there] + depth[0, there] * (moved / 25.0 @ direction)
    rates += np.where(inhibited, -0.4, 0.7)[there] * depth[1, there] * speed
    rates += 0.35 * depth[2, there] * (placed / 8.0 @ place)

    ready = np.zeros((len(times), 2))  # direction of the coming reach, from target to movement
    go = np.where(np.isnan(trials["go_cue_time"]), trials["stop_time"], trials["go_cue_time"])
    for shown, cue, target in zip(trials["target_on_time"], go, targets, strict=True):
        first, last = np.searchsorted(times, (shown + 0.1, cue + 0.2))
        ready[first:last] = target / np.linalg.norm(target)
    rates += prepares[there] * (lfilter([0.1], [1, -0.9], ready, axis=0) @ plan)

    # Three slow fluctuations that are unrelated to the movement (time constant 0.3 s).
    noise = _rng("fluctuations", seed, day, area)
    memory = np.exp(-(times[1] - times[0]) / 0.3)
    latent = lfilter([np.sqrt(1 - memory**2)], [1, -memory], noise.normal(size=(len(times), 3)), axis=0)
    return np.maximum(rates + latent @ loading[:, there], 0.2), there
