"""What an NWB file holds, before anything is read from it."""

from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING

import numpy as np

from nerlib.data._series import DataError, all_series
from nerlib.data.nwb import open_nwb, trial_column, unit_labels

if TYPE_CHECKING:
    import pandas as pd

_FEW = 12  # values of a trial column that are counted one by one


def describe_nwb(path: str | Path) -> "pd.DataFrame":
    """A small table of what an NWB file holds: the names that `read_nwb` takes, and what is behind them.

    Raises ImportError, FileNotFoundError and DataError for a file that cannot be read. Columns, all text:

    - part: "file", "units" (one row an electrode group), "trials" (one row a column of the table) or "series"
    - name: the group, the column, or the path of the series
    - size: number of units, of trials, or of samples×columns
    - holds: rates of the units (spikes of the whole file over the time from its first to its last spike), the
      values of a column (counted if they are few), or the unit and rate of a series
    """
    import pandas as pd

    with open_nwb(path) as nwb:
        subject = getattr(nwb.subject, "subject_id", None) or "no subject"
        about = f"{subject}, {nwb.session_start_time:%Y-%m-%d}: {shorten(nwb.session_description, 100)}"
        rows = [("file", nwb.session_id or Path(path).stem, "", about)]
        rows += [("units", *row) for row in _units(nwb.units)]
        columns = [] if nwb.trials is None else nwb.trials.colnames
        rows += [("trials", name, str(len(nwb.trials)), _values(trial_column(nwb, name))) for name in columns]
        for where, series in all_series(nwb):
            rows.append(("series", where, "×".join(map(str, series.data.shape)), _clock(series)))
    return pd.DataFrame(rows, columns=["part", "name", "size", "holds"])


def _units(units):
    """Name, size and rates of each electrode group."""
    if units is None:
        return
    try:
        labels = np.array(unit_labels(units))
    except DataError:
        labels = np.array(["(no electrodes)"] * len(units))
    recorded = "spike_times" in units.colnames
    if recorded:
        every = units.spike_times.data[:]
        counts = np.diff(units.spike_times_index.data[:].astype(int), prepend=0)
        seconds = max(np.ptp(every), 1e-9) if len(every) else 1.0
    for label in dict.fromkeys(labels.tolist()):
        own, told = labels == label, "no spike times"
        if recorded:
            low, middle, high = np.quantile(counts[own] / seconds, [0, 0.5, 1])
            silent = (counts[own] == 0).sum()
            told = f"median {middle:.3g} spikes/s, {low:.2g} to {high:.3g}" + f"; {silent} silent" * bool(
                silent
            )
        yield label or "(no electrode)", str(own.sum()), told


def _values(values):
    """The values of a column of the trials table in words."""
    if isinstance(values, list):
        return "arrays of different lengths"
    if values.ndim > 1:
        return f"arrays of shape {values.shape[1:]}"
    missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)
    present, counts = np.unique(values[~missing], return_counts=True)
    shown = [f"{value:.4g}" if isinstance(value, np.floating) else str(value) for value in present]
    told = ", ".join(f"{value} ({n})" for value, n in zip(shown, counts, strict=True)) or "nothing"
    if len(shown) > _FEW:
        told = f"{shown[0]} to {shown[-1]}, {len(shown)} values"
    return told + f"; {missing.sum()} missing" * bool(missing.any())


def _clock(series):
    """Unit and sampling rate of a series."""
    rate = series.rate
    if rate is None and len(series.timestamps) > 1:
        rate = 1 / np.median(np.diff(series.timestamps[:10_000]))
    scaled = "" if series.conversion == 1 else f", times {series.conversion:g}"
    return f"{series.unit}{scaled}" + ("" if rate is None else f", {rate:.4g} Hz")
