"""Batches for contrastive training: reference bins and their positives."""

import numpy as np
from scipy.spatial import cKDTree

from nerlib.losses import check_per_column
from nerlib.session import trial_bounds

_PREFETCH = 32  # batches drawn at once: one query of the tree serves them all


def pairs(labels: np.ndarray, *, batch_size: int, rng, trial=None, lengths=None, periods=None, weights=None):
    """Draw references and positives, endlessly: pairs of int arrays (batch_size,) (Methods page, *NER*).

    A reference is any bin, drawn with replacement. Its positive is the bin whose movement is nearest to
    the reference's movement plus the change over one time step at a random bin. "Movement" is the linear
    label columns (velocity); when all columns are circular, their place on the circle.

    Labels are a float array (T, k), their ``periods`` and ``weights`` as in `losses.ner_loss`; ``rng`` is
    NumPy's Generator. A time step never crosses trials, int array (T,) or None. ``lengths`` are the bins of
    each session, as in `draw_bins`, or None for one session; a positive may come from any. Raises ValueError
    when no trial has two bins, so that there is no time step, and when all weights are 0.
    """
    movement, n_bins = _movement(labels, periods, weights), len(labels)
    step = np.arange(n_bins - 1)
    if trial is not None:
        step = step[trial[1:] == trial[:-1]]
    if not len(step):
        raise ValueError(f"{n_bins} sample(s) hold no time step; a trial with at least 2 bins is needed")
    tree = cKDTree(movement)
    while True:
        reference = draw_bins(rng, lengths or [n_bins], (_PREFETCH, batch_size))
        moved = step[rng.integers(len(step), size=reference.shape)]
        target = movement[reference] + movement[moved + 1] - movement[moved]
        yield from zip(reference, tree.query(target)[1], strict=True)


def draw_bins(rng, lengths, size) -> np.ndarray:
    """Bins drawn with replacement: a session first, each as likely as any other, then one of its bins.

    ``lengths`` are the bins of each session, one session after the other; ``size`` is the result's shape.
    """
    if len(lengths) == 1:
        return rng.integers(lengths[0], size=size)
    lengths, session = np.asarray(lengths), rng.integers(len(lengths), size=size)
    start = np.cumsum(lengths) - lengths
    return start[session] + (rng.random(size) * lengths[session]).astype(np.int64)


def _movement(labels, periods, weights):
    periods = check_per_column("periods", periods, labels.shape[1], None)
    scale = np.asarray(check_per_column("weights", weights, labels.shape[1], 1.0), float)
    used = np.flatnonzero(scale)
    if not len(used):
        raise ValueError(f"weights are {weights}: no label column counts; give one of them a positive weight")
    linear = [c for c in used if periods[c] is None]
    if linear:
        return labels[:, linear] * scale[linear]
    radius = np.asarray([periods[c] for c in used]) / (2 * np.pi)
    angle, radius = labels[:, used] / radius, radius * scale[used]
    return np.hstack([np.cos(angle) * radius, np.sin(angle) * radius])


def history(trial: np.ndarray | None, n_bins: int, window: int):
    """A callable from bins (B,) to the bins of their windows (B, window), the latest first.

    The first bin of a trial stands in for those before it; ``trial`` (T,) is None for one stretch of T bins.
    """
    lags = np.arange(window)
    if trial is None:
        return lambda bins: np.maximum(bins[:, None] - lags, 0)
    first = np.repeat(*trial_bounds(trial))
    return lambda bins: np.maximum(bins[:, None] - lags, first[bins][:, None])


def stacked(rates: np.ndarray, trial: np.ndarray | None, window: int) -> np.ndarray:
    """Rates (T, N) with their `history` side by side, the latest bin first: array (T, window × N)."""
    if window == 1:
        return rates
    return rates[history(trial, len(rates), window)(np.arange(len(rates)))].reshape(len(rates), -1)
