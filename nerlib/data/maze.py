"""Reader of MC_Maze (DANDI 000128, Churchland and Shenoy): straight reaches and curved ones."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from nerlib.data import DataError
from nerlib.data.nwb import open_nwb, read_trials, read_units, trial_column
from nerlib.data.preprocess import EDGE, window_rates

# What the paper embeds together: task and trial types -> lowest version (0: straight reaches too, 1: curved).
GROUPS = {
    ("curve-straight", "13"): 0,
    ("curve-straight", "38"): 0,
    ("curve-straight", "18"): 0,
    ("curve-straight", "13 38 18"): 0,
    ("curve-up-down", "37 1"): 1,
    ("curve-up-down", "31 38"): 1,
    ("curve-up-down", "34 18"): 1,
    ("curve-up-down", "37 1 31 38 34 18"): 1,
}
BIN_WIDTH, SMOOTH_SD, BEFORE, N_BINS = 0.005, 0.05, 0.05, 100  # s; −50…450 ms around movement onset


def read_maze(path, *, trial_types=None, versions=None, area="M1+PMd", name=None):
    """MC_Maze trials, aligned to movement onset, with hand velocity and the angle of the active target.

    Parameters
    ----------
    path : path of an NWB file in the schema of DANDI 000128 (full, train)
    trial_types : int, list of int or None, values of the column ``trial_type``; None takes all. The paper
        shows 13, 38, 18, and (curved) (37, 1), (31, 38), (34, 18)
    versions : int, list of int or None, values of ``trial_version``: 0 is without barriers (straight),
        1 and 2 with (curved)
    area : str, only the session's label: all units are taken, as in the paper, since the published files do
        not tell the two arrays apart (the units' electrode numbers begin again at 0 for the second one)
    name : str or None, name of the session; None is the file's session_id

    Returns
    -------
    Session: 100 bins of 5 ms a trial (−50…450 ms), rates smoothed with s.d. 50 ms (±3 s.d.: 61 taps),
    velocity in mm/s, direction in whole degrees. Trial ids are row numbers of the trials table, so that
    anything else can be looked up there. Trials are left out as in ``read_nwb``.

    Raises
    ------
    FileNotFoundError, DataError : as ``read_nwb``; the benchmark's "test" file has no behaviour: refused

    Source: SCIENCE 1, last paragraph.
    """
    wanted = {"trial_type": trial_types, "trial_version": versions}
    return read_trials(
        path,
        None,
        label=area,
        velocity="behavior/hand_vel",
        velocity_unit=None,
        align="move_onset_time",
        angle=_target_angle,
        keep={column: values for column, values in wanted.items() if values is not None},
        name=name,
        before=BEFORE,
        n_bins=N_BINS,
        bin_width=BIN_WIDTH,
        smooth_sd=SMOOTH_SD,
    )


def open_maze(data, *, n_trials=420, seed=0):
    """The groups of trials that the paper embeds (Figure 8), from the recording or from the simulator.

    Parameters
    ----------
    data : "simulated" or "recorded"; where the recording is not to be had, the simulator stands in, marked
    n_trials, seed : of the simulated session

    Returns
    -------
    groups : dict, (task, trial types) of `GROUPS` -> Session
    versions : int array, by trial id: 0 where the trial was straight, 1 and 2 where it was curved
    reason : str, why the recording is not there; empty otherwise

    Raises
    ------
    ValueError : unknown ``data``
    DataError : the recording is there, but damaged
    """
    from nerlib.data.registry import Unavailable, fetch
    from nerlib.data.simulate import write_simulated

    if data not in ("simulated", "recorded"):
        raise ValueError(f'data must be "simulated" or "recorded", got {data!r}')
    reason = ""
    if data == "recorded":
        try:
            return *_groups(fetch("MC_Maze"), "MC_Maze"), ""
        except Unavailable as error:
            reason = str(error)
    with tempfile.TemporaryDirectory(prefix="nerlib-") as folder:
        path = Path(folder) / "maze.nwb"
        write_simulated(path, seed, "M1", n_trials=n_trials, task="maze")
        return *_groups(path, "SimMaze"), reason


def _groups(path, name):
    session = read_maze(path, name=name)
    with open_nwb(path) as nwb:
        kinds, versions = (
            np.asarray(trial_column(nwb, column), int) for column in ("trial_type", "trial_version")
        )
    groups, rows = {}, session.trial[session.trial_starts]
    for (task, types), lowest in GROUPS.items():
        wanted = np.isin(kinds, [int(kind) for kind in types.split()]) & (versions >= lowest)
        chosen = wanted[rows]
        if chosen.sum() < 5:
            raise DataError(f"{path} has {chosen.sum()} trials of the types {types}; expected 5 at least")
        groups[task, types] = replace(session.select(chosen), name=f"{name} {task} {types}")
    return groups, versions


def read_maze_rates(path):
    """Rates alone, as in ``read_maze``; all that a file without behaviour can give.

    Returns
    -------
    (array (T, N) in spikes/bin, int array (T,): row number in the trials table), 100 bins a trial

    Raises
    ------
    FileNotFoundError, DataError : no such file, no NWB file, no trial long enough
    """
    with open_nwb(path) as nwb:
        start, stop, onset = (
            trial_column(nwb, name) for name in ("start_time", "stop_time", "move_onset_time")
        )
        spikes, observed = read_units(nwb)
        first, last = onset - BEFORE, onset - BEFORE + N_BINS * BIN_WIDTH
        kept = np.flatnonzero((first >= start - EDGE) & (last <= stop + EDGE) & observed(first, last))
        if not len(kept):
            raise DataError(f"none of {len(start)} trials holds −50…450 ms around move_onset_time")
        options = {"n_bins": N_BINS, "bin_width": BIN_WIDTH, "smooth_sd": SMOOTH_SD}
        rates = window_rates(spikes, first[kept], start[kept], stop[kept], **options)
    return rates, np.repeat(kept, N_BINS)


def _target_angle(nwb):
    """Direction of each trial's active target from the centre, in degrees; NaN where it has none."""
    targets, active = trial_column(nwb, "target_pos"), trial_column(nwb, "active_target")
    usable = [0 <= number < len(places) for places, number in zip(targets, active, strict=True)]
    chosen = [
        np.asarray(places)[int(number)] if ok else (np.nan, np.nan)
        for places, number, ok in zip(targets, active, usable, strict=True)
    ]
    x, y = np.array(chosen, float).T
    return np.degrees(np.arctan2(y, x))
