"""Readers of NWB files: the spikes and movements of one area, cut into trials around an event."""

import re
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from nerlib.data._series import DataError, read_counts, read_velocity
from nerlib.data.preprocess import EDGE, bin_means, whole_degrees, window_rates
from nerlib.session import Session

REWARDED = {"result": "R"}
# How `read_nwb` reads MC_Maze (DANDI 000128) as in the paper: -50 to 450 ms around movement onset.
MAZE_SCHEMA: dict = {
    "velocity": "behavior/hand_vel", "align": "move_onset_time", "before": 0.05,
    "direction": "target_pos", "direction_unit": "position", "active_target": "active_target",
    "keep": {}, "bin_width": 0.005, "n_bins": 100, "smooth_sd": 0.05,
}  # fmt: skip


class TrialsLeftOut(UserWarning):
    """Trials that a reader left out unasked; ``counts`` is a dict, reason -> number of trials."""

    def __init__(self, file: str, counts: dict[str, int]):
        super().__init__(file, counts)
        self.counts = counts

    def __str__(self):
        listed = ", ".join(f"{count} {reason}" for reason, count in self.counts.items())
        return f"{self.args[0]}: left out trials: {listed}"


def read_nwb(
    path: str | Path, area: str | None = None, *,
    velocity: str = "behavior/Velocity/cursor_vel", velocity_unit: str | None = None,
    align: str = "go_cue_time", before: float = 0.0,
    direction: str | None = "target_dir", direction_unit: str = "radians", active_target: str | None = None,
    keep: dict = REWARDED, bin_width: float = 0.03, n_bins: int = 40, smooth_sd: float = 0.045,
    smoothing: str = "published", counts: str | None = None, name: str | None = None,
) -> Session:  # fmt: skip
    """Read a session from an NWB file; the defaults fit DANDI 000688, ``**MAZE_SCHEMA`` fits DANDI 000128.

    Preprocessing follows section 3.1 and the appendix of the NER paper. `describe_nwb` lists a file's names.
    The session's velocity is in mm/s (the mean of the samples in a bin), its direction in whole degrees; its
    trial ids are row numbers of the trials table. A warning (`TrialsLeftOut`) counts the trials left out for
    another reason than ``keep``: too short, without event, direction or velocity, or outside a unit's
    ``obs_intervals``. Raises ImportError without pynwb, FileNotFoundError where there is no such file, and
    DataError where it is truncated or no NWB file, has fewer than two usable trials, or lacks a series, a
    column or the area.

    Parameters
    ----------
    path : path of the NWB file
    area : str or None, e.g. "M1": the units whose electrode group's name or location contains this word;
        None takes all units
    velocity : str, path of the velocity series, from the processing module (or "acquisition") down; it may
        have any number of columns
    velocity_unit : "m/s", "cm/s", "mm/s" or None, which reads the unit from the series; "m", "cm" or "mm" if
        it holds positions, whose time derivative is then taken. Lengths may be spelled out, "meters/s"
    align : str, column of the trials table with the time (s) of an event, such as the go cue
    before : float, seconds before the event at which the session's trials start
    direction : str or None, column of the target direction; None for a task without targets
    direction_unit : "radians", "degrees", or "position", for a column of target positions (x, y): the
        direction is then the target's angle seen from (0, 0)
    active_target : str or None, column with the index of the trial's target, where it has several positions
    keep : dict, column -> value (or list of values) of the trials to keep; {} keeps all
    bin_width, smooth_sd : float, seconds: width of a bin, and s.d. of the Gaussian that smooths the counts
    n_bins : int, bins per trial
    smoothing : "published", centered on the bin as in the paper, so that the rate of a bin holds spikes from
        3 s.d. before to 3 s.d. after it; or "causal", the bin itself and earlier ones alone
    counts : str or None, path of a series of whole spike counts, to be read instead of spike times: one
        column a unit of the area, one row a bin, the timestamps where bins start
    name : str or None, name of the session; None is the file's session_id
    """
    if direction_unit not in ("radians", "degrees", "position"):
        raise ValueError(f'direction_unit must be "radians", "degrees" or "position", got {direction_unit!r}')
    with open_nwb(path) as nwb:
        problems = {f"not selected by {keep}": ~trials_where(nwb, keep)}
        spikes, observed = read_units(nwb, area) if counts is None else read_counts(nwb, counts, bin_width)
        windows, misfits = _trial_windows(nwb, observed, align, before, n_bins, bin_width)
        problems |= misfits
        times, values = read_velocity(nwb, velocity, velocity_unit)
        moved = bin_means(times, values, np.nan_to_num(windows[0]), n_bins, bin_width)
        moved = moved.reshape(-1, n_bins, values.shape[1])
        degrees = None
        if direction is not None:
            degrees = _directions(nwb, direction, direction_unit, active_target)
            problems[f"without {direction}"] = np.isnan(degrees)
        problems[f"without {velocity}, or NaN, in some bin"] = np.isnan(moved).any(axis=(1, 2))
        kept = _select_trials(Path(path).name, problems)
        return Session(
            rates=window_rates(spikes, windows[:, kept], n_bins, bin_width, smooth_sd, smoothing),
            velocity=moved[kept].reshape(-1, values.shape[1]),
            direction=None if degrees is None else np.repeat(degrees[kept], n_bins),
            trial=np.repeat(kept, n_bins),
            bin_width=bin_width,
            name=name or nwb.session_id or Path(path).stem,
            area="" if area is None else str(area),
            monkey=(nwb.subject and nwb.subject.subject_id) or "",
            date=f"{nwb.session_start_time:%Y%m%d}",
            simulated="SIMULATED" in (() if nwb.keywords is None else list(nwb.keywords[:])),
        )


def read_nwb_rates(
    path: str | Path, area: str | None = None, *, align: str = "go_cue_time", before: float = 0.0,
    bin_width: float = 0.03, n_bins: int = 40, smooth_sd: float = 0.045, smoothing: str = "published",
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Read the rates alone, from a file that may have no behavior; parameters and errors as in `read_nwb`.

    An array (T, N) in spikes/bin, and an int array (T,), the row of each bin's trial in the trials table.
    One usable trial is enough.
    """
    with open_nwb(path) as nwb:
        spikes, observed = read_units(nwb, area)
        windows, misfits = _trial_windows(nwb, observed, align, before, n_bins, bin_width)
        kept = _select_trials(Path(path).name, misfits, least=1)
        rates = window_rates(spikes, windows[:, kept], n_bins, bin_width, smooth_sd, smoothing)
        return rates, np.repeat(kept, n_bins)


@contextmanager
def open_nwb(path: str | Path) -> Iterator:
    """The open file; ImportError without pynwb, FileNotFoundError or DataError without a whole NWB file."""
    try:
        import pynwb
    except ModuleNotFoundError:
        message = "reading NWB files needs pynwb; install it with: pip install 'nerlib[nwb]'"
        raise ImportError(message) from None
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    with ExitStack() as opened:
        try:
            nwb = opened.enter_context(pynwb.NWBHDF5IO(str(path), "r")).read()
        except Exception as error:  # h5py and hdmf raise many kinds
            raise DataError(f"{path} cannot be read as NWB: truncated, or another format ({error})") from None
        try:
            yield nwb
        except DataError as error:
            raise DataError(f"{Path(path).name}: {error}") from None


def _column(table, what, name, hint=""):
    if table is None:
        raise DataError(f"the file has no {what} table")
    if name not in table.colnames:
        raise DataError(f"the {what} table has no column {name!r}; it has {', '.join(table.colnames)}{hint}")
    return table[name]


def trial_column(nwb, name: str) -> np.ndarray | list:
    """One column of the trials table as an array (n_trials, ...); a ragged one is a list."""
    values = _column(nwb.trials, "trials", name)[:]
    return values if isinstance(values, list) else np.asarray(values)


def _numbers(nwb, name):
    """A column of the trials table with one number a trial."""
    values = trial_column(nwb, name)
    if isinstance(values, list) or values.ndim != 1 or values.dtype.kind not in "biuf":
        shown = values[0] if len(values) else "nothing"
        raise DataError(f"column {name!r} of the trials table must hold one number a trial, got {shown!r}")
    return values.astype(float)


def trials_where(nwb, keep: dict) -> np.ndarray:
    """Bool (n_trials,): where every column of ``keep`` has the value, or one of the values, given for it."""
    if not isinstance(keep, dict):
        raise TypeError(f"keep must be a dict, column -> value, and {{}} keeps all trials; got {keep!r}")
    chosen = np.ones(len(_column(nwb.trials, "trials", "start_time")), bool)
    for name, wanted in keep.items():
        values = _column(nwb.trials, "trials", name, " (keep={} keeps all trials)")[:]
        match = np.isin(values, sorted(wanted) if isinstance(wanted, set) else np.atleast_1d(wanted))
        if not match.any():
            raise DataError(f"no trial has {name} = {wanted}; there are {np.unique(values).tolist()}")
        chosen &= match
    return chosen


def _trial_windows(nwb, observed, align, before, n_bins, bin_width):
    """Each trial's window start, start and stop (3, n_trials); and the reasons why windows do not fit."""
    start, stop, event = (_numbers(nwb, column) for column in ("start_time", "stop_time", align))
    first, last = event - before, event - before + n_bins * bin_width
    misfits = {
        f"without {align}": np.isnan(first),
        f"too short for {n_bins} bins of {bin_width:g} s": (first < start - EDGE) | (last > stop + EDGE),
        "outside obs_intervals of some unit": ~within(observed, first, last),
    }
    return np.array([first, start, stop]), misfits


def _select_trials(file, problems, least=2):
    """Rows of the trials without any of the problems (name -> mask); warns of those left out unasked."""
    masks = np.array(list(problems.values()))
    first = masks & (masks.cumsum(axis=0) == 1)  # a trial counts under its first problem
    counts = {name: int(n) for name, n in zip(problems, first.sum(axis=1), strict=True) if n}
    kept = np.flatnonzero(~masks.any(axis=0))
    if len(kept) < least:
        listed = ", ".join(f"{count} {name}" for name, count in counts.items())
        raise DataError(f"{len(kept)} of {masks.shape[1]} trials usable, need {least}; left out: {listed}")
    unasked = {name: count for name, count in counts.items() if not name.startswith("not selected by ")}
    if unasked:
        warnings.warn(TrialsLeftOut(file, unasked), stacklevel=3)
    return kept


def _directions(nwb, column, unit, active_target):
    """Target direction of each trial in whole degrees; NaN where it has none."""
    if unit != "position":
        angles = _numbers(nwb, column)
        most, turn = np.nanmax(np.abs(angles), initial=0), 2 * np.pi + 0.01
        if unit == "radians" and most > turn:
            found = f"{column} reaches {most:g}, more than a turn in radians"
            raise DataError(f'{found}; direction_unit="degrees"?')
        if unit == "degrees" and most <= turn and (np.nan_to_num(angles) % 1).any():
            raise DataError(f'{column} has fractions up to {most:g} degrees; direction_unit="radians"?')
        return whole_degrees(np.degrees(angles) if unit == "radians" else angles)
    values = trial_column(nwb, column)
    places = [np.atleast_2d(np.asarray(place, float)) for place in values]
    if any(place.shape[1] != 2 for place in places):
        raise DataError(f"{column} must hold target positions (x, y), got {np.shape(values[0])} numbers")
    if active_target is None and max(map(len, places)) > 1:
        raise DataError(f"{column} has several targets per trial; active_target must name a column")
    active = np.zeros(len(places), int) if active_target is None else trial_column(nwb, active_target)
    pairs, none = zip(places, active, strict=True), (np.nan, np.nan)
    x, y = np.array([place[int(i)] if 0 <= i < len(place) else none for place, i in pairs]).T
    angle = np.degrees(np.arctan2(y, x))
    return whole_degrees(np.where((x == 0) & (y == 0), np.nan, angle))  # a target at the center has none


def read_units(nwb, area: str | None = None) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Spike times (N arrays, s) of an area's units, and their obs_intervals (N arrays (n, 2)), if any."""
    spikes = _column(nwb.units, "units", "spike_times", "; counts= takes the path of a series of counts")
    chosen = list(range(len(nwb.units)))
    if area is not None:
        labels = unit_labels(nwb.units)
        word = rf"(?<![A-Za-z0-9]){re.escape(str(area))}(?![A-Za-z0-9])"
        chosen = [unit for unit, label in enumerate(labels) if re.search(word, label, re.IGNORECASE)]
        if not chosen:
            there = [f"{label} ({labels.count(label)} units)" for label in sorted(set(labels))]
            raise DataError(f"no unit in area {area!r}; the units' electrode groups are {', '.join(there)}")
    observed = []
    if "obs_intervals" in nwb.units.colnames:
        observed = [np.reshape(nwb.units["obs_intervals"][unit], (-1, 2)) for unit in chosen]
    return [np.asarray(spikes[unit]) for unit in chosen], observed


def within(observed: list[np.ndarray], first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Bool (n_windows,): where each unit was observed in one interval from ``first`` to ``last``."""
    everywhere = np.ones(len(first), bool)
    for intervals in observed:
        begin, end = intervals[intervals[:, 0].argsort()].T
        latest_end = np.maximum.accumulate([-np.inf, *end])  # of the intervals begun; they may overlap
        everywhere &= last <= latest_end[np.searchsorted(begin - EDGE, first, side="right")] + EDGE
    return everywhere


def unit_labels(units) -> list[str]:
    """Electrode group and location of each unit, as text: its first electrode's; empty if it has none."""
    if "electrodes" in units.colnames:
        tables = [units["electrodes"][unit].filter(["group_name", "location"]) for unit in range(len(units))]
        return [" ".join(dict.fromkeys(map(str, table.iloc[0]))) if len(table) else "" for table in tables]
    if "electrode_group" not in units.colnames:
        columns = ", ".join(units.colnames)
        raise DataError(f"units have no electrodes, so no area; area=None takes all (columns: {columns})")
    return [f"{group.name} {group.location}" for group in units["electrode_group"][:]]
