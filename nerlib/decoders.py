"""Decoders of velocity, position and direction from an embedding (Methods page, *Decoding*)."""

from collections.abc import Callable
from typing import NamedTuple

import numba
import numpy as np
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from nerlib import metrics
from nerlib.alignment import check_embedding
from nerlib.session import Session


class Decoded(NamedTuple):
    """Decoded movements: velocity (T, k) in mm/s, direction (T,) in degrees or None."""

    velocity: np.ndarray
    direction: np.ndarray | None


class _Decoder:
    """What both decoders share; each says how velocity and direction are fitted and predicted."""

    _fit: Callable  # from an embedding and its session, both checked
    _predict: Callable  # from an embedding to Decoded

    def fit(self, embedding: np.ndarray, session: Session):
        """Fit on training bins, an embedding (T, d) and the movements of its session; returns self.

        With one direction only, direction accuracy is trivially 1; without directions, none is decoded.
        Raises ValueError where lengths disagree, or for NaN.
        """
        embedding = check_embedding(embedding, session)
        self._fit(embedding, session)
        self.peak_bin_ = None
        if session.direction is not None:
            self.peak_bin_ = metrics.peak_bin(self._predict(embedding).direction, session)
        return self

    def predict(self, embedding: np.ndarray) -> Decoded:
        """Decode movements from an embedding (T, d); NotFittedError before `fit`."""
        if not hasattr(self, "peak_bin_"):
            raise NotFittedError(f"this {type(self).__name__} is not fitted; call fit first")
        return self._predict(embedding)

    def score(self, embedding: np.ndarray | Decoded, session: Session, *, held_out: bool) -> dict:
        """Score the decoded movements of a session in both protocols; see `metrics.score`.

        ``embedding`` is an array (T, d) or the result of `predict`; ``held_out`` tells whether decoder and
        embedding were fitted on other trials than the T bins of this session.
        """
        if not isinstance(embedding, Decoded):
            embedding = self.predict(check_embedding(embedding, session))
        return metrics.score(*embedding, session, held_out=held_out, peak_bin=self.peak_bin_)


class LinearDecoder(_Decoder):
    """Linear regression to velocity, multinomial logistic regression to direction.

    With ``standardize``, logistic regression sees each dimension with mean 0 and variance 1 on the training
    bins, so that its penalty (scikit-learn's, C = 1) means the same for every method, and is fitted until
    rounding no longer matters. False, as in the paper: the penalty shrinks more the smaller the embedding's
    scale is. Velocity does not depend on it.
    """

    def __init__(self, *, standardize: bool = True):
        self.standardize = standardize

    def _fit(self, embedding, session):
        self._velocity = LinearRegression().fit(embedding, session.velocity)
        self._direction = None
        if session.direction is None:
            return
        if (session.direction == session.direction[0]).all():
            direction = DummyClassifier()
        elif self.standardize:
            exact = LogisticRegression(solver="newton-cholesky", tol=1e-8)
            doubled = FunctionTransformer(np.float64)  # float32 would round the standardised columns
            direction = make_pipeline(doubled, StandardScaler(), exact)
        else:
            direction = LogisticRegression(max_iter=1000)
        self._direction = direction.fit(embedding, session.direction)

    def _predict(self, embedding):
        direction = None if self._direction is None else self._direction.predict(embedding)
        return Decoded(self._velocity.predict(embedding), direction)


class KNNDecoder(_Decoder):
    """Nearest neighbours, k from {2, 4, …, 1024} by cross-validation over whole trials.

    ``n_neighbors_`` is a dict, the chosen k for "velocity" and for "direction".
    """

    def _fit(self, embedding, session):
        # Here and in `_predict`: a search between float32 and float64 arrays is much slower.
        embedding = embedding.astype(np.float64)
        k_velocity, k_direction = _choose_k(embedding, session)
        self.n_neighbors_ = {"velocity": k_velocity, "direction": k_direction}
        self._search = NearestNeighbors(n_neighbors=max(k_velocity, k_direction)).fit(embedding)
        self._velocities, self._directions = session.velocity, None
        if session.direction is not None:
            self._directions, codes = np.unique(session.direction, return_inverse=True)
            self._one_hot = np.eye(len(self._directions), dtype=np.int16)[codes]

    def _predict(self, embedding):
        """The mean velocity of neighbors, and their most frequent direction (of equals, the smallest)."""
        embedding = embedding.astype(np.float64)
        near = self._search.kneighbors(embedding, return_distance=False)  # one search for both
        velocity = self._velocities[near[:, : self.n_neighbors_["velocity"]]].mean(axis=1)
        if self._directions is None:
            return Decoded(velocity, None)
        votes = self._one_hot[near[:, : self.n_neighbors_["direction"]]].sum(axis=1)
        return Decoded(velocity, self._directions[votes.argmax(axis=1)])


def _choose_k(embedding, session):
    """The k with the best mean R² of velocity, and that with the best mean accuracy of direction, over folds.

    A grid search, many times faster: one sort of distances serves all k and both targets. Needs float64.
    """
    if session.n_trials < 2:
        raise ValueError(f"{session.name} has 1 trial; choosing k over whole trials needs at least two")
    folds = list(GroupKFold(min(5, session.n_trials)).split(embedding, groups=session.trial))
    ks = 2 ** np.arange(1, 11)
    ks = ks[ks <= min(len(train) for train, _ in folds)]
    if not len(ks):
        raise ValueError(f"{session.name} has a fold with 1 training bin; choosing k needs at least two")
    directions = np.zeros(len(embedding)) if session.direction is None else session.direction
    codes = np.unique(directions, return_inverse=True)[1]
    velocity = session.velocity.astype(np.float64)
    r2, accuracy = np.zeros((2, len(folds), len(ks)))
    for fold, (train, held) in enumerate(folds):
        near = _nearest(embedding[train].T.copy(), embedding[held], ks[-1])
        true = velocity[held]
        errors, accuracy[fold] = _errors_by_k(near, velocity[train], codes[train], true, codes[held], ks)
        total = np.square(true - true.mean(axis=0)).sum(axis=0)
        moves = total > 0  # a column that does not move tells nothing
        r2[fold] = (1 - errors[:, moves] / total[moves]).sum(axis=1) / max(1, moves.sum())
    return int(ks[r2.mean(axis=0).argmax()]), int(ks[accuracy.mean(axis=0).argmax()])


@numba.njit(nogil=True, cache=True)
def _nearest(points, queries, k):
    """The indices (n, k) of the points (d, m) nearest to queries (n, d), the nearest first; ties by index.

    The bits of a distance, which is not negative, sort as an integer does. Its first bits tell to which of
    256 classes between powers of two it belongs. One pass counts the points of each class, another puts
    those of the nearest classes in order, and an insertion sort has little left to do.
    """
    n_points = points.shape[1]
    distances, order = np.empty(n_points), np.empty(n_points, np.int64)
    class_starts = np.empty(1 << 19, np.int64)  # more than a double has: 11 bits of exponent, 8 beyond them
    near = np.empty((len(queries), k), np.int64)
    for i, query in enumerate(queries):
        distances[:] = 0
        for axis in range(len(points)):
            for j in range(n_points):
                distances[j] += (points[axis, j] - query[axis]) ** 2
        classes = distances.view(np.int64) >> 44
        last, end = classes.min(), 0
        class_starts[last : classes.max() + 1] = 0
        for j in range(n_points):
            class_starts[classes[j]] += 1
        while True:
            end, class_starts[last] = end + class_starts[last], end
            if end >= k:
                break
            last += 1
        for j in range(n_points):
            if classes[j] <= last:
                order[class_starts[classes[j]]] = j
                class_starts[classes[j]] += 1
        for place in range(1, end):
            j = order[place]
            while place and distances[order[place - 1]] > distances[j]:
                order[place] = order[place - 1]
                place -= 1
            order[place] = j
        near[i] = order[:k]
    return near


@numba.njit(nogil=True, cache=True)
def _errors_by_k(near, velocity, codes, true, true_codes, ks):
    """Squared errors of velocity (len(ks), d) and shares of right directions (len(ks),), for ascending ks.

    ``near`` (n, m) holds the indices of ``velocity`` (m, d) and ``codes`` (m,), the nearest first, for each
    of the n bins of ``true`` and ``true_codes``.
    """
    errors, right = np.zeros((len(ks), velocity.shape[1])), np.zeros(len(ks))
    for i in range(len(near)):
        total, votes, done = np.zeros(velocity.shape[1]), np.zeros(codes.max() + 1), 0
        for place, k in enumerate(ks):
            for j in near[i, done:k]:
                total += velocity[j]
                votes[codes[j]] += 1
            done = k
            errors[place] += (total / k - true[i]) ** 2
            right[place] += votes.argmax() == true_codes[i]
    return errors, right / len(near)
