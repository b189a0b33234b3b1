"""Scores of decoded movements in the published and the corrected protocol (Methods page, *Protocols*)."""

import numpy as np
from scipy.spatial import procrustes
from sklearn.metrics import r2_score

from nerlib.session import Session


def position(velocity: np.ndarray, session: Session) -> np.ndarray:
    """Displacement (mm) since the trial's first bin: velocity (T, k) in mm/s, summed within the trial."""
    total = np.cumsum(velocity, axis=0, dtype=np.float64)
    before = total[session.trial_starts] - velocity[session.trial_starts]
    return (total - np.repeat(before, session.trial_lengths, axis=0)) * session.bin_width


def accuracy_over_time(direction: np.ndarray, session: Session) -> np.ndarray:
    """Share of trials whose decoded ``direction`` (T,), degrees, is correct, for each bin of the trial.

    Of the trials that reach a bin: array (longest trial,), values in [0, 1].
    """
    if session.direction is None:
        raise ValueError(f"{session.name} has no directions to compare with; give Session direction=")
    correct = np.bincount(session.bin_in_trial, np.asarray(direction) == session.direction)
    return correct / np.bincount(session.bin_in_trial)


def peak_bin(direction: np.ndarray, session: Session) -> int:
    """The time bin with the highest accuracy of ``direction`` (T,), counted from the start of the trial.

    Among the bins that every trial reaches; of tied bins the middle one.
    """
    over_time = accuracy_over_time(direction, session)[: session.trial_lengths.min()]
    best = np.flatnonzero(over_time == over_time.max())
    return int(best[(len(best) - 1) // 2])


def score(
    velocity: np.ndarray,
    direction: np.ndarray | None,
    session: Session,
    *,
    held_out: bool,
    peak_bin: int | None = None,
) -> dict[str, dict[str, float]]:
    """Score decoded velocity, position and direction against a session.

    Velocity and position are scored by R², averaged over columns; direction by its accuracy over trials at
    the best time bin that every trial reaches. The two protocols differ on held-out data:

    - ``published``: velocity is R²(decoded, true), the arguments exchanged, and the best time bin is chosen
      on the data that are scored;
    - ``corrected``: velocity is R²(true, decoded), and the time bin is ``peak_bin``.

    Decoded ``velocity`` is an array (T, k) in mm/s, ``direction`` (T,) in degrees or None. ``held_out`` tells
    whether decoder and embedding were fitted on other trials than the T bins of this session. ``peak_bin``,
    needed then, is the time bin chosen on training data; where some trial is shorter, the last bin that all
    of them reach is taken.

    Returns a dict: protocol -> {"velocity_r2", "position_r2"}, and with directions "direction_accuracy" and
    the scores of `single_trial`, which the paper does not have. Raises ValueError for lengths that disagree,
    and for held-out data without ``peak_bin``.
    """
    shapes = [None if values is None else np.shape(values) for values in (velocity, direction)]
    expected = [None if v is None else v.shape for v in (session.velocity, session.direction)]
    if shapes != expected:
        raise ValueError(f"decoded velocity and direction {shapes} must match the session's {expected}")
    velocity_r2 = float(r2_score(session.velocity, velocity))
    position_r2 = float(r2_score(position(session.velocity, session), position(velocity, session)))
    corrected = {"velocity_r2": velocity_r2, "position_r2": position_r2}
    if direction is not None:
        over_time = accuracy_over_time(direction, session)[: session.trial_lengths.min()]
        corrected |= single_trial(velocity, session) | {"direction_accuracy": float(over_time.max())}
    published = dict(corrected)
    if held_out:
        published["velocity_r2"] = float(r2_score(velocity, session.velocity))
    if held_out and direction is not None:
        if peak_bin is None:
            raise ValueError("held-out direction accuracy needs peak_bin, the bin chosen on training data")
        corrected["direction_accuracy"] = float(over_time[min(peak_bin, len(over_time) - 1)])
    return {"published": published, "corrected": corrected}


def single_trial(velocity: np.ndarray, session: Session) -> dict[str, float]:
    """How well decoded ``velocity`` (T, k), mm/s, follows single trials, beyond the average reach.

    The mean of each direction and time bin is removed from decoded and true velocity alike. What is left is
    how a trial differs from the others to the same target; bins beyond the shortest trial do not count.

    Returns a dict of "single_trial_r2" and "single_trial_correlation" (Pearson's), averaged over columns.
    Playing back the average reach scores 0 in both; both are 0 where true trials do not differ. Raises
    ValueError for a session without directions.
    """
    rest = []
    kept = session.bin_in_trial < session.trial_lengths.min()
    for values in (session.velocity, velocity):
        directions, averages = session.average_by_direction(values)
        of_bin = np.searchsorted(directions, session.direction[kept])
        rest.append(np.asarray(values, np.float64)[kept] - averages[of_bin, session.bin_in_trial[kept]])
    true, decoded = rest
    total, spread = np.square(true).sum(axis=0), np.square(decoded).sum(axis=0)
    floor = 1e-12 * np.square(session.velocity[kept]).sum(axis=0)  # rounding is no difference between trials
    varies = total > floor
    if not varies.any():
        return {"single_trial_r2": 0.0, "single_trial_correlation": 0.0}
    r2 = 1 - np.square(true - decoded).sum(axis=0)[varies] / total[varies]
    product = (true * decoded).sum(axis=0)[varies]
    scale = np.sqrt(total * spread)[varies]
    correlation = np.divide(product, scale, out=np.zeros_like(product), where=(spread > floor)[varies])
    return {"single_trial_r2": float(r2.mean()), "single_trial_correlation": float(correlation.mean())}


def consistency(source: np.ndarray, target: np.ndarray) -> float:
    """R² of one session's trial averages aligned to another's: 1 is the same shape, 0 none.

    Procrustes analysis: both are centred and scaled to the same size, one is rotated or reflected onto the
    other, and the residual is the unexplained share. Symmetric in its arguments, arrays (K, bins, d) with the
    averages of the same directions, as of `alignment.common_averages`. Raises ValueError for shapes that
    disagree and averages that do not vary.
    """
    if np.ndim(source) != 3 or np.shape(source) != np.shape(target) or not np.size(source):
        got = f"got {np.shape(source)} and {np.shape(target)}"
        raise ValueError(f"expected two arrays (directions, bins, d) of one shape; {got}")
    flat = [np.concatenate(averages) for averages in (source, target)]
    if not all(np.ptp(x, axis=0).any() for x in flat):
        raise ValueError("averages that do not vary have no shape to compare")
    return 1 - float(procrustes(*flat)[2])
