"""Make this folder's NWB files from the files of the paper's authors, and the list of their checksums.

Run from the repository's root: ``NERLIB_DATA=<folder> python book/recordings/make.py``; the authors' files
are in the folder's subfolder perich/. Each new file is compared with its source: it must return the authors'
rates to 1e-9 spikes/bin and their velocity to 1e-4 mm/s.
"""

import hashlib
import itertools
import os
import sys
from datetime import UTC, datetime
from functools import cache, reduce
from pathlib import Path
from unittest.mock import patch
from uuid import NAMESPACE_URL, uuid5

import h5py
import numpy as np
import pynwb
from pynwb.behavior import BehavioralTimeSeries
from scipy.io import loadmat

from nerlib.data import DataError
from nerlib.data.preprocess import kernel, smooth

SESSIONS = """
Chewie_20150629 Chewie_20150630 Chewie_20160929 Chewie_20161007 Mihili_20140217 Mihili_20140303
Mihili_20140304 Mihili_20140307 Han_20171201 Han_20171204 Han_20171207
""".split()
BIN_WIDTH, SMOOTH_SD = 0.03, 1.5  # s; bins
REACH = 4  # bins that the kernel reaches to either side
PERIOD = 2.0  # s from one trial's start to the next on the nominal clock
DRYAD = "https://doi.org/10.5061/dryad.xd2547dkt"
CLOCK = f"The clock is nominal: the source has no absolute times, so trials start every {PERIOD:g} s from 0."
NOTES = f"""
Derived from the files in which the authors of "Neural Embeddings Rank" (NeurIPS 2024) published these
recordings (https://github.com/NeuroscienceAI/NER, commit c8bdb72): counts in 30 ms bins, smoothed by a
Gaussian (s.d. 45 ms, 9 weights) and cut from the go cue. The whole counts are exact: only one set of small
whole numbers gives each smoothed value. The {REACH} bins before and after the cut follow from the values at
its edges; bins beyond the trial's own end, if any, cannot be told from bins without spikes. {CLOCK}
The session's start is its date at midnight UTC. The subject's sex is not stated in the source.
License: CC0 1.0 (public domain), as the original recordings: Dryad, {DRYAD}.
"""


@cache
def smoothed_values(most: int) -> tuple[np.ndarray, np.ndarray, tuple]:
    """All values that smoothing can give, ascending, and what gives them.

    Returns
    -------
    values, their flat indices in the array of all combinations, that array's shape. The array's axes are the
    count of the bin itself, up to ``most``, and the sums of the two counts that are 1, 2, 3 and 4 bins away.
    """
    center, *weights = kernel(SMOOTH_SD)[REACH:]
    sums = [weight * np.arange(2 * most + 1) for weight in weights]
    values = reduce(np.add.outer, sums, center * np.arange(most + 1))
    order = values.argsort(axis=None)
    return values.ravel()[order], order, values.shape


def recover_counts(rates: np.ndarray, n_bins: int, most: int = 12) -> np.ndarray:
    """Whole spike counts from rates that were smoothed over the whole trial and then cut.

    A smoothed value is w0·c[t] + w1·(c[t-1] + c[t+1]) + ... + w4·(c[t-4] + c[t+4]). It is looked up among
    those of all counts up to ``most`` and all sums of two such counts, ``smoothed_values``; with 12, any two
    differ by 9.4e-8 or more. The sums of the first and the last bin give the counts outside the window.

    Parameters
    ----------
    rates : array (n_trials · n_bins, N), spikes/bin, smoothed with ``nerlib.data.preprocess.smooth``
    n_bins : int, bins of each trial in ``rates``, more than 4
    most : int, largest count of the search

    Returns
    -------
    uint8 array (n_trials, 4 + n_bins + 4, N): each trial's window with the four bins before and after it

    Raises
    ------
    DataError : smoothing the counts found does not return every rate to 1e-9
    """
    values, order, shape = smoothed_values(most)
    right = np.searchsorted(values, rates).clip(1, len(values) - 1)
    nearest = order[right - (rates - values[right - 1] < values[right] - rates)]
    window, *sums = (axis.reshape(-1, n_bins, rates.shape[1]) for axis in np.unravel_index(nearest, shape))
    before = [sums[k - 1][:, 0] - window[:, k] for k in range(REACH, 0, -1)]
    after = [sums[k - 1][:, -1] - window[:, -1 - k] for k in range(1, REACH + 1)]
    counts = np.concatenate([np.stack(before, 1), window, np.stack(after, 1)], axis=1)
    wrong = np.abs(smooth_counts(counts) - rates) > 1e-9
    if wrong.any() or counts.min() < 0:
        raise DataError(
            f"rates must be smoothed whole counts up to {most}; {wrong.sum()} of {wrong.size} are not"
        )
    return counts.astype(np.uint8)


def smooth_counts(counts: np.ndarray, smoothing: str = "published") -> np.ndarray:
    """The rates (n_trials · n_bins, N), spikes/bin, of counts (n_trials, 4 + n_bins + 4, N)."""
    n_trials, length, n_units = counts.shape
    rates = smooth(counts.reshape(-1, n_units), SMOOTH_SD, np.full(n_trials, length), smoothing)
    return rates.reshape(counts.shape)[:, REACH:-REACH].reshape(-1, n_units)


def read_source(path: Path) -> tuple[dict, np.ndarray, np.ndarray]:
    """Rates by area (T, N; spikes/bin), velocity (T, 2; cm/s), target direction (n_trials,; degrees)."""
    content = loadmat(path)
    areas = sorted(key.removeprefix("neural_") for key in content if key.startswith("neural_"))
    n_bins = 35 if areas == ["S1"] else 40
    direction = content["discrete_index"].reshape(-1, n_bins).astype(float)
    if (direction != direction[:, :1]).any():
        raise DataError(f"{path.name}: the direction changes within a trial of {n_bins} bins")
    return {area: content[f"neural_{area}"] for area in areas}, content["continuous_index"], direction[:, 0]


def read_recording(path: Path) -> tuple[dict, np.ndarray, np.ndarray]:
    """Counts by area (n_trials, bins, N), velocity (T, 2; cm/s), direction (degrees) of an NWB file."""
    with pynwb.NWBHDF5IO(str(path), "r") as io:
        nwb = io.read()
        direction = np.degrees(nwb.trials["target_dir"][:])
        series = nwb.processing["ecephys"].data_interfaces
        counts = {name.removeprefix("counts_"): series[name].data[:] for name in sorted(series)}
        counts = {area: c.reshape(len(direction), -1, c.shape[1]) for area, c in counts.items()}
        return counts, nwb.processing["behavior"]["Velocity"]["cursor_vel"].data[:], direction


def write_session(path: Path, rates: dict, velocity: np.ndarray, direction: np.ndarray) -> None:
    """Write one session's NWB file; the same input (and versions of pynwb and h5py) gives the same bytes.

    Parameters
    ----------
    path : path of the file, "<monkey>_<date>.nwb"
    rates, velocity, direction : as from ``read_source``

    Raises
    ------
    DataError : as ``recover_counts``
    """
    name, n_bins = path.stem, len(velocity) // len(direction)
    length = REACH + n_bins + REACH
    starts = PERIOD * np.arange(len(direction))
    times = starts[:, None] + BIN_WIDTH * np.arange(length)
    day = datetime.strptime(name.split("_")[1], "%Y%m%d").replace(tzinfo=UTC)
    ids = (str(uuid5(NAMESPACE_URL, f"{DRYAD}/{name}/{i}")) for i in itertools.count())
    with patch("hdmf.container.uuid4", lambda: next(ids)):  # object ids are random otherwise
        nwb = pynwb.NWBFile(
            session_description="Reaches from a center to one of eight targets: spike counts of"
            f" {' and '.join(rates)} and hand velocity, in 30 ms bins. {CLOCK}",
            identifier=f"NER {name}",
            session_start_time=day,
            file_create_date=day,
            session_id=name,
            lab="Miller lab",
            institution="Northwestern University",
            keywords=["center-out", "spike counts", "CC0-1.0", *rates],
            related_publications=[DRYAD, "https://doi.org/10.1016/j.neuron.2018.09.030"],
            notes=" ".join(NOTES.split()),
        )
        nwb.subject = pynwb.file.Subject(subject_id=name.split("_")[0], species="Macaca mulatta", sex="U")
        ecephys = nwb.create_processing_module("ecephys", "Whole spike counts in 30 ms bins, by area")
        timestamps = _packed(times.ravel())
        for area, smoothed in rates.items():
            n_units = smoothed.shape[1]
            array = nwb.create_device(name=f"array_{area}", description="Intracortical electrode array")
            group = nwb.create_electrode_group(
                area, description=f"Array in {area}", location=area, device=array
            )
            for _ in range(n_units):
                nwb.add_unit(electrode_group=group)
            counts = pynwb.TimeSeries(
                name=f"counts_{area}",
                data=_packed(recover_counts(smoothed, n_bins).reshape(-1, n_units)),
                unit="spikes",
                resolution=1.0,
                timestamps=timestamps,
                description=f"Spikes in each bin; columns: units of {area} in the order of the units table."
                f" {length} bins a trial: {n_bins} from the go cue, {REACH} before and {REACH} after them.",
                comments=f"Timestamps are the bins' starts. {CLOCK}",
            )
            ecephys.add(counts)
            timestamps = counts  # the next area links to these timestamps
        hand = pynwb.TimeSeries(
            name="cursor_vel",
            data=_packed(velocity.astype(np.float32)),
            unit="cm/s",
            timestamps=_packed(times[:, REACH:-REACH].ravel()),
            description=f"Hand velocity, x and y, in the {n_bins} bins from the go cue; unknown elsewhere.",
            comments=f"Timestamps are the bins' starts. {CLOCK}",
        )
        behavior = nwb.create_processing_module("behavior", "Hand velocity in 30 ms bins")
        behavior.add(BehavioralTimeSeries(time_series=hand, name="Velocity"))
        nwb.add_trial_column("go_cue_time", "Time of the go cue (s)")
        nwb.add_trial_column("target_dir", "Direction of the target (radians), counterclockwise from +x")
        nwb.add_trial_column("result", "R for every trial: the source holds only those that its authors used")
        for start, angle in zip(starts, np.radians(direction), strict=True):
            stop, go_cue = start + length * BIN_WIDTH, start + REACH * BIN_WIDTH
            nwb.add_trial(start_time=start, stop_time=stop, go_cue_time=go_cue, target_dir=angle, result="R")
        # For a small file: HDF5's format of version 1.10, and no copy of the NWB schema.
        with h5py.File(path, "w", libver=("v110", "v110")) as file:
            with pynwb.NWBHDF5IO(file=file, mode="w") as io:
                io.write(nwb, cache_spec=False)


def _packed(values):
    """Compressed, one chunk a column."""
    chunks = (len(values), *[1] * (values.ndim - 1))
    return pynwb.H5DataIO(values, compression="gzip", compression_opts=9, shuffle=True, chunks=chunks)


def largest_errors(path: Path, source: Path) -> np.ndarray:
    """Largest differences of an NWB file from its source: rates (spikes/bin), velocity (mm/s), direction."""
    counts, velocity, direction = read_recording(path)
    rates, true_velocity, true_direction = read_source(source)
    if list(counts) != list(rates):
        raise DataError(f"{path.name} has the areas {', '.join(counts)}, its source {', '.join(rates)}")
    of_rates = max(np.abs(smooth_counts(counts[area]) - rates[area]).max() for area in rates)
    of_velocity = 10 * np.abs(velocity - true_velocity).max()
    return np.array([of_rates, of_velocity, np.abs(direction - true_direction).max()])


def main() -> None:
    """Write every session's file, compare it with its source, and write the list of checksums."""
    if not os.environ.get("NERLIB_DATA"):
        sys.exit("set NERLIB_DATA to the folder whose subfolder perich/ holds the authors' files")
    here, checksums = Path(__file__).parent, []
    for name in sorted(SESSIONS):
        source = Path(os.environ["NERLIB_DATA"]) / "perich" / f"{name}_neural_con_dis_index.mat"
        path = here / f"{name}.nwb"
        write_session(path, *read_source(source))
        errors = largest_errors(path, source)
        print(f"{path.name}: {path.stat().st_size} bytes; errors of rates, velocity, direction: {errors}")
        if not (errors <= [1e-9, 1e-4, 1e-9]).all():
            raise DataError(f"{path.name} differs from {source.name} by more than 1e-9, 1e-4, 1e-9")
        checksums.append(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")
    (here / "checksums.txt").write_text("".join(checksums))


if __name__ == "__main__":
    main()
