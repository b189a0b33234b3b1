"""Time series of an NWB file: spike counts and velocity, by their path in the file."""

from collections.abc import Callable, Iterator

import numpy as np

from nerlib.data.preprocess import EDGE

MM_PER = {"m": 1000.0, "meters": 1000.0, "metres": 1000.0, "cm": 10.0, "mm": 1.0}


class DataError(ValueError):
    """A file that is damaged, or that lacks what its reader needs."""


def read_counts(nwb, where: str, bin_width: float) -> tuple[list[np.ndarray], Callable]:
    """As `read_units`, from whole counts per bin: the spikes of a bin are placed in its middle."""
    series = _series(nwb, where)
    times = np.asarray(series.get_timestamps())
    counts = series.data[:].reshape(len(times), -1)
    width = np.diff(times).min(initial=np.inf)
    if abs(width - bin_width) > EDGE:
        raise DataError(f"{where} has bins of {width:g} s; pass bin_width={width:g}, got {bin_width:g}")
    if counts.dtype.kind not in "iu":
        raise DataError(f"{where} must hold whole counts, got {counts.dtype}")
    middles = times + width / 2
    return [middles.repeat(column) for column in counts.T], lambda first, last: np.ones(len(first), bool)


def read_velocity(nwb, where: str, unit: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Times (n,) in s and velocity (n, k) in mm/s of a series, e.g. "behavior/Velocity/cursor_vel".

    ``unit`` None is that of the series; a length ("m", "cm", "mm") says that it holds positions, to be
    differentiated.
    """
    node = _series(nwb, where)
    length, _, per = (unit or node.unit).replace(" ", "").partition("/")
    positions = unit is not None and not per
    if length not in MM_PER or not (positions or per in ("s", "sec", "second", "seconds")):
        units = "m/s, cm/s or mm/s, or as m, cm or mm to differentiate positions"
        raise DataError(f"{where} is in {unit or node.unit!r}; pass velocity_unit as {units}")
    times = np.asarray(node.get_timestamps())
    values = np.asarray(node.data[:], float).reshape(len(times), -1)
    values = (values * node.conversion + node.offset) * MM_PER[length]
    return times, np.gradient(values, times, axis=0) if positions else values


def all_series(nwb) -> Iterator[tuple[str, object]]:
    """The path and the series of each time series of one column or more, as `read_velocity` takes it."""

    def walk(path, node):
        if _is_series(node):
            yield path, node
        elif not hasattr(node, "timestamps"):
            for name, child in _children(node).items():
                yield from walk(f"{path}/{name}", child)

    for name, node in _children(nwb).items():
        yield from walk(name, node)


def _children(node):
    """The named parts of a container, or of the file."""
    if hasattr(node, "acquisition"):
        return {**node.processing, "acquisition": node.acquisition}
    return dict(node) if isinstance(node, dict) else {child.name: child for child in node.children}


def _is_series(node):
    return hasattr(node, "conversion") and len(getattr(node.data, "shape", ())) in (1, 2)


def _series(nwb, where):
    """The time series at a path from the processing module (or "acquisition") down."""
    node, place, there = None, "the file", _children(nwb)
    for part in where.split("/"):
        if part not in there:
            lacks = f"no {part!r} (of {where!r}) in {place}; it has {', '.join(there) or 'nothing'}"
            raise DataError(f"{lacks}. {_series_in(nwb)}")
        node = there[part]
        place, there = getattr(node, "name", part), _children(node)
    if not _is_series(node):
        found = f"{where} must be a time series of one column or more, got {type(node).__name__}"
        raise DataError(f"{found}. {_series_in(nwb)}")
    return node


def _series_in(nwb):
    """The time series of a file in words, for an error."""
    named = [f"{path} ({series.unit})" for path, series in all_series(nwb)]
    if not named:
        return "The file has no time series, so no movement; read_nwb_rates reads rates alone"
    return f"Time series in the file: {', '.join(named)}"


def as_degrees(angles: np.ndarray, column: str, unit: str) -> np.ndarray:
    """Angles of a column in degrees; DataError where they cannot be in the unit that is given."""
    largest = np.nanmax(np.abs(angles), initial=0)
    turn = 2 * np.pi + 0.01
    if unit == "radians" and largest > turn:
        raise DataError(
            f'{column} reaches {largest:g}, more than a turn in radians; direction_unit="degrees"?'
        )
    if unit == "degrees" and largest <= turn and (np.nan_to_num(angles) % 1).any():
        raise DataError(f'{column} has fractions up to {largest:g} degrees; direction_unit="radians"?')
    return np.degrees(angles) if unit == "radians" else angles
