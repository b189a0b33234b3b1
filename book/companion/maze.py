"""MC_Maze (DANDI 000128): the groups of straight and curved reaches that the paper embeds."""

from dataclasses import replace

import numpy as np

from companion import catalogue
from nerlib.data import DataError, simulate_recording
from nerlib.data.nwb import open_nwb, trial_column

STRAIGHT, CURVED = ("13", "38", "18", "13 38 18"), ("37 1", "31 38", "34 18", "37 1 31 38 34 18")
# (task, trial types) -> lowest version: 0 takes straight reaches too, 1 only curved ones
GROUPS = {("curve-straight", types): 0 for types in STRAIGHT}
GROUPS |= {("curve-up-down", types): 1 for types in CURVED}
_SIMULATED = [group for group in GROUPS if group[1] in (STRAIGHT[0], STRAIGHT[-1], CURVED[0], CURVED[-1])]


def open_maze(data: str) -> tuple[dict, np.ndarray, str]:
    """The groups of trials that the paper embeds (Figure 8), from the recording or from the simulator.

    Raises ValueError for unknown ``data``, and DataError where the recording is present, but damaged.

    Parameters
    ----------
    data : "simulated" or "recorded"; simulated sessions, marked as such, replace an unavailable recording

    Returns
    -------
    groups : dict, (task, trial types) of `GROUPS` -> Session; from the simulator four of the eight
    versions : int array, by trial id: 0 where the trial was straight, 1 and 2 where it was curved
    reason : str, why the recording is unavailable; empty otherwise
    """
    if data not in ("simulated", "recorded"):
        raise ValueError(f'data must be "simulated" or "recorded", got {data!r}')
    reason = ""
    if data == "recorded":
        try:
            path = catalogue.find_file("MC_Maze")
            with open_nwb(path) as nwb:
                trials = {column: trial_column(nwb, column) for column in ("trial_type", "trial_version")}
            return *_groups(catalogue.load_session("MC_Maze"), trials, "MC_Maze"), ""
        except catalogue.Unavailable as error:
            reason = str(error)
    session, trials, _ = simulate_recording(0, "M1", n_trials=420, task="maze")
    groups, versions = _groups(session, trials, "SimMaze")
    return {group: groups[group] for group in _SIMULATED}, versions, reason


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
