"""MC_Maze (DANDI 000128): the groups of straight and curved reaches that the paper embeds."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from companion import catalogue
from nerlib.data import MAZE_SCHEMA, DataError, read_nwb, simulate_recording
from nerlib.data.nwb import open_nwb, trial_column
from nerlib.session import Session

Choice = int | list[int] | None
STRAIGHT, CURVED = ("13", "38", "18", "13 38 18"), ("37 1", "31 38", "34 18", "37 1 31 38 34 18")
# (task, trial types) -> lowest version: 0 takes straight reaches too, 1 only curved ones
GROUPS = {("curve-straight", types): 0 for types in STRAIGHT}
GROUPS |= {("curve-up-down", types): 1 for types in CURVED}


def read_maze(
    path: str | Path, *, trial_types: Choice = None, versions: Choice = None, name: str | None = None
) -> Session:
    """MC_Maze trials, aligned to movement onset, with hand velocity and the angle of the active target.

    Parameters
    ----------
    path : path of an NWB file in the schema of DANDI 000128 (full, train)
    trial_types : int, list of int or None, values of the column ``trial_type``; None takes all
    versions : like ``trial_types``, values of ``trial_version``: 0 without barriers, 1 and 2 with
    name : str or None, name of the session; None is the file's session_id

    As ``read_nwb`` with ``MAZE_SCHEMA``: 100 bins of 5 ms per trial. All units are taken, as in the paper,
    since the published files do not distinguish the two arrays (electrode numbers begin again at 0).

    Raises
    ------
    FileNotFoundError, DataError : as ``read_nwb``; the benchmark's "test" file has no behavior: refused
    """
    wanted = {"trial_type": trial_types, "trial_version": versions}
    keep = {column: values for column, values in wanted.items() if values is not None}
    return replace(read_nwb(path, name=name, **{**MAZE_SCHEMA, "keep": keep}), area="M1+PMd")


def open_maze(data: str, *, n_trials: int = 420, seed: int = 0) -> tuple[dict, np.ndarray, str]:
    """The groups of trials that the paper embeds (Figure 8), from the recording or from the simulator.

    Parameters
    ----------
    data : "simulated" or "recorded"; simulated sessions, marked as such, replace an unavailable recording
    n_trials, seed : of the simulated session

    Returns
    -------
    groups : dict, (task, trial types) of `GROUPS` -> Session
    versions : int array, by trial id: 0 where the trial was straight, 1 and 2 where it was curved
    reason : str, why the recording is unavailable; empty otherwise

    Raises
    ------
    ValueError, DataError : unknown ``data``; the recording is present, but damaged
    """
    if data not in ("simulated", "recorded"):
        raise ValueError(f'data must be "simulated" or "recorded", got {data!r}')
    reason = ""
    if data == "recorded":
        try:
            path = catalogue.find_file("MC_Maze")
            with open_nwb(path) as nwb:
                trials = {column: trial_column(nwb, column) for column in ("trial_type", "trial_version")}
            return *_groups(read_maze(path), trials, "MC_Maze"), ""
        except catalogue.Unavailable as error:
            reason = str(error)
    session, trials, _ = simulate_recording(seed, "M1", n_trials=n_trials, task="maze")
    return *_groups(session, trials, "SimMaze"), reason


def _groups(session, trials, name):
    kinds, versions = (np.asarray(trials[column], int) for column in ("trial_type", "trial_version"))
    groups, rows = {}, session.trial[session.trial_starts]
    for (task, types), lowest in GROUPS.items():
        wanted = np.isin(kinds, [int(kind) for kind in types.split()]) & (versions >= lowest)
        chosen = wanted[rows]
        if chosen.sum() < 5:
            raise DataError(f"{name} has {chosen.sum()} trials of the types {types}; expected at least 5")
        groups[task, types] = replace(session.select(chosen), name=f"{name} {task} {types}")
    return groups, versions
