"""What the NWB readers of ``center_out`` and ``maze`` share: units, trials, velocity, what to leave out."""

import re
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from nerlib.data import DataError
from nerlib.data.preprocess import EDGE, bin_means, whole_degrees, window_rates
from nerlib.session import Session

MM_PER = {"m": 1000.0, "meters": 1000.0, "metres": 1000.0, "cm": 10.0, "mm": 1.0}


def read_trials(path, area, *, label, velocity, velocity_unit, align, angle, keep, name, before, **bins):
    """Session of the windows that begin ``before`` seconds ahead of the event ``align``.

    ``angle`` takes the open file and gives each trial's direction in degrees, ``label`` is the session's
    area, ``bins`` are n_bins, bin_width and smooth_sd; all else is as in ``read_nwb``.
    """
    n_bins, bin_width = bins["n_bins"], bins["bin_width"]
    with open_nwb(path) as nwb:
        start, stop, event = (trial_column(nwb, column) for column in ("start_time", "stop_time", align))
        first, last = event - before, event - before + n_bins * bin_width
        samples = read_velocity(nwb, velocity, velocity_unit)
        degrees = whole_degrees(angle(nwb))
        spikes, observed = read_units(nwb, area)
        moved = bin_means(*samples, np.nan_to_num(first), n_bins, bin_width).reshape(-1, n_bins, 2)
        short = (first < start - EDGE) | (last > stop + EDGE)
        problems = {
            f"not as asked ({keep})": ~trials_where(nwb, keep),
            f"without {align} or target": np.isnan(first + degrees),
            f"too short for {n_bins} bins of {bin_width:g} s": short,
            f"without {velocity}, or NaN, in some bin": np.isnan(moved).any(axis=(1, 2)),
            "outside obs_intervals of some unit": ~observed(first, last),
        }
        kept = _sift(Path(path).name, problems)
        return Session(
            rates=window_rates(spikes, first[kept], start[kept], stop[kept], **bins),
            velocity=moved[kept].reshape(-1, 2),
            direction=np.repeat(degrees[kept], n_bins),
            trial=np.repeat(kept, n_bins),
            bin_width=bin_width,
            name=name or nwb.session_id or Path(path).stem,
            area=label,
            monkey=(nwb.subject and nwb.subject.subject_id) or "",
            date=f"{nwb.session_start_time:%Y%m%d}",
            simulated="SIMULATED" in (() if nwb.keywords is None else list(nwb.keywords[:])),
        )


def _sift(file, problems):
    """Trials without any of the problems (name → mask); warns of those that nobody asked to leave out."""
    masks = np.array(list(problems.values()))
    reason = np.where(masks.any(axis=0), masks.argmax(axis=0), -1)  # a trial counts under its first problem
    counts = [f"{(reason == i).sum()} {name}" for i, name in enumerate(problems) if (reason == i).any()]
    kept = np.flatnonzero(reason == -1)
    if len(kept) < 2:
        raise DataError(
            f"{len(kept)} of {len(reason)} trials usable, need two; left out: {', '.join(counts)}"
        )
    unexpected = [c for c in counts if " not as asked" not in c and " too short" not in c]
    if unexpected:
        warnings.warn(f"{file}: left out trials: {', '.join(unexpected)}", stacklevel=4)
    return kept


@contextmanager
def open_nwb(path):
    """The file, opened; FileNotFoundError or DataError when it is not there or is no whole NWB file."""
    import pynwb

    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        io = pynwb.NWBHDF5IO(str(path), "r")
        nwb = io.read()
    except Exception as error:  # h5py and hdmf raise many kinds
        raise DataError(
            f"{path} cannot be read as NWB, it is truncated or another format ({error})"
        ) from error
    with io:
        try:
            yield nwb
        except DataError as error:
            raise DataError(f"{Path(path).name}: {error}") from None


def _column(table, what, name):
    if table is None:
        raise DataError(f"the file has no {what} table")
    if name not in table.colnames:
        raise DataError(f"the {what} table has no column {name!r}; it has {', '.join(table.colnames)}")
    return table[name]


def trial_column(nwb, name):
    """One column of the trials table as an array (n_trials, …); a ragged one is a list."""
    values = _column(nwb.trials, "trials", name)[:]
    return values if isinstance(values, list) else np.asarray(values)


def trials_where(nwb, keep):
    """Bool (n_trials,): where every column of ``keep`` has the value, or one of the values, given for it."""
    chosen = np.ones(len(_column(nwb.trials, "trials", "start_time")), bool)
    for name, wanted in keep.items():
        values = trial_column(nwb, name)
        match = np.isin(values, np.atleast_1d(wanted))
        if not match.any():
            raise DataError(f"no trial has {name} = {wanted}; there are {np.unique(values[:]).tolist()}")
        chosen &= match
    return chosen


def read_units(nwb, area=None):
    """Spike times of an area's units, and when they were observed.

    Returns
    -------
    (list of N arrays in s, function (first, last) → bool array: each unit has an obs_interval around it all;
    always true where the file has no obs_intervals)
    """
    spikes = _column(nwb.units, "units", "spike_times")
    chosen = np.arange(len(nwb.units))
    if area is not None:
        labels = _unit_labels(nwb.units)
        word = rf"(?<![A-Za-z0-9]){re.escape(area)}(?![A-Za-z0-9])"
        chosen = [unit for unit, label in enumerate(labels) if re.search(word, label, re.IGNORECASE)]
        if not chosen:
            there = [f"{label} ({labels.count(label)} units)" for label in sorted(set(labels))]
            raise DataError(f"no unit in area {area!r}; the units' electrode groups are {', '.join(there)}")
    intervals = []
    if "obs_intervals" in nwb.units.colnames:
        intervals = [np.reshape(nwb.units["obs_intervals"][unit], (-1, 2)) for unit in chosen]

    def observed(first, last):
        everywhere = np.ones(len(first), bool)
        for begin, end in (i[np.argsort(i[:, 0])].T for i in intervals):
            if not len(begin):
                return np.zeros(len(first), bool)  # a unit that was never observed
            latest = np.searchsorted(begin - EDGE, first, side="right") - 1
            everywhere &= (latest >= 0) & (last <= end[latest] + EDGE)
        return everywhere

    return [np.asarray(spikes[unit]) for unit in chosen], observed


def _unit_labels(units):
    """Electrode group and location of each unit, as text: its first electrode's; empty if it has none."""
    if "electrodes" not in units.colnames:
        groups = _column(units, "units", "electrode_group")
        return [f"{group.name} {group.location}" for group in groups[:]]
    index = units["electrodes"]
    region = getattr(index, "target", index)
    ends = np.asarray(index.data[:]) if region is not index else np.arange(1, len(units) + 1)
    starts, electrodes = np.r_[0, ends[:-1]].astype(int), np.asarray(region.data[:])
    columns = [region.table[name][:] for name in ("group_name", "location") if name in region.table.colnames]
    return [
        " ".join(dict.fromkeys(str(column[electrodes[start]]) for column in columns)) if start < end else ""
        for start, end in zip(starts, ends, strict=True)
    ]


def read_velocity(nwb, where, unit=None):
    """Times (n,) in s and velocity (n, 2) in mm/s of a series, e.g. "behavior/Velocity/cursor_vel"."""
    node, there = None, {**nwb.processing, "acquisition": nwb.acquisition}
    for part in where.split("/"):
        if part not in there:
            place = "the file" if node is None else node.name
            raise DataError(f"no {part!r} (of {where!r}) in {place}; it has {', '.join(there) or 'nothing'}")
        node = there[part]
        there = dict(node) if isinstance(node, dict) else {child.name: child for child in node.children}
    if not hasattr(node, "conversion") or len(node.data.shape) != 2 or node.data.shape[1] != 2:
        raise DataError(f"{where} must be a time series of two columns (x, y), got {node}")
    unit = unit or node.unit
    length, _, per = unit.replace(" ", "").partition("/")
    if length not in MM_PER or per not in ("s", "sec", "second", "seconds"):
        raise DataError(f"{where} is in {unit!r}; pass velocity_unit as m/s, cm/s or mm/s")
    values = (np.asarray(node.data[:], float) * node.conversion + node.offset) * MM_PER[length]
    if node.timestamps is not None:
        return np.asarray(node.timestamps[:]), values
    return (node.starting_time or 0.0) + np.arange(len(values)) / node.rate, values
