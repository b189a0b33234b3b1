"""Sessions from NWB files and from the simulator; pynwb is imported only when a file is opened."""

from importlib import import_module

_HOME = {
    "MAZE_SCHEMA": "nwb",
    "describe_nwb": "_contents",
    "read_nwb": "nwb",
    "read_nwb_rates": "nwb",
    "simulate_recording": "simulate",
    "simulate_session": "simulate",
}
__all__ = [*_HOME, "DataError", "TrialsLeftOut"]


class DataError(ValueError):
    """A file that is damaged, or that lacks what its reader needs."""


class TrialsLeftOut(UserWarning):
    """Trials that a reader left out for another reason than being asked to.

    Attributes
    ----------
    counts : dict, reason -> number of trials
    """

    def __init__(self, file: str, counts: dict[str, int]):
        self.counts = counts
        listed = ", ".join(f"{count} {reason}" for reason, count in counts.items())
        super().__init__(f"{file}: left out trials: {listed}")


def __getattr__(name):
    if name in _HOME:
        return getattr(import_module(f"nerlib.data.{_HOME[name]}"), name)
    raise AttributeError(f"module 'nerlib.data' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
