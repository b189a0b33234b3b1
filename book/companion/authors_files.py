"""Readers of MATLAB files: the sessions as the paper's authors binned them, and TrialData (as on Dryad)."""

import warnings
from collections import Counter
from pathlib import Path

import numpy as np

from nerlib.data import DataError
from nerlib.data.nwb import REWARDED
from nerlib.data.preprocess import smooth
from nerlib.session import Session

BIN_WIDTH, SMOOTH_SD = 0.03, 0.045  # s


def read_authors_mat(path: str | Path, area: str, n_bins: int = 40) -> Session:
    """A session as the paper's authors processed it: already binned, smoothed and cut.

    Parameters
    ----------
    path : path of a file named "<monkey>_<date>_*.mat" with ``neural_<area>`` (T, N; spikes/bin),
        ``continuous_index`` (T, 2; cm/s) and ``discrete_index`` (T, 1; degrees)
    area : str, e.g. "M1"
    n_bins : int, bins per trial: 40 for M1 and PMd, 35 for S1 (``catalogue.N_BINS``)

    Returns
    -------
    Session, velocity in mm/s, direction 0, 45, ..., 315 degrees

    Raises
    ------
    FileNotFoundError, DataError : no such file, damaged, a variable is missing, or a trial is not whole
    ValueError : what ``Session`` refuses: NaN, lengths that disagree, a direction that changes within a trial
    """
    path = Path(path)
    variables = _load_mat(path)
    areas = [key.removeprefix("neural_") for key in variables if key.startswith("neural_")]
    if area not in areas:
        raise DataError(f"{path.name} has no area {area!r}; it has {', '.join(areas) or 'no neural_<area>'}")
    for key in ("continuous_index", "discrete_index"):
        if key not in variables:
            raise DataError(f"{path.name} has no variable {key!r}; it has {', '.join(variables)}")
    rates = variables[f"neural_{area}"]
    if len(rates) % n_bins or len(rates) < 2 * n_bins:
        raise DataError(f"{path.name}: {area} has {len(rates)} bins, expected two or more trials of {n_bins}")
    direction = direction_to_eight(variables["discrete_index"].ravel())
    trial = np.repeat(np.arange(len(rates) // n_bins), n_bins)
    monkey, date, *_ = [*path.stem.split("_"), ""]
    name = "_".join(filter(None, (monkey, date)))
    # In single precision (2e-5 mm/s), as in the book's own files, so that both give the same scores.
    velocity = variables["continuous_index"].astype(np.float32).astype(float) * 10
    return Session(rates, velocity, direction, trial, BIN_WIDTH, name, area, monkey, date)


def read_trialdata_mat(path: str | Path, area: str, n_bins: int = 40, *, keep: dict = REWARDED) -> Session:
    """A session in the TrialData format of Perich, Miller and colleagues (a struct array ``trial_data``).

    Spikes are summed and velocity (cm/s) is averaged over 30 ms, in bins whose edges meet the go cue; counts
    are smoothed over the whole trial, then cut from the go cue. A warning counts the trials left out for
    another reason than ``keep``: too short, or without go cue, target or velocity.

    Parameters
    ----------
    path : path of a MATLAB file up to version 7 (not 7.3)
    area, n_bins : as in ``read_authors_mat``
    keep : dict, field -> value (or list of values) of the trials to keep; a session with a force field or
        rotation may need {"result": "R", "epoch": "BL"}

    Trial ids are the trials' positions in the file.

    Raises
    ------
    FileNotFoundError, DataError : no such file, damaged, version 7.3, a field missing, fewer than two trials

    Source: preprocessing in section 3.1 and the appendix of the NER paper.
    """
    path = Path(path)
    variables = _load_mat(path, simplify_cells=True)
    if "trial_data" not in variables:
        raise DataError(f"{path.name} has no variable 'trial_data'; it has {', '.join(variables)}")
    found = variables["trial_data"]
    trials = [found] if isinstance(found, dict) else list(found)
    for field in (f"{area}_spikes", "vel", "bin_size", "idx_go_cue", "target_direction", *keep):
        if field not in trials[0]:
            raise DataError(f"{path.name}: trial_data has no field {field!r}; it has {', '.join(trials[0])}")
    step = round(BIN_WIDTH / float(trials[0]["bin_size"]))
    if step < 1 or abs(step * trials[0]["bin_size"] - BIN_WIDTH) > 1e-6:
        raise DataError(f"{path.name}: bins of {trials[0]['bin_size']} s do not add up to {BIN_WIDTH} s")
    pieces = [_rebin_trial(trial, area, step, n_bins, keep) for trial in trials]
    usable = [(number, *piece) for number, piece in enumerate(pieces) if not isinstance(piece, str)]
    lost = Counter(piece for piece in pieces if isinstance(piece, str))
    report = ", ".join(f"{count} {reason}" for reason, count in lost.items())
    if len(usable) < 2:
        count = f"{len(usable)} of {len(trials)} trials usable"
        raise DataError(f"{path.name}: {count}, need 2; left out: {report}")
    if any(not reason.startswith("not selected") for reason in lost):
        warnings.warn(f"{path.name}: left out trials: {report}", stacklevel=2)
    numbers, rates, velocity, directions = zip(*usable, strict=True)
    direction, trial = np.repeat(direction_to_eight(np.array(directions)), n_bins), np.repeat(numbers, n_bins)
    monkey, date = (str(trials[0].get(key, "")) for key in ("monkey", "date"))
    arrays = np.concatenate(rates), np.concatenate(velocity), direction, trial
    return Session(*arrays, BIN_WIDTH, path.stem, area, monkey, date)


def _rebin_trial(trial, area, step, n_bins, keep):
    """Rates (n_bins, N), velocity (n_bins, 2; mm/s) and direction of a TrialData trial, or why not."""
    if not all(trial[field] in np.atleast_1d(value) for field, value in keep.items()):
        return f"not selected by {keep}"
    go, angle = np.ravel(trial["idx_go_cue"]), np.degrees(np.ravel(trial["target_direction"]))
    if go.size != 1 or angle.size != 1 or not np.isfinite([go[0], angle[0]]).all():
        return "unfinished (no go cue or target)"
    first, offset = divmod(int(go[0]) - 1, step)  # MATLAB counts from 1
    spikes, velocity = (np.asarray(trial[field], float)[offset:] for field in (f"{area}_spikes", "vel"))
    whole = len(spikes) // step
    spikes, velocity = (x[: whole * step].reshape(whole, step, -1) for x in (spikes, velocity))
    cut = slice(first, first + n_bins)
    moved = velocity.mean(axis=1)[cut] * 10.0
    if len(moved) < n_bins:
        return f"too short for {n_bins} bins"
    if not np.isfinite(moved).all():
        return "unfinished (velocity NaN)"
    return smooth(spikes.sum(axis=1), SMOOTH_SD / BIN_WIDTH)[cut], moved, angle[0]


def _load_mat(path, **options):
    import scipy.io

    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        variables = scipy.io.loadmat(path, **options)
    except NotImplementedError:
        raise DataError(f"{path.name} is a MATLAB 7.3 file; save it in MATLAB with '-v7'") from None
    except Exception as error:  # scipy raises a dozen kinds, zlib.error among them
        raise DataError(f"{path} cannot be read as a MATLAB file: damaged or truncated ({error})") from None
    return {key: value for key, value in variables.items() if not key.startswith("__")}


def direction_to_eight(angle: np.ndarray) -> np.ndarray:
    """Target angles in degrees (-180 to 180 or 0 to 360) as 0, 45, ..., 315; -180 and 180 are both 180.

    Raises
    ------
    ValueError : an angle is more than 5 degrees away from all eight
    """
    angle = np.asarray(angle, float)
    nearest = np.round(angle / 45) * 45
    off = ~(np.abs(angle - nearest) <= 5)
    if off.any():
        raise ValueError(f"target angles must be multiples of 45 degrees, got {np.unique(angle[off])[:5]}")
    return nearest % 360
