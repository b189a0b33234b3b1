"""Simulated sessions, written as NWB and read back, so that a first run needs no download but a real reader.

Everything here is made up: minimum-jerk reaches, cosine-tuned Poisson neurons. Such sessions are marked
SIMULATED and say nothing about the paper's values.
"""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

N_NEURONS = {"M1": 65, "PMd": 90, "S1": 60}
BASE = {"M1": 8.5, "PMd": 5.5, "S1": 6.5}  # Hz, median rate
LEAD = {"M1": 0.08, "PMd": 0.12, "S1": -0.04}  # s by which the rates run ahead of the movement
PREPARATION = {"M1": 2.5, "PMd": 5.0, "S1": 0.0}  # Hz, s.d. over neurons, from target to go cue
MOVEMENT = {"M1": 1.45, "PMd": 1.6, "S1": 1.3}  # strength of velocity and speed tuning
MAZE_TYPES = (1, 13, 18, 31, 34, 37, 38)  # each has versions 0 (straight), 1 and 2 (barriers, curved)
FIRST_DAY = datetime(2000, 1, 1, tzinfo=UTC)


def simulate_session(seed=0, area="M1", *, day=0, n_trials=170, n_neurons=None, task="center_out"):
    """A simulated session: an NWB file is written to a temporary folder and read back by the real reader.

    Parameters
    ----------
    seed : int, the animal; its neurons are the same on all days, and the movements of a day in all areas
    area : "M1", "PMd" or "S1"
    day : int >= 0, days since the first; the farther apart two days, the fewer neurons they share
    n_trials : int >= 2, rewarded trials
    n_neurons : int or None; None is 65 for M1, 90 for PMd, 60 for S1
    task : "center_out" (read by ``read_nwb``) or "maze" (read by ``read_maze``, straight and curved reaches)

    Returns
    -------
    Session, named e.g. "Sim_M1_day000" ("SimMaze_M1_day000"), simulated=True; the same arguments give
    the same arrays, bit for bit

    Raises
    ------
    ValueError : an argument that is not as above
    """
    from nerlib.data.center_out import read_nwb
    from nerlib.data.maze import read_maze

    with tempfile.TemporaryDirectory(prefix="nerlib-") as folder:
        path = Path(folder) / "simulated.nwb"
        write_simulated(path, seed, area, day=day, n_trials=n_trials, n_neurons=n_neurons, task=task)
        return read_nwb(path, area) if task == "center_out" else read_maze(path, area=area)


def write_simulated(path, seed=0, area="M1", *, day=0, n_trials=170, n_neurons=None, task="center_out"):
    """Write a simulated session as an NWB file in the schema of DANDI 000688 (maze: 000128).

    Parameters as in ``simulate_session``. About one trial in twenty is a failure in addition to ``n_trials``
    (center_out). The file is marked SIMULATED in its description and keywords.
    """
    if area not in N_NEURONS:
        raise ValueError(f"area must be M1, PMd or S1, got {area!r}")
    if task not in ("center_out", "maze"):
        raise ValueError(f'task must be "center_out" or "maze", got {task!r}')
    n_neurons = N_NEURONS[area] if n_neurons is None else n_neurons
    if n_trials < 2 or n_neurons < 1 or day < 0:
        raise ValueError(f"need n_trials >= 2, n_neurons >= 1, day >= 0; got {n_trials}, {n_neurons}, {day}")
    trials, reaches = _plan(_rng("plan", seed, day, task), n_trials, task)
    step = 0.01 if task == "center_out" else 0.005
    times = np.arange(round((trials["stop_time"][-1] + 1.0) / step)) * step
    position, velocity = _move(_rng("tremor", seed, day, task), times, reaches)
    rates, neurons = _rates(seed, area, day, n_neurons, times, position, velocity, trials)
    noise = _rng("spikes", seed, day, task, area)
    counts = noise.poisson(rates * step)
    jitter = noise.random(counts.sum())
    at = np.nonzero(counts.T)[1]
    number = counts.T[counts.T > 0]
    spikes = np.split(np.repeat(times[at], number) + step * jitter, np.cumsum(counts.sum(axis=0))[:-1])
    spikes = {int(neuron): np.sort(mine) for neuron, mine in zip(neurons, spikes, strict=True)}
    _write(path, f"{area}_day{day:03d}", area, day, task, trials, times, position, velocity, spikes)


def _rng(purpose, seed, *more):
    """A generator of its own for every purpose and every further word or number."""
    return np.random.default_rng([seed, *" ".join(map(str, (purpose, *more))).encode()])


def _plan(rng, n_trials, task):
    """When what happens: the trials table and the reaches, out and back (dicts of arrays)."""
    n_failed = max(1, n_trials // 20) if task == "center_out" else 0
    n = n_trials + n_failed
    failed = np.isin(np.arange(n), rng.permutation(n)[:n_failed])
    hold, delay = rng.uniform(0.4, 0.6, n), rng.uniform(0.5, 1.0, n)
    reaction, vigour = rng.normal(0.24, 0.03, n).clip(0.15, 0.4), rng.normal(1, 0.08, n).clip(0.75, 1.25)
    duration = (0.56 if task == "center_out" else 0.45) / vigour
    length = hold + delay + reaction + duration + rng.uniform(0.65, 0.9, n)  # 1.2 s from the go cue fit
    start = 0.5 + np.r_[0, np.cumsum(length + 1.2)[:-1]]
    go = start + hold + delay
    trials = {
        "start_time": start,
        "stop_time": start + length,
        "target_on_time": start + hold,
        "go_cue_time": go,
    }
    blocks = range(-(-n // 8))
    if task == "center_out":
        target_id = np.concatenate([rng.permutation(8) for _ in blocks])[:n].astype(float)
        angle, distance, bend = target_id * np.pi / 4, 8.0, np.zeros(n)
        trials |= {"target_id": target_id, "target_dir": angle, "result": np.where(failed, "A", "R")}
        trials["go_cue_time"] = np.where(failed, np.nan, go)
    else:
        kind, version = rng.integers(len(MAZE_TYPES), size=n), rng.integers(3, size=n)
        angle, distance = 2 * np.pi * kind / len(MAZE_TYPES) + 0.3, 10.0
        bend = np.where(kind % 2, 1, -1) * np.array([0.0, 3.5, 5.0])[version]
        trials |= {
            "move_onset_time": go + reaction,
            "trial_type": np.array(MAZE_TYPES)[kind],
            "trial_version": version,
        }
    target = distance * np.column_stack([np.cos(angle), np.sin(angle)])
    trials["target"] = target
    end = target + rng.normal(0, 0.5, (n, 2))
    side = np.column_stack([-np.sin(angle), np.cos(angle)]) * (bend + rng.normal(0, 0.35, n))[:, None]
    out = {"begin": go + reaction, "duration": duration, "path": end, "side": side}
    back = {"begin": start + length + 0.1, "duration": np.full(n, 0.8), "path": -end, "side": -0.2 * side}
    moved = ~failed  # a failed trial has no reach
    return trials, {key: np.concatenate([out[key][moved], back[key][moved]]) for key in out}


def _move(rng, times, reaches):
    """Position (cm) and velocity (cm/s) at all times: minimum-jerk reaches, bent sideways, some tremor."""
    from scipy.ndimage import gaussian_filter1d

    step = times[1] - times[0]
    position = np.zeros((len(times), 2))
    for begin, duration, path, side in zip(*reaches.values(), strict=True):
        first, last = np.searchsorted(times, (begin, begin + duration))
        t = ((times[first:last] - begin) / duration)[:, None]
        progress = t**3 * (10 - 15 * t + 6 * t**2)
        position[first:last] += progress * path + np.sin(np.pi * progress) * side
        position[last:] += path
    tremor = gaussian_filter1d(rng.normal(size=position.shape), 0.05 / step, axis=0)
    position += 0.06 * tremor / tremor.std()
    return position, np.gradient(position, step, axis=0)


def _rates(seed, area, day, n_neurons, times, position, velocity, trials):
    """Rates (n_times, N) in Hz of the neurons that are there on this day, and their numbers (N,)."""
    from scipy.signal import lfilter

    tuning = _rng("tuning", seed, area)
    size = 3 * n_neurons  # neurons that the array could record; each comes and goes with a period of its own
    period, phase, drift = tuning.uniform(150, 900, size), tuning.random(size), tuning.normal(0, 0.25, size)
    preferred = tuning.uniform(-np.pi, np.pi, size) + drift * np.sin(2 * np.pi * day / 400)
    base = tuning.lognormal(np.log(BASE[area]), 0.8, size).clip(1, 45)
    depth = MOVEMENT[area] * base**0.7 * tuning.uniform(0.4, 1.8, (3, size))  # direction, speed, position
    likes, inhibited = tuning.uniform(-np.pi, np.pi, (2, size)), tuning.random(size) < 0.25
    prepares = PREPARATION[area] * tuning.normal(size=size) * np.sqrt(base / 8)
    loading = tuning.normal(size=(3, size)) * np.sqrt(base) * 0.8
    there = np.sort(np.argsort(np.cos(2 * np.pi * (day / period + phase)))[-n_neurons:])

    shift = round(LEAD[area] / (times[1] - times[0]))
    moved, placed = (np.roll(x, -shift, axis=0) for x in (velocity, position))
    direction = np.stack([np.cos(preferred), np.sin(preferred)])[:, there]
    place = np.stack([np.cos(likes[0]), np.sin(likes[0])])[:, there]
    speed = np.linalg.norm(moved, axis=1, keepdims=True) / 25.0
    rates = base[there] + depth[0, there] * (moved / 25.0 @ direction)
    rates += np.where(inhibited, -0.4, 0.7)[there] * depth[1, there] * speed
    rates += 0.35 * depth[2, there] * (placed / 8.0 @ place)

    ready = np.zeros((len(times), 2))  # direction of the coming reach, from target to movement
    go = np.where(np.isnan(trials["go_cue_time"]), trials["stop_time"], trials["go_cue_time"])
    for shown, cue, target in zip(trials["target_on_time"], go, trials["target"], strict=True):
        first, last = np.searchsorted(times, (shown + 0.1, cue + 0.2))
        ready[first:last] = target / np.linalg.norm(target)
    ready = lfilter([0.1], [1, -0.9], ready, axis=0)
    rates += prepares[there] * (ready @ np.stack([np.cos(likes[1]), np.sin(likes[1])])[:, there])

    # Three slow fluctuations that have nothing to do with the movement (time constant 0.3 s).
    noise = _rng("fluctuations", seed, day, area)
    memory = np.exp(-(times[1] - times[0]) / 0.3)
    latent = lfilter([np.sqrt(1 - memory**2)], [1, -memory], noise.normal(size=(len(times), 3)), axis=0)
    return np.maximum(rates + latent @ loading[:, there], 0.2), there


def _write(path, tag, area, day, task, trials, times, position, velocity, spikes):
    import pynwb
    from pynwb.behavior import BehavioralTimeSeries, Position, SpatialSeries

    nwb = pynwb.NWBFile(
        session_description=f"SIMULATED {task} reaches; no animal was recorded",
        identifier=f"SIMULATED {tag} {task}",
        session_start_time=FIRST_DAY + timedelta(days=day),
        session_id=f"{'Sim' if task == 'center_out' else 'SimMaze'}_{tag}",
        keywords=["SIMULATED"],
        subject=pynwb.file.Subject(
            subject_id="Sim", species="Macaca mulatta", sex="U", description="SIMULATED"
        ),
    )
    device = nwb.create_device(name=f"electrode_array_{area}")
    group = nwb.create_electrode_group(
        f"electrode_group_{area}", description=area, location=area, device=device
    )
    nwb.add_electrode(group=group, location=area)
    nwb.units = _units_table(nwb, spikes, times[-1] + 1.0)

    trials = dict(trials)
    target = trials.pop("target")
    ragged = {}
    if task == "maze":
        ragged["target_pos"] = (10 * target)[:, None]  # mm; one target a trial
        trials["active_target"] = np.zeros(len(target), int)
    standard = ("start_time", "stop_time")
    for column in [*trials, *ragged]:
        if column not in standard:
            nwb.add_trial_column(name=column, description=column.replace("_", " "), index=column in ragged)
    rows = {**trials, **ragged}
    for i in range(len(target)):
        nwb.add_trial(**{column: values[i] for column, values in rows.items()})

    behavior = nwb.create_processing_module(name="behavior", description="Simulated movement")
    series = {"starting_time": 0.0, "rate": 1 / (times[1] - times[0])}
    if task == "center_out":
        moved = pynwb.TimeSeries(name="cursor_vel", data=velocity, unit="cm/s", **series)
        placed = SpatialSeries(
            name="cursor_pos", data=position, unit="cm", reference_frame="centre", **series
        )
        behavior.add(Position(spatial_series=placed))
        behavior.add(BehavioralTimeSeries(time_series=moved, name="Velocity"))
    else:
        milli = {"conversion": 0.001, **series}
        behavior.add(pynwb.TimeSeries(name="hand_vel", data=10 * velocity, unit="m/s", **milli))
        placed = SpatialSeries(
            name="hand_pos", data=10 * position, unit="m", reference_frame="centre", **milli
        )
        behavior.add(placed)
    with pynwb.NWBHDF5IO(str(path), "w") as io:
        io.write(nwb)


def _units_table(nwb, spikes, end):
    """The units table, made from whole arrays: row by row it would take ten times as long to write."""
    from hdmf.common import DynamicTableRegion, VectorData, VectorIndex
    from pynwb.misc import Units

    n, spikes, numbers = len(spikes), list(spikes.values()), list(spikes)
    times = VectorData(name="spike_times", description="s", data=np.concatenate(spikes))
    observed = VectorData(name="obs_intervals", description="s", data=np.tile([0.0, end], (n, 1)))
    electrodes = DynamicTableRegion(
        name="electrodes", description="electrode", data=np.zeros(n, int), table=nwb.electrodes
    )
    ends = {
        times: np.cumsum([len(s) for s in spikes]),
        observed: np.arange(n) + 1,
        electrodes: np.arange(n) + 1,
    }
    indices = [VectorIndex(name=f"{c.name}_index", target=c, data=end) for c, end in ends.items()]
    return Units(name="units", description="Simulated neurons", columns=[*ends, *indices], id=numbers)
