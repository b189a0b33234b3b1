"""Maps that carry the embedding of one session onto that of another (SCIENCE, section 5)."""

import numpy as np
from scipy.linalg import orthogonal_procrustes
from sklearn.linear_model import LinearRegression


def align(source, target, source_session, target_session, *, form="standard"):
    """The rotation or reflection that lays the trial averages of one embedding over those of another.

    - ``standard``: one orthogonal Procrustes fit to the averages of all directions at once. Give it training
      trials alone, and test trials stay unseen.
    - ``published``: a fit for each direction apart; then, of these maps, the one whose result for the whole
      session is nearest to the session turned direction by direction. The paper gave it all trials, those of
      the target that were scored afterwards among them.

    Parameters
    ----------
    source, target : arrays (T, d) and (U, d), embeddings, not necessarily of the same neurons or length
    source_session, target_session : Session with T and U bins, the movements
    form : "standard" or "published"

    Returns
    -------
    array (d, d), orthogonal; ``source @ rotation`` lies on the target

    Raises
    ------
    ValueError : unknown form, shapes that disagree, values that are not finite, no direction in common
    """
    if form not in ("standard", "published"):
        raise ValueError(f"form must be standard or published; got {form!r}")
    directions, *averages = _checked_averages(source, target, source_session, target_session)
    if form == "standard":
        return orthogonal_procrustes(*(average.reshape(-1, average.shape[-1]) for average in averages))[0]

    candidates = np.array([orthogonal_procrustes(*both)[0] for both in zip(*averages, strict=True)])
    # ‖Z R − Z R_k‖² over the bins of direction k is the trace of (R − R_k)ᵀ ZᵀZ (R − R_k).
    of_direction = [np.asarray(source, float)[source_session.direction == k] for k in directions]
    scatter = np.array([z.T @ z for z in of_direction])
    apart = candidates[:, None] - candidates
    return candidates[np.einsum("rkij,kil,rklj->r", apart, scatter, apart).argmin()]


def align_affine(source, target, source_session, target_session):
    """The affine map that lays the trial averages of one embedding over those of another, by least squares.

    It may stretch, shear and shift as well as turn: the most that a linear decoder could make good. How much
    better it does than the rotation of `align` tells how far two embeddings are from being turned copies.

    Parameters
    ----------
    source, target, source_session, target_session : as in `align`

    Returns
    -------
    matrix (d, d) and offset (d,); ``source @ matrix + offset`` lies on the target

    Raises
    ------
    ValueError : as `align`
    """
    _, *averages = _checked_averages(source, target, source_session, target_session)
    here, there = (average.reshape(-1, average.shape[-1]) for average in averages)
    fitted = LinearRegression().fit(here, there)
    return fitted.coef_.T, fitted.intercept_


def _checked_averages(source, target, source_session, target_session):
    """What `common_averages` gives of two embeddings, after a look at both."""
    pairs = ((source, source_session), (target, target_session))
    for embedding, session in pairs:
        if np.ndim(embedding) != 2 or len(embedding) != len(session.trial):
            raise ValueError(
                f"{session.name} has {len(session.trial)} bins, so its embedding must be "
                f"({len(session.trial)}, d); got {np.shape(embedding)}"
            )
        if not np.isfinite(embedding).all():
            raise ValueError(f"the embedding of {session.name} holds NaN or infinite values")
    if np.shape(source)[1] != np.shape(target)[1]:
        raise ValueError(
            f"embeddings of {np.shape(source)[1]} and {np.shape(target)[1]} dimensions cannot be aligned"
        )
    return common_averages(*zip(*pairs, strict=True))


def common_averages(embeddings, sessions):
    """Trial averages of several sessions, cut to what they share.

    Parameters
    ----------
    embeddings : sequence of arrays (T, d)
    sessions : sequence of Session, with T bins each

    Returns
    -------
    directions : array (K,), degrees; those that every session has
    averages : one array (K, bins, d) a session; bins of the shortest trial of all

    Raises
    ------
    ValueError : no direction in common
    """
    averaged = [s.average_by_direction(z) for z, s in zip(embeddings, sessions, strict=True)]
    directions = averaged[0][0]
    for others, _ in averaged:
        directions = np.intersect1d(directions, others)
    if not len(directions):
        raise ValueError(f"{' and '.join(s.name for s in sessions)} have no direction in common")
    n_bins = min(average.shape[1] for _, average in averaged)
    return directions, *(average[np.isin(own, directions), :n_bins] for own, average in averaged)
