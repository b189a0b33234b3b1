"""How latent trajectories align with position and direction (Methods page, *Geometry of trajectories*)."""

from functools import cache

import numpy as np
from scipy.linalg import orthogonal_procrustes
from sklearn.linear_model import LinearRegression

from nerlib.alignment import check_embedding, common_averages
from nerlib.metrics import position
from nerlib.session import Session


def trajectory_geometry(
    embedding_train: np.ndarray, train: Session, embedding_test: np.ndarray, test: Session
) -> dict[str, float]:
    """Test the claim that latent trajectories align with hand position and direction (Figure 2 of the paper).

    Maps, planes and axes are fitted on training averages of each direction, and held-out trials are scored.
    No value changes when the embedding is rotated, reflected, shifted or scaled. Raises ValueError for shapes
    that disagree, fewer than 2 dimensions or 3 common directions, and averages that are all alike.

    Parameters
    ----------
    embedding_train, embedding_test : arrays (T, d) and (U, d), d >= 2, of one fitted method
    train, test : Session with T and U bins; at least three directions in common

    Returns
    -------
    dict with the keys
    - position_rotation_r2, position_linear_r2, velocity_rotation_r2, velocity_linear_r2 : R² of the hand's
      average paths, mapped from those of the embedding by `fit_rotation` or linear regression; at most 1
    - integrated_rotation_r2, integrated_linear_r2 : R² of position, from the mapped velocity by `integrate`
    - circular_order, circular_order_chance : `circular_order` of the averages, seen from their common start,
      in [0, 1]; and its mean over random orders of as many directions (0.17 for eight)
    - circular_order_trials : the same of single held-out trials, in [0, 1]; near 0 by chance
    - neighbor_separation : area under the ROC curve of two neighbouring directions, held-out trials projected
      on the line between their training averages; mean over pairs and over bins weighted by hand speed, in
      [0, 1]; 0.5 by chance
    """
    embeddings = [check_embedding(*pair) for pair in ((embedding_train, train), (embedding_test, test))]
    d = [z.shape[1] for z in embeddings]
    if d[0] != d[1] or d[0] < 2:
        raise ValueError(f"training and test embedding need the same dimensions, 2 or more; got {d}")
    directions, latent, latent_test = common_averages(embeddings, (train, test))
    if len(directions) < 3:
        raise ValueError(f"a circular order needs at least 3 common directions; got {len(directions)}")
    if np.allclose(latent, latent[0, 0], rtol=1e-9, atol=0):
        raise ValueError("training averages of the embedding do not vary, so they have no geometry")
    hands = [np.column_stack([position(s.velocity, s), s.velocity]) for s in (train, test)]
    (_, *hands), k, scores = common_averages(hands, (train, test)), train.velocity.shape[1], {}
    for kind, fit in {"rotation": fit_rotation, "linear": _fit_linear}.items():
        for name, part in {"position": np.s_[..., :k], "velocity": np.s_[..., k:]}.items():
            matrix, offset = fit(latent, hands[0][part])
            mapped = [z @ matrix + offset for z in (latent, latent_test)]
            scores[f"{name}_{kind}_r2"] = _r2(hands[1][part], mapped[1])
        path = integrate(*(z[..., :k] for z in (*mapped, hands[0])))  # mapped holds velocity, the last
        scores[f"integrated_{kind}_r2"] = _r2(hands[1][..., :k], path)
    starts = test.trial_starts[np.isin(test.direction[test.trial_starts], directions)]
    trials, of_trial = embeddings[1][starts[:, None] + np.arange(latent.shape[1])], test.direction[starts]
    start, moved = latent[:, 0].mean(axis=0), latent.mean(axis=1)
    plane = np.linalg.svd(moved - moved.mean(axis=0))[2][:2].T
    for key, paths, angles in (("", latent_test, directions), ("_trials", trials, of_trial)):
        x, y = ((paths.mean(axis=1) - start) @ plane).T
        y[np.abs(y) < 1e-9 * np.abs(x).max()] = 0  # points on a line are tied, whatever the rounding
        scores[f"circular_order{key}"] = circular_order(np.arctan2(y, x), angles)
    scores["circular_order_chance"] = _chance(len(directions))

    along = np.einsum("nbd,kbd->knb", trials, np.roll(latent, -1, axis=0) - latent)
    pairs = zip(along, directions, np.roll(directions, -1), strict=True)
    gaps = [z[of_trial == there][:, None] - z[of_trial == here] for z, here, there in pairs]
    area = np.mean([(1 + np.sign(gap).mean(axis=(0, 1))) / 2 for gap in gaps], axis=0)
    speed = np.linalg.norm(hands[0][..., k:], axis=-1).mean(axis=0)
    return scores | {"neighbor_separation": float(np.average(area, weights=speed))}


def fit_rotation(latent: np.ndarray, hand: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotation or reflection, one scale and an offset that lay latent averages along the hand's paths.

    Orthogonal Procrustes of latent (K, bins, d) to hand (K, bins, k), zeros padded to m = max(d, k): matrix
    (d, m) and offset (m,). The first k columns of ``latent @ matrix + offset`` are the hand's plane.
    """
    source, target = (np.reshape(x, (-1, x.shape[-1])) for x in (latent, hand))
    m, centre, aim = max(source.shape[1], target.shape[1]), source.mean(axis=0), target.mean(axis=0)
    turn, covered = orthogonal_procrustes(_pad(source - centre, m), _pad(target - aim, m))
    matrix = covered / ((source - centre) ** 2).sum() * turn[: source.shape[1]]
    return matrix, _pad(aim, m) - centre @ matrix


def integrate(velocity: np.ndarray, velocity_test: np.ndarray, hand: np.ndarray) -> np.ndarray:
    """Velocity summed over time. One scale is fitted to position: ``velocity`` and ``hand`` (mm) of training
    averages, ``velocity_test`` of those whose position is returned; all arrays (K, bins, k)."""
    path = velocity.cumsum(axis=1)
    return (path * hand).sum() / (path**2).sum() * velocity_test.cumsum(axis=1)


def circular_order(angles: np.ndarray, directions: np.ndarray) -> float:
    """Circular version of Kendall's tau (Fisher and Lee, Biometrika 1982), without its sign: in [0, 1].

    Of all triples of different directions, the share that turns the way their directions do, minus the share
    that turns the other way. ``angles`` and ``directions`` (n,) are each within one turn.
    """
    apart, ahead = (np.sign(np.subtract.outer(x, x)) for x in (directions, angles))
    # The product of its three signs is the sense in which a triple turns; the trace sums over all triples.
    agreement, triples = (np.linalg.matrix_power(signs, 3).trace() for signs in (apart * ahead, abs(apart)))
    return float(abs(agreement) / triples)


@cache
def _chance(n):
    rng = np.random.default_rng(0)
    return float(np.mean([circular_order(rng.permutation(n), np.arange(n)) for _ in range(5000)]))


def _fit_linear(latent, hand):
    fitted = LinearRegression().fit(*(x.reshape(-1, x.shape[-1]) for x in (latent, hand)))
    return fitted.coef_.T, fitted.intercept_


def _pad(values, m):
    return np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, m - values.shape[-1])])


def _r2(true, mapped):
    """R² of all directions, bins and dimensions together; the hand is at 0 in dimensions that it lacks."""
    residual = _pad(true, mapped.shape[-1]) - mapped
    return 1 - float((residual**2).sum() / ((true - true.mean(axis=(0, 1))) ** 2).sum())
