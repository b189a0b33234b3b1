"""Do latent trajectories look like the hand's? (Figure 2 of the paper; Methods page, *Geometry*.)"""

from typing import NamedTuple

import numpy as np
from scipy.linalg import orthogonal_procrustes
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score

from nerlib import metrics
from nerlib.alignment import check_embedding
from nerlib.session import Session


class Paths(NamedTuple):
    """Averages of some trials to each of K directions.

    Attributes
    ----------
    directions : array (K,), degrees, ascending
    embedding : array (K, bins, d)
    position, velocity : arrays (K, bins, k), of the hand, in mm since the first bin and mm/s
    """

    directions: np.ndarray
    embedding: np.ndarray
    position: np.ndarray
    velocity: np.ndarray


def average_paths(embedding: np.ndarray, session: Session) -> Paths:
    """The `Paths` of an embedding (T, d) of a session with T bins and directions."""
    position = metrics.position(session.velocity, session)
    values = (check_embedding(embedding, session), position, session.velocity)
    averaged = [session.average_by_direction(value) for value in values]
    return Paths(averaged[0][0], *(average for _, average in averaged))


def view(embedding: np.ndarray, path: np.ndarray) -> LinearRegression:
    """The view of trajectories that looks most like the hand's paths: turned, scaled, seen from one side.

    Parameters
    ----------
    embedding, path : arrays (K, bins, d) and (K, bins, k), k <= d: averages of the same trials. The
        orthogonal map is the Procrustes fit to the path, with zeros for the other d - k dimensions

    Returns
    -------
    LinearRegression whose ``predict`` maps points (n, d) into the path's space
    """
    points, target = (np.reshape(x, (-1, x.shape[-1])) for x in (embedding, path))
    mean, offset = points.mean(axis=0), target.mean(axis=0)
    padded = np.zeros((len(target), points.shape[1]))
    padded[:, : target.shape[1]] = target - offset
    turn = orthogonal_procrustes(points - mean, padded)[0][:, : target.shape[1]]
    turned = (points - mean) @ turn
    scale = (turned * (target - offset)).sum() / max(np.square(turned).sum(), np.finfo(float).tiny)
    found = LinearRegression()
    found.coef_, found.intercept_ = scale * turn.T, offset - scale * mean @ turn
    return found


def circular_order(paths: Paths) -> float:
    """Share of neighbouring directions that are neighbours in the embedding: 1 is the order of the targets.

    What all directions have in common is removed, bin by bin. The rest, averaged over time, is one point a
    direction; the points are ordered by their angle in the plane that holds most of their spread, either way
    round. For a random order of K directions 2 / (K - 1) is expected: 0.29 for eight.
    """
    points = (paths.embedding - paths.embedding.mean(axis=0)).mean(axis=1)
    left, scale, _ = np.linalg.svd(points, full_matrices=False)
    x, y = (left * scale)[:, :2].T
    place = np.argsort(np.argsort(np.arctan2(y, x)))
    apart = (place - np.roll(place, 1)) % len(place)
    return float(np.isin(apart, (1, len(place) - 1)).mean())


def neighbor_separation(embedding: np.ndarray, session: Session, paths: Paths) -> float:
    """Share of trials whose trajectory is nearer to the average of its direction than to its neighbours'.

    Parameters
    ----------
    embedding : array (T, d), of trials that the averages do not contain
    session : Session with T bins
    paths : Paths, averages of other trials; distances are summed over bins. Chance is 1/3
    """
    directions, averages = paths.directions, paths.embedding
    n_bins = min(averages.shape[1], session.trial_lengths.min())
    bins = session.trial_starts[:, None] + np.arange(n_bins)
    trials = np.asarray(embedding)[bins]
    distances = np.square(trials[:, None] - averages[None, :, :n_bins]).sum(axis=3) ** 0.5
    distances = distances.sum(axis=2)
    own = np.searchsorted(directions, session.direction[session.trial_starts])
    around = (own[:, None] + [0, -1, 1]) % len(directions)
    return float((np.take_along_axis(distances, around, axis=1).argmin(axis=1) == 0).mean())


def trajectory_geometry(
    embedding: tuple[np.ndarray, np.ndarray], session: tuple[Session, Session]
) -> dict[str, float]:
    """How well trajectories lie along the hand's paths, and how directions are arranged, on held-out trials.

    Parameters
    ----------
    embedding : two arrays (T, d) and (U, d), of training and of held-out trials
    session : two Sessions with T and U bins, of the same three or more directions

    Returns
    -------
    dict: "position_view_r2" and "velocity_view_r2", the R² of the hand's held-out average paths, predicted
    by the `view` that was fitted to training averages; "position_linear_r2" and "velocity_linear_r2", by a
    linear map instead; "circular_order" and "neighbor_separation"

    Raises
    ------
    ValueError : lengths that disagree, NaN, fewer than three directions, other directions in held-out trials
    """
    train, test = (average_paths(*pair) for pair in zip(embedding, session, strict=True))
    if len(train.directions) < 3 or not np.array_equal(train.directions, test.directions):
        raise ValueError(
            f"expected the same three or more directions in training and held-out trials; got "
            f"{train.directions.tolist()} and {test.directions.tolist()}"
        )
    flat = test.embedding.reshape(-1, test.embedding.shape[-1])
    found = {}
    for name in ("position", "velocity"):
        path, true = (getattr(paths, name) for paths in (train, test))
        points = train.embedding.reshape(-1, flat.shape[1])
        linear = LinearRegression().fit(points, path.reshape(-1, path.shape[-1]))
        for kind, fitted in (("view", view(train.embedding, path)), ("linear", linear)):
            decoded = fitted.predict(flat)
            truth = true.reshape(decoded.shape)
            found[f"{name}_{kind}_r2"] = float(r2_score(truth, decoded, multioutput="variance_weighted"))
    found["circular_order"] = circular_order(test)
    found["neighbor_separation"] = neighbor_separation(embedding[1], session[1], train)
    return found
