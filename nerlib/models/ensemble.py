"""An ensemble of embeddings that agree up to a rotation, averaged on the sphere."""

from dataclasses import KW_ONLY, dataclass
from numbers import Integral
from typing import Any, Self

import numpy as np
from scipy.linalg import orthogonal_procrustes
from sklearn.base import clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from nerlib.models import joint
from nerlib.models._common import Method, check_numbers


@dataclass(eq=False, repr=False)
class Ensemble(Method):
    """Several fits of one method from different seeds, rotated onto the first one and averaged.

    It helps where embeddings from different seeds are the same up to a rotation or reflection, as those of
    NER are (chapter *Another day*). The rotations are fitted on the training bins.

    Parameters
    ----------
    estimator : an unfitted NER, CEBRA or Bottleneck
    n_members : int, fits
    random_state : int, RandomState or None; the members' seeds are drawn from it

    Attributes
    ----------
    members_ : list of fitted methods
    rotations_ : list of arrays (d, d), orthogonal; the first is the identity
    n_features_in_ : int, neurons
    """

    _fitted = "rotations_"
    estimator: Any
    _: KW_ONLY
    n_members: int = 5
    random_state: Any = None

    def fit(self, X: Any, y: Any, trial: Any = None) -> Self:
        """Fit the members on rates (T, N), labels (T, k) or (T,) and trials (T,) or None; returns self.

        Raises
        ------
        ValueError, TypeError : a wrong ``n_members``, several sessions, or what the members refuse
        """
        check_numbers(self, Integral, "n_members")
        if joint.is_list(X):
            raise ValueError(
                f"an ensemble is fitted to one session, got {len(X)}; fit several methods, and average what "
                "is decoded from them"
            )
        seeds = check_random_state(self.random_state).randint(np.iinfo(np.int32).max, size=self.n_members)
        members = [clone(self.estimator).set_params(random_state=int(seed)) for seed in seeds]
        self.members_ = [member.fit(X, y, trial) for member in members]
        self.n_features_in_ = members[0].n_features_in_
        embeddings = [member.transform(X, trial) for member in members]
        self.rotations_ = [orthogonal_procrustes(z, embeddings[0])[0] for z in embeddings]
        return self

    def transform(self, X: Any, trial: Any = None) -> np.ndarray:
        """Embed rates (T, N) of trials (T,) or None: float array (T, d), rows of unit length."""
        check_is_fitted(self)
        rotated = [m.transform(X, trial) @ r for m, r in zip(self.members_, self.rotations_, strict=True)]
        mean = np.mean(rotated, axis=0)
        return mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), np.finfo(mean.dtype).tiny)

    @property
    def _n_features_out(self):
        return self.members_[0].n_components
