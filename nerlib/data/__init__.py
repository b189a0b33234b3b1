"""Where sessions come from: recordings of the paper, a user's own files, and the simulator.

Heavy imports (pynwb, h5py, scipy.io, pooch) wait until a file is really opened.
"""

import re
from importlib import import_module

_HOME = {
    "cache_folder": "registry",
    "list_sessions": "registry",
    "fetch": "registry",
    "read_authors_mat": "center_out",
    "read_trialdata_mat": "center_out",
    "read_nwb": "center_out",
    "open_maze": "maze",
    "read_maze": "maze",
    "simulate_session": "simulate",
    "write_simulated": "simulate",
}
__all__ = [*_HOME, "DataError", "load_session", "open_sessions"]

SIMULATED_DAYS = {"M1": (0, 30), "PMd": (0,), "S1": (0,)}  # the default of open_sessions("simulated")


class DataError(ValueError):
    """A file that is damaged, or does not hold what its reader relies on."""


def __getattr__(name):
    if name in _HOME:
        return getattr(import_module(f"nerlib.data.{_HOME[name]}"), name)
    raise AttributeError(f"module 'nerlib.data' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)


def load_session(name, area=None):
    """One of the paper's sessions, fetched and verified if need be, or a simulated one.

    Parameters
    ----------
    name : str, e.g. "Chewie_20161007" or "MC_Maze"; ``list_sessions()`` shows all. "Sim_M1_day000" is
        the simulated recording of M1 on day 0
    area : str or None, "M1", "PMd", "S1" (MC_Maze: "M1+PMd"); None is the session's first area

    Returns
    -------
    Session, MC_Maze with all its trials (``read_maze`` selects types and versions)

    Raises
    ------
    ValueError : unknown name or area; the message lists the ones there are
    FileNotFoundError : the file is absent and cannot be downloaded
    DataError : the file does not match its checksum, or cannot be read
    """
    if name.startswith("Sim_"):
        session = _open_simulated([name], None, None, 0)[0]
        if area not in (None, session.area):
            raise ValueError(f"{name} has no area {area!r}; it has {session.area}")
        return session

    from nerlib.data.registry import fetch, find_entry

    entry = find_entry(name)
    area = entry.areas[0] if area is None else area
    if area not in entry.areas:
        raise ValueError(f"{name} has no area {area!r}; it has {', '.join(entry.areas)}")
    path = fetch(name)
    if name == "MC_Maze":
        from nerlib.data.maze import read_maze

        return read_maze(path, name=name)
    from nerlib.data.center_out import read_authors_mat

    return read_authors_mat(path, area)


def open_sessions(data, names=None, areas=None, *, n_trials=None, seed=0):
    """The sessions that a chapter of the book works on; what is missing is reported, never replaced.

    Parameters
    ----------
    data : "simulated" or "recorded" (the paper's centre-out sessions)
    names : list of str or None, sessions to open, e.g. ["Sim_M1_day000"] or ["Chewie_20161007"]; None is
        every recorded session, or two simulated days of M1 and one of PMd and S1
    areas : list of str or None, only these areas
    n_trials : int or None, at most so many trials, the first ones (simulated: exactly so many)
    seed : int, seed of the simulated sessions

    Returns
    -------
    (list of Session, list of (name, area, reason)) : the sessions, and those that are absent and why.
        Once the network proved to be down it is not tried again for the rest.

    Raises
    ------
    ValueError : unknown ``data``, name or area
    DataError : a file that is present but damaged
    """
    if data not in ("simulated", "recorded"):
        raise ValueError(f'data must be "simulated" or "recorded", got {data!r}')
    names, areas = ([given] if isinstance(given, str) else given for given in (names, areas))
    known = ("M1", "PMd", "S1")
    unknown = sorted(set(areas or ()) - set(known))
    if unknown:
        raise ValueError(f"unknown area {', '.join(map(repr, unknown))}; there are {', '.join(known)}")
    if data == "simulated":
        return _open_simulated(names, areas, n_trials, seed), []
    return _open_recorded(names, areas, n_trials)


def _open_simulated(names, areas, n_trials, seed):
    from nerlib.data.simulate import simulate_session

    if names is None:
        names = [f"Sim_{area}_day{day:03d}" for area, days in SIMULATED_DAYS.items() for day in days]
    sessions = []
    for name in names:
        match = re.fullmatch(r"Sim_(M1|PMd|S1)_day(\d{3,})", name)
        if match is None:
            raise ValueError(
                f"unknown simulated session {name!r}; names look like Sim_M1_day000 (M1, PMd or S1)"
            )
        area, day = match[1], int(match[2])
        if areas is None or area in areas:
            size = {} if n_trials is None else {"n_trials": n_trials}
            sessions.append(simulate_session(seed, area, day=day, **size))
    return sessions


def _open_recorded(names, areas, n_trials):
    from nerlib.data.registry import ENTRIES, NoNetwork, Unavailable, find_entry

    entries = [e for e in ENTRIES if e.name != "MC_Maze"] if names is None else [find_entry(n) for n in names]
    sessions, absent, offline = [], [], None
    for entry in entries:
        for area in entry.areas if areas is None else areas:
            if area not in entry.areas:
                if names is not None:
                    absent.append((entry.name, area, f"was recorded in {', '.join(entry.areas)} only"))
                continue
            if offline and entry.path is None:
                absent.append((entry.name, area, offline))
                continue
            try:
                session = load_session(entry.name, area)
            except NoNetwork:
                offline = "not in NERLIB_DATA or the cache, and there is no network to download it"
                absent.append((entry.name, area, offline))
            except Unavailable as error:
                absent.append((entry.name, area, str(error)))
            else:
                sessions.append(session if n_trials is None else session.select(slice(n_trials)))
    return sessions, absent
