"""Decoders of velocity, position and direction from an embedding (Methods page, *Decoding*)."""

from typing import NamedTuple

import numpy as np
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor, NearestNeighbors

from nerlib import metrics
from nerlib.alignment import check_embedding
from nerlib.session import Session


class Decoded(NamedTuple):
    """Decoded movements: velocity (T, k) in mm/s, direction (T,) in degrees or None."""

    velocity: np.ndarray
    direction: np.ndarray | None


class _Decoder:
    """Fit, predict and score; a kind of decoder says how velocity and direction are fitted."""

    def _estimators(self, embedding, session):
        """Unfitted estimators of velocity and of direction."""
        raise TypeError(f"{type(self).__name__} is no decoder; use LinearDecoder or KNNDecoder")

    def fit(self, embedding: np.ndarray, session: Session):
        """Fit on training bins; returns self.

        Parameters
        ----------
        embedding : array (T, d)
        session : Session with T bins, whose velocity and direction are the targets. With one direction only,
            direction accuracy is trivially 1; without directions, none is decoded

        Raises
        ------
        ValueError : lengths that disagree, or NaN
        """
        embedding = check_embedding(embedding, session)
        velocity, direction = self._estimators(embedding, session)
        self._velocity = velocity.fit(embedding, session.velocity)
        self._direction = self.peak_bin_ = None
        if session.direction is not None:
            if len(np.unique(session.direction)) == 1:
                direction = DummyClassifier()
            self._direction = direction.fit(embedding, session.direction)
            self.peak_bin_ = metrics.peak_bin(self.predict(embedding).direction, session)
        return self

    def predict(self, embedding: np.ndarray) -> Decoded:
        """Decode movements from an embedding (T, d)."""
        direction = None if self._direction is None else self._direction.predict(embedding)
        return Decoded(self._velocity.predict(embedding), direction)

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

    The logistic regression has scikit-learn's penalty (C = 1), which shrinks more the smaller the embedding's
    scale is, and its tolerance: rounding can flip a bin near a class boundary, and with it the peak bin.
    """

    def _estimators(self, embedding, session):
        return LinearRegression(), LogisticRegression(max_iter=1000)


class KNNDecoder(_Decoder):
    """Nearest neighbours, k from {2, 4, …, 1024} by cross-validation over whole trials.

    ``n_neighbors_`` is a dict, the chosen k for "velocity" and for "direction".
    """

    def _estimators(self, embedding, session):
        k_velocity, k_direction = _choose_k(embedding, session)
        self.n_neighbors_ = {"velocity": k_velocity, "direction": k_direction}
        return KNeighborsRegressor(k_velocity), KNeighborsClassifier(k_direction)


def _choose_k(embedding, session):
    """The k with the best mean R² of velocity, and that with the best mean accuracy of direction, over folds.

    A grid search over k, many times faster: one search for neighbours serves all k and both targets.
    """
    if session.n_trials < 2:
        raise ValueError(f"{session.name} has 1 trial; choosing k over whole trials needs at least two")
    folds = list(GroupKFold(min(5, session.n_trials)).split(embedding, groups=session.trial))
    ks = 2 ** np.arange(1, 11)
    ks = ks[ks <= min(len(train) for train, _ in folds)]
    directions = np.zeros(len(embedding)) if session.direction is None else session.direction
    codes = np.unique(directions, return_inverse=True)[1]
    one_hot = np.eye(codes.max() + 1, dtype=np.int16)[codes]
    new = np.r_[0, ks[:-1]]  # where the neighbours begin that each k adds to the one before
    r2, accuracy = np.zeros((2, len(folds), len(ks)))
    for fold, (train, held) in enumerate(folds):
        search = NearestNeighbors(n_neighbors=ks[-1]).fit(embedding[train])
        near = train[search.kneighbors(embedding[held], return_distance=False)]
        velocity = np.add.reduceat(session.velocity[near], new, axis=1).cumsum(axis=1) / ks[:, None]
        votes = np.add.reduceat(one_hot[near], new, axis=1).cumsum(axis=1, dtype=np.int16)
        true = session.velocity[held]
        errors, total = (
            np.square(velocity - true[:, None]).sum(axis=0),
            np.square(true - true.mean(axis=0)).sum(axis=0),
        )
        moves = total > 0  # a column that does not move tells nothing
        r2[fold] = (1 - errors[:, moves] / total[moves]).sum(axis=1) / max(1, moves.sum())
        accuracy[fold] = (votes.argmax(axis=2) == codes[held, None]).mean(axis=0)
    return int(ks[r2.mean(axis=0).argmax()]), int(ks[accuracy.mean(axis=0).argmax()])
