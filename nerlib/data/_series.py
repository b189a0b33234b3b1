"""Time series of an NWB file: spike counts and velocity, by their path in the file."""

from collections.abc import Iterator

import numpy as np

from nerlib.data.preprocess import EDGE

MM_PER = dict.fromkeys("m meter meters metre metres".split(), 1000.0)
MM_PER |= dict.fromkeys("cm centimeter centimeters centimetre centimetres".split(), 10.0)
MM_PER |= dict.fromkeys("mm millimeter millimeters millimetre millimetres".split(), 1.0)


class DataError(ValueError):
    """A file that is damaged, or that lacks what its reader needs."""


def read_counts(nwb, where: str, bin_width: float) -> tuple[list, list]:
    """As `read_units`, from whole counts per bin: the spikes of a bin are placed in its middle."""
    series, times = _series(nwb, where)
    counts = series.data[:].reshape(len(times), -1)
    width = np.diff(times).min(initial=np.inf)
    if abs(width - bin_width) > EDGE:
        raise DataError(f"{where} has bins of {width:g} s; pass bin_width={width:g}, got {bin_width:g}")
    if counts.dtype.kind not in "iu":
        raise DataError(f"{where} must hold whole counts, got {counts.dtype}")
    middles = times + width / 2
    return [middles.repeat(column) for column in counts.T], []


def read_velocity(nwb, where: str, unit: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Times (n,) in s and velocity (n, k) in mm/s of a series; ``unit`` as `read_nwb`'s velocity_unit."""
    series, times = _series(nwb, where)
    length, _, per = (unit or series.unit).replace(" ", "").partition("/")
    positions = unit is not None and not per
    if length not in MM_PER or not (positions or per in ("s", "sec", "second", "seconds")):
        units = "m/s, cm/s or mm/s, or as m, cm or mm to differentiate positions"
        raise DataError(f"{where} is in {unit or series.unit!r}; pass velocity_unit as {units}")
    values = np.asarray(series.data[:], float).reshape(len(times), -1)
    values = (values * series.conversion + series.offset) * MM_PER[length]
    return times, np.gradient(values, times, axis=0) if positions else values


def all_series(nwb) -> Iterator[tuple]:
    """Path, from the processing module (or "acquisition") down, and series: each with a column or more."""

    def below(path, node):
        if not hasattr(node, "timestamps"):
            for child in node.values() if isinstance(node, dict) else node.children:
                yield from below(f"{path}/{child.name}", child)
        elif hasattr(node, "conversion") and len(getattr(node.data, "shape", ())) in (1, 2):
            yield path, node

    for name, node in {**nwb.processing, "acquisition": nwb.acquisition}.items():
        yield from below(name, node)


def _series(nwb, where):
    """The time series at a path, and its times (n,) in s; DataError lists the series that the file has."""
    found = dict(all_series(nwb))
    if where in found:
        return found[where], np.asarray(found[where].get_timestamps())
    holds = "The file has no time series, so no movement; read_nwb_rates reads rates alone"
    if found:
        listed = ", ".join(f"{path} ({series.unit})" for path, series in found.items())
        holds = f"Time series in the file: {listed}"
    raise DataError(f"no time series {where!r} of one column or more. {holds}")
