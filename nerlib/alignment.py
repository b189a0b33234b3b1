"""Maps that align the embedding of one session with that of another (Methods page, *Alignment*)."""

from collections.abc import Sequence
from functools import reduce

import numpy as np
from scipy.linalg import orthogonal_procrustes
from sklearn.linear_model import LinearRegression

from nerlib.session import Session


def align(
    source: np.ndarray,
    target: np.ndarray,
    source_session: Session,
    target_session: Session,
    *,
    protocol: str = "corrected",
) -> np.ndarray:
    """The rotation or reflection that aligns the trial averages of one embedding with those of another.

    - ``corrected``: one orthogonal Procrustes fit to the averages of all directions at once. Give it training
      trials only, and test trials stay unseen.
    - ``published``: one fit per direction; then, of these maps, the one whose result for the whole session is
      nearest to the session rotated direction by direction. The paper gave it all trials, including those of
      the target that were scored afterwards.

    Embeddings are arrays (T, d) and (U, d), not necessarily of the same neurons or length; their sessions, of
    T and U bins, have the movements. Returns an orthogonal array (d, d); ``source @ rotation`` is aligned
    with the target. Raises ValueError for an unknown protocol, shapes that disagree, values that are not
    finite, and no direction in common.
    """
    if protocol not in ("corrected", "published"):
        raise ValueError(f"protocol must be corrected or published; got {protocol!r}")
    directions, *averages = _checked_averages(source, target, source_session, target_session)
    if protocol == "corrected":
        return orthogonal_procrustes(*map(np.concatenate, averages))[0]

    candidates = np.array([orthogonal_procrustes(*both)[0] for both in zip(*averages, strict=True)])
    # ‖Z R − Z R_k‖² over the bins of direction k is the trace of (R − R_k)ᵀ ZᵀZ (R − R_k).
    of_direction = [np.asarray(source, float)[source_session.direction == k] for k in directions]
    scatter = np.array([z.T @ z for z in of_direction])
    difference = candidates[:, None] - candidates
    return candidates[np.einsum("rkij,kil,rklj->r", difference, scatter, difference).argmin()]


def align_affine(
    source: np.ndarray, target: np.ndarray, source_session: Session, target_session: Session
) -> tuple[np.ndarray, np.ndarray]:
    """The affine map that aligns the trial averages of one embedding with those of another, by least squares.

    It may stretch, shear and shift as well as rotate: the most that a linear decoder could compensate. Its
    gain over the rotation of `align` tells how far two embeddings are from being rotated copies. Parameters
    and errors as there. Returns matrix (d, d) and offset (d,); ``source @ matrix + offset`` is aligned.
    """
    _, *averages = _checked_averages(source, target, source_session, target_session)
    fitted = LinearRegression().fit(*map(np.concatenate, averages))
    return fitted.coef_.T, fitted.intercept_


def _checked_averages(source, target, source_session, target_session):
    """`common_averages` of two embeddings, after checks."""
    source, target = check_embedding(source, source_session), check_embedding(target, target_session)
    if source.shape[1] != target.shape[1]:
        dimensions = f"{source.shape[1]} and {target.shape[1]}"
        raise ValueError(f"embeddings of {dimensions} dimensions cannot be aligned")
    return common_averages([source, target], [source_session, target_session])


def check_embedding(embedding, session):
    """The embedding as an array (T, d) of finite values, one row per bin of the session."""
    if not isinstance(session, Session):
        raise TypeError(f"session must be a nerlib.Session, got {type(session).__name__}")
    embedding, n_bins = np.asarray(embedding), len(session.trial)
    if embedding.ndim != 2 or len(embedding) != n_bins:
        wanted = f"{session.name} has {n_bins} bins, so the embedding must be ({n_bins}, d)"
        raise ValueError(f"{wanted}; got {embedding.shape}")
    if not np.isfinite(embedding).all():
        raise ValueError(f"the embedding of {session.name} holds NaN or infinite values")
    return embedding


def common_averages(embeddings: Sequence, sessions: Sequence[Session]) -> tuple[np.ndarray, ...]:
    """Trial averages of several embeddings (T, d), of sessions with T bins each.

    Returns the directions (K,), degrees, that every session has, and per session an array (K, bins, d) of the
    bins of the shortest trial of all. Raises ValueError where no direction is common.
    """
    averaged = [s.average_by_direction(z) for z, s in zip(embeddings, sessions, strict=True)]
    directions = reduce(np.intersect1d, (own for own, _ in averaged))
    if not len(directions):
        raise ValueError(f"{' and '.join(s.name for s in sessions)} have no direction in common")
    n_bins = min(average.shape[1] for _, average in averaged)
    return directions, *(average[np.isin(own, directions), :n_bins] for own, average in averaged)
