"""Scores of decoded movements, each in its published and its standard form (SCIENCE, sections 5 and 6)."""

import numpy as np
import torch
from scipy.spatial import procrustes
from scipy.spatial.distance import cdist
from scipy.stats import rankdata
from sklearn.metrics import r2_score

from nerlib.losses import label_distances


def position(velocity, session):
    """Displacement since the trial's first bin: the cumulative sum of velocity within the trial.

    Parameters
    ----------
    velocity : array (T, 2), mm/s
    session : Session with T bins, which tells where trials begin

    Returns
    -------
    array (T, 2), mm
    """
    total = np.cumsum(velocity, axis=0, dtype=np.float64)
    before = total[session.trial_starts] - velocity[session.trial_starts]
    return (total - np.repeat(before, session.trial_lengths, axis=0)) * session.bin_width


def accuracy_over_time(direction, session):
    """Share of trials whose direction is decoded rightly, for each bin of the trial.

    Parameters
    ----------
    direction : array (T,), decoded directions (degrees)
    session : Session with T bins

    Returns
    -------
    array (longest trial,), values in [0, 1]; of the trials that reach a bin
    """
    right = np.bincount(session.bin_in_trial, np.asarray(direction) == session.direction)
    return right / np.bincount(session.bin_in_trial)


def peak_bin(direction, session):
    """The time bin at which most directions are right: of those that every trial reaches, of ties the middle.

    Parameters
    ----------
    direction : array (T,), decoded directions (degrees)
    session : Session with T bins

    Returns
    -------
    int, counted from the start of the trial
    """
    over_time = _in_every_trial(direction, session)
    best = np.flatnonzero(over_time == over_time.max())
    return int(best[(len(best) - 1) // 2])


def _in_every_trial(direction, session):
    return accuracy_over_time(direction, session)[: session.trial_lengths.min()]


def score(velocity, direction, session, *, held_out, peak_bin=None):
    """Score decoded velocity, position and direction against a session.

    Velocity and position are scored by R², averaged over x and y; direction by its accuracy over trials
    at the best time bin, of those that every trial reaches. The two forms differ where the published
    evaluation should not be believed:

    - ``published``: on held-out data velocity is R²(decoded, true), the arguments exchanged, and the best
      time bin is picked on the data that are scored;
    - ``standard``: velocity is R²(true, decoded) always, and the time bin is ``peak_bin``.

    Parameters
    ----------
    velocity : array (T, 2), decoded (mm/s)
    direction : array (T,), decoded (degrees)
    session : Session with T bins, the truth
    held_out : bool, whether decoder and embedding were fitted on other trials
    peak_bin : int, the time bin picked on training data, needed when ``held_out``; where some trial is
        shorter, the last bin that all of them reach

    Returns
    -------
    dict: form -> {"velocity_r2", "position_r2", "direction_accuracy"}

    Raises
    ------
    ValueError : lengths that disagree, or held-out data without ``peak_bin``
    """
    if np.shape(velocity) != session.velocity.shape or np.shape(direction) != session.direction.shape:
        raise ValueError(
            f"decoded velocity {np.shape(velocity)} and direction {np.shape(direction)} must match the "
            f"session's {session.velocity.shape} and {session.direction.shape}"
        )
    if held_out and peak_bin is None:
        raise ValueError("held-out direction accuracy needs peak_bin, the time bin picked on training data")
    over_time = _in_every_trial(direction, session)
    peak = float(over_time.max())
    velocity_r2 = float(r2_score(session.velocity, velocity))
    position_r2 = float(r2_score(position(session.velocity, session), position(velocity, session)))
    standard = {
        "velocity_r2": velocity_r2,
        "position_r2": position_r2,
        "direction_accuracy": float(over_time[min(peak_bin, len(over_time) - 1)]) if held_out else peak,
    }
    published = {
        "velocity_r2": float(r2_score(velocity, session.velocity)) if held_out else velocity_r2,
        "position_r2": position_r2,
        "direction_accuracy": peak,
    }
    return {"published": published, "standard": standard}


def r2_by_speed(velocity, session):
    """R² of decoded velocity over all bins, and apart for the slower and the faster half (Figure 1).

    Slow bins vary little, so that the same error in mm/s costs them far more R².

    Parameters
    ----------
    velocity : array (T, 2), decoded (mm/s)
    session : Session with T bins, the truth

    Returns
    -------
    dict: "all", "slow" and "fast" -> R²(true, decoded), averaged over x and y
    """
    speed = np.linalg.norm(session.velocity, axis=1)
    fast = speed > np.median(speed)
    parts = {"all": slice(None), "slow": ~fast, "fast": fast}
    return {name: float(r2_score(session.velocity[part], velocity[part])) for name, part in parts.items()}


def paired_distances(embedding, labels, *, n_rows=2000, seed=0, periods=(None, None, 360.0)):
    """Distances of each bin to all others, between labels and between embeddings.

    Parameters
    ----------
    embedding : array (T, d)
    labels : array (T, k)
    n_rows : int, bins drawn without replacement when T is larger
    seed : int, for the draw
    periods : as in `losses.ner_loss`

    Returns
    -------
    two arrays (rows, rows − 1): label distances, embedding distances
    """
    rows = np.random.default_rng(seed).permutation(len(embedding))[:n_rows]
    others = ~np.eye(len(rows), dtype=bool)
    apart = label_distances(torch.as_tensor(labels[rows]), periods).numpy()
    embedded = cdist(embedding[rows], embedding[rows])
    return apart[others].reshape(len(rows), -1), embedded[others].reshape(len(rows), -1)


def rank_agreement(embedding, labels, **options):
    """How well distances between embeddings follow the rank of distances between labels.

    For each bin, Spearman's correlation between its distances to the others in the embedding and in the
    labels: 1 means that NER's aim (section 3) is met without exception, 0 is chance.

    Parameters
    ----------
    embedding, labels, **options : as in `paired_distances`

    Returns
    -------
    float array (rows,), one correlation a bin
    """
    ranks = [rankdata(apart, axis=1) for apart in paired_distances(embedding, labels, **options)]
    labels_, embedded = (r - r.mean(axis=1, keepdims=True) for r in ranks)
    return (labels_ * embedded).sum(axis=1) / np.sqrt((labels_**2).sum(axis=1) * (embedded**2).sum(axis=1))


def consistency(source, target):
    """R² of one session's trial averages laid over another's: 1 is the same shape, 0 none.

    Both are centred and scaled to the same size, and one is rotated (or reflected) onto the other; what then
    remains is the unexplained share. It is the same either way round.

    Parameters
    ----------
    source, target : arrays (K, bins, d), averages of the same directions, as of `alignment.common_averages`

    Returns
    -------
    float

    Raises
    ------
    ValueError : shapes that disagree, or averages that do not vary
    """
    if np.ndim(source) != 3 or np.shape(source) != np.shape(target):
        raise ValueError(
            "expected two arrays (directions, bins, d) of one shape; "
            f"got {np.shape(source)} and {np.shape(target)}"
        )
    flat = [np.reshape(x, (-1, np.shape(x)[-1])) for x in (source, target)]
    if not all(np.ptp(x, axis=0).any() for x in flat):
        raise ValueError("averages that do not vary have no shape to compare")
    return 1 - float(procrustes(*flat)[2])
