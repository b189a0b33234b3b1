"""Readers of centre-out recordings: the authors' .mat, TrialData .mat (Dryad), NWB (as DANDI 000688)."""

import warnings
from collections import Counter
from pathlib import Path

import numpy as np

from nerlib.data import DataError
from nerlib.data.nwb import read_trials, trial_column
from nerlib.data.preprocess import direction_to_eight, smooth
from nerlib.session import Session

BIN_WIDTH, SMOOTH_SD = 0.03, 0.045  # s
N_BINS = {"M1": 40, "PMd": 40, "S1": 35}  # bins a trial from the go cue, by area (SCIENCE 1, step 3)
REWARDED = {"result": "R"}


def read_authors_mat(path, area):
    """A session as the paper's authors processed it: binned, smoothed and cut already.

    Parameters
    ----------
    path : path of a file named "<monkey>_<date>_….mat" with ``neural_<area>`` (T, N; spikes/bin),
        ``continuous_index`` (T, 2; cm/s) and ``discrete_index`` (T, 1; degrees)
    area : "M1", "PMd" (40 bins a trial) or "S1" (35)

    Returns
    -------
    Session, velocity in mm/s, direction 0, 45 … 315 degrees

    Raises
    ------
    FileNotFoundError, DataError : no such file, damaged, or a variable is missing
    ValueError : T is no whole number of trials, or what ``Session`` refuses (NaN, lengths that disagree, a
        direction that changes within a trial)
    """
    path = Path(path)
    variables = _load_mat(path)
    areas = [key.removeprefix("neural_") for key in variables if key.startswith("neural_")]
    if area not in areas or area not in N_BINS:
        raise DataError(f"{path.name} has no area {area!r}; it has {', '.join(areas) or 'no neural_<area>'}")
    for key in ("continuous_index", "discrete_index"):
        if key not in variables:
            raise DataError(f"{path.name} has no variable {key!r}; it has {', '.join(variables)}")
    rates, n_bins = variables[f"neural_{area}"], N_BINS[area]
    if len(rates) % n_bins or len(rates) < 2 * n_bins:
        raise DataError(
            f"{path.name}: {area} has {len(rates)} bins, expected two or more trials of {n_bins} bins each"
        )
    monkey, date, *_ = [*path.stem.split("_"), ""]
    return Session(
        rates=rates,
        velocity=variables["continuous_index"] * 10.0,
        direction=direction_to_eight(variables["discrete_index"].ravel()),
        trial=np.repeat(np.arange(len(rates) // n_bins), n_bins),
        bin_width=BIN_WIDTH,
        name="_".join(filter(None, (monkey, date))),
        area=area,
        monkey=monkey,
        date=date,
    )


def read_trialdata_mat(path, area, *, keep=REWARDED):
    """A session in the TrialData format of Perich, Miller and colleagues (a struct array ``trial_data``).

    Spikes are summed and velocity (cm/s) is averaged over 30 ms, in bins whose edges meet the go cue; counts
    are smoothed over the whole trial, then cut from the go cue. Trials that are too short are left out; so
    are, with a warning, those that lack go cue, target or velocity.

    Parameters
    ----------
    path : path of a MATLAB file up to version 7 (not 7.3)
    area : "M1", "PMd" or "S1"
    keep : dict, field → value (or list of values) of the trials to keep; a session with a force field or
        rotation may want {"result": "R", "epoch": "BL"}

    Returns
    -------
    Session, its trial ids are the trials' places in the file

    Raises
    ------
    FileNotFoundError, DataError : no such file, damaged, version 7.3, a field missing, fewer than two trials

    Source: SCIENCE 1, steps 1–4.
    """
    path = Path(path)
    variables = _load_mat(path, simplify_cells=True)
    if "trial_data" not in variables:
        raise DataError(f"{path.name} has no variable 'trial_data'; it has {', '.join(variables)}")
    found = variables["trial_data"]
    trials = [found] if isinstance(found, dict) else list(found)
    needed = [f"{area}_spikes", "vel", "bin_size", "idx_go_cue", "target_direction", *keep]
    for field in needed:
        if field not in trials[0]:
            raise DataError(f"{path.name}: trial_data has no field {field!r}; it has {', '.join(trials[0])}")
    step = round(BIN_WIDTH / float(trials[0]["bin_size"]))
    if step < 1 or abs(step * trials[0]["bin_size"] - BIN_WIDTH) > 1e-6:
        raise DataError(f"{path.name}: bins of {trials[0]['bin_size']} s do not add up to {BIN_WIDTH} s")
    n_bins = N_BINS.get(area, 40)
    pieces, lost = [], Counter()
    for number, trial in enumerate(trials):
        if not all(trial[field] in np.atleast_1d(value) for field, value in keep.items()):
            lost[f"not as asked ({keep})"] += 1
            continue
        piece = _rebin_trial(trial, area, step, n_bins)
        if isinstance(piece, str):
            lost[piece] += 1
        else:
            pieces.append((number, *piece))
    report = ", ".join(f"{count} {reason}" for reason, count in lost.items())
    if len(pieces) < 2:
        raise DataError(
            f"{path.name}: {len(pieces)} of {len(trials)} trials usable, need two; left out: {report}"
        )
    if "unfinished" in report:
        warnings.warn(f"{path.name}: left out trials: {report}", stacklevel=2)
    numbers, rates, velocity, directions = zip(*pieces, strict=True)
    return Session(
        rates=np.concatenate(rates),
        velocity=np.concatenate(velocity),
        direction=np.repeat(direction_to_eight(directions), n_bins),
        trial=np.repeat(numbers, n_bins),
        bin_width=BIN_WIDTH,
        name=path.stem,
        area=area,
        monkey=str(trials[0].get("monkey", "")),
        date=str(trials[0].get("date", "")),
    )


def _rebin_trial(trial, area, step, n_bins):
    """Rates (n_bins, N), velocity (n_bins, 2; mm/s) and direction of a TrialData trial, or why it is none."""
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
    except NotImplementedError as error:
        raise DataError(
            f"{path.name} is a MATLAB 7.3 file; save it in MATLAB with '-v7', or use NWB"
        ) from error
    except Exception as error:  # scipy raises a dozen kinds, zlib.error among them
        raise DataError(
            f"{path} cannot be read as a MATLAB file, it is damaged or truncated ({error})"
        ) from error
    return {key: value for key, value in variables.items() if not key.startswith("__")}


def read_nwb(
    path,
    area=None,
    *,
    velocity="behavior/Velocity/cursor_vel",
    velocity_unit=None,
    align="go_cue_time",
    direction="target_dir",
    direction_unit="radians",
    keep=REWARDED,
    bin_width=BIN_WIDTH,
    n_bins=None,
    smooth_sd=SMOOTH_SD,
    name=None,
):
    """A centre-out session from an NWB file; the defaults are the schema of DANDI 000688.

    Parameters
    ----------
    path : path of the NWB file
    area : str or None, e.g. "M1": the units whose electrode group's name or location has this word;
        None takes all units
    velocity : str, path of the velocity series, from the processing module (or "acquisition") down
    velocity_unit : "m/s", "cm/s", "mm/s" or None, which reads it from the series
    align : str, column of the trials table (s); the session's trials start there
    direction, direction_unit : column of the target direction, "radians" or "degrees"
    keep : dict, column → value (or list of values) of the trials to keep; {} keeps all
    bin_width, smooth_sd : float, seconds
    n_bins : int or None, bins a trial; None is the paper's 35 for S1 and 40 elsewhere
    name : str or None, name of the session; None is the file's session_id

    Returns
    -------
    Session, velocity in mm/s (the mean of the samples in a bin), direction in whole degrees; trial ids are
    row numbers of the trials table. Trials that end too early are left out. So are, with a warning, trials
    without event, direction or velocity, and those that a unit's ``obs_intervals`` do not cover.

    Raises
    ------
    FileNotFoundError, DataError : no such file, no NWB file or truncated; container, series, column or area
        missing (the message says what there is); fewer than two usable trials

    Source: SCIENCE 1, steps 1–4.
    """
    if direction_unit not in ("radians", "degrees"):
        raise ValueError(f'direction_unit must be "radians" or "degrees", got {direction_unit!r}')

    def angle(nwb):
        values = trial_column(nwb, direction)
        return np.degrees(values) if direction_unit == "radians" else values

    return read_trials(
        path,
        area,
        label=area or "",
        velocity=velocity,
        velocity_unit=velocity_unit,
        align=align,
        angle=angle,
        keep=keep,
        name=name,
        before=0.0,
        n_bins=n_bins or N_BINS.get(area, 40),
        bin_width=bin_width,
        smooth_sd=smooth_sd,
    )
