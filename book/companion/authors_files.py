"""Reader of MATLAB files: the sessions as the paper's authors binned them."""

from pathlib import Path

import numpy as np

from nerlib.data import DataError
from nerlib.session import Session

BIN_WIDTH = 0.03  # s


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


def _load_mat(path):
    import scipy.io

    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        variables = scipy.io.loadmat(path)
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
