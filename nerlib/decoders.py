"""Decoders of velocity, position and direction from an embedding (SCIENCE, section 5)."""

from typing import NamedTuple

import numpy as np
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor, NearestNeighbors

from nerlib import metrics


class Decoded(NamedTuple):
    """What a decoder reads: velocity (T, 2) in mm/s, direction (T,) in degrees."""

    velocity: np.ndarray
    direction: np.ndarray


class _Decoder:
    """Fit, predict and score; a kind of decoder says how velocity and direction are fitted."""

    def fit(self, embedding, session):
        """Fit on training bins.

        Parameters
        ----------
        embedding : array (T, d)
        session : Session with T bins, whose velocity and direction are the targets. Where there is one
            direction only, nothing is to be decoded of it, and its accuracy, 1, says nothing

        Returns
        -------
        self

        Raises
        ------
        ValueError : lengths that disagree, or NaN
        """
        embedding = _check_embedding(embedding, session)
        self._velocity, self._direction = self._readers(embedding, session)
        if len(np.unique(session.direction)) == 1:
            self._direction = DummyClassifier()
        self._velocity.fit(embedding, session.velocity)
        self._direction.fit(embedding, session.direction)
        self._trained_on = session.digest
        self.peak_bin_ = metrics.peak_bin(self.predict(embedding).direction, session)
        return self

    def predict(self, embedding):
        """Read movements from an embedding (T, d).

        Returns
        -------
        Decoded : velocity (T, 2) in mm/s, direction (T,) in degrees
        """
        return Decoded(self._velocity.predict(embedding), self._direction.predict(embedding))

    def score(self, embedding, session):
        """Score the decoded movements of a session in both forms; see `metrics.score`.

        Any session but the one the decoder was fitted on counts as held out.

        Parameters
        ----------
        embedding : array (T, d), or what `predict` made of it
        session : Session with T bins, the truth

        Returns
        -------
        dict: form -> {"velocity_r2", "position_r2", "direction_accuracy"}
        """
        decoded = embedding
        if not isinstance(embedding, Decoded):
            decoded = self.predict(_check_embedding(embedding, session))
        held_out = session.digest != self._trained_on
        return metrics.score(*decoded, session, held_out=held_out, peak_bin=self.peak_bin_)


class LinearDecoder(_Decoder):
    """Linear regression to velocity, multinomial logistic regression to direction.

    The regression to direction has scikit-learn's penalty (C = 1), which is felt more the smaller the
    embedding's scale is, and its tolerance: a bin at the edge between two directions may turn with the
    rounding of a machine, the peak bin with it, and then a trial or two of the accuracy.
    """

    def _readers(self, embedding, session):
        return LinearRegression(), LogisticRegression(max_iter=1000)


class KNNDecoder(_Decoder):
    """Nearest neighbours, k from {2, 4, …, 1024} by cross-validation over whole trials.

    Attributes
    ----------
    n_neighbors_ : dict, the k picked for "velocity" and for "direction"
    """

    def _readers(self, embedding, session):
        k_velocity, k_direction = _pick_k(embedding, session)
        self.n_neighbors_ = {"velocity": k_velocity, "direction": k_direction}
        return KNeighborsRegressor(k_velocity), KNeighborsClassifier(k_direction)


def _pick_k(embedding, session):
    """The k of the best mean R² of velocity, and of the best mean accuracy of direction, over held-out folds.

    What a grid search over k would find; but neighbours are sought once for all k and both targets.
    """
    if session.n_trials < 2:
        raise ValueError(f"{session.name} has 1 trial; to pick k over whole trials needs two at least")
    folds = list(GroupKFold(min(5, session.n_trials)).split(embedding, groups=session.trial))
    ks = 2 ** np.arange(1, 11)
    ks = ks[ks <= min(len(train) for train, _ in folds)]
    directions, codes = np.unique(session.direction, return_inverse=True)
    one_hot = np.eye(len(directions), dtype=np.int16)[codes]
    further = np.r_[0, ks[:-1]]  # the neighbours that each k adds to the one before begin here
    r2, accuracy = np.zeros((2, len(folds), len(ks)))
    for fold, (train, held) in enumerate(folds):
        search = NearestNeighbors(n_neighbors=ks[-1]).fit(embedding[train])
        near = train[search.kneighbors(embedding[held], return_distance=False)]
        velocity = np.add.reduceat(session.velocity[near], further, axis=1).cumsum(axis=1) / ks[:, None]
        votes = np.add.reduceat(one_hot[near], further, axis=1).cumsum(axis=1, dtype=np.int16)
        true = session.velocity[held]
        errors = np.square(velocity - true[:, None]).sum(axis=0) / np.square(true - true.mean(axis=0)).sum(
            axis=0
        )
        r2[fold] = 1 - errors.mean(axis=1)
        accuracy[fold] = (votes.argmax(axis=2) == codes[held, None]).mean(axis=0)
    return int(ks[r2.mean(axis=0).argmax()]), int(ks[accuracy.mean(axis=0).argmax()])


def _check_embedding(embedding, session):
    embedding = np.asarray(embedding)
    if embedding.ndim != 2 or len(embedding) != len(session.rates):
        raise ValueError(
            f"{session.name} has {len(session.rates)} bins, so the embedding must be "
            f"({len(session.rates)}, d); got {embedding.shape}"
        )
    if not np.isfinite(embedding).all():
        raise ValueError(f"the embedding of {session.name} holds NaN or infinite values")
    return embedding
