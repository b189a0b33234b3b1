"""An ensemble of embeddings that agree up to a rotation, or up to an affine map."""

from dataclasses import KW_ONLY, dataclass
from numbers import Integral
from typing import Any, Self

import numpy as np
from scipy.linalg import orthogonal_procrustes
from sklearn.base import clone
from sklearn.linear_model import LinearRegression
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from nerlib.models import joint
from nerlib.models._common import Method, check_numbers
from nerlib.models._saving import Saved


@dataclass(eq=False, repr=False)
class Ensemble(Saved, Method):
    """Several fits of one method from different seeds, mapped onto the first one and averaged.

    Embeddings of NER from different seeds are the same up to a rotation or reflection, those of the MSE
    bottleneck only up to an affine map (chapter *Another day*). The maps are fitted on the training bins.

    Parameters
    ----------
    estimator : an unfitted NER, CEBRA or Bottleneck
    n_members : int, fits
    alignment : "rotation", whose mean is scaled to unit length; or "affine", whose mean is left as it is
    random_state : int, RandomState or None; the members' seeds are drawn from it

    Attributes
    ----------
    members_ : list of fitted methods
    maps_ : list of (matrix (d, d), offset (d,)), one a member: ``z @ matrix + offset``
    """

    _fitted = "maps_"
    estimator: Any
    _: KW_ONLY
    n_members: int = 5
    alignment: str = "rotation"
    random_state: Any = None

    def fit(self, X: Any, y: Any, trial: Any = None) -> Self:
        """Fit the members on rates (T, N), labels (T, k) or (T,) and trials (T,) or None; returns self.

        Raises ValueError or TypeError for wrong parameters, several sessions, and what the members refuse.
        """
        check_numbers(self, Integral, "n_members")
        if self.alignment not in ("rotation", "affine"):
            raise ValueError(f"alignment must be rotation or affine; got {self.alignment!r}")
        if joint.is_list(X):
            advice = "fit several methods, and average what is decoded from them"
            raise ValueError(f"an ensemble is fitted to one session, got {len(X)}; {advice}")
        self.__dict__.pop(self._fitted, None)  # a fit that fails leaves no model behind
        seeds = check_random_state(self.random_state).randint(np.iinfo(np.int32).max, size=self.n_members)
        members = [clone(self.estimator).set_params(random_state=int(seed)) for seed in seeds]
        self.members_ = [member.fit(X, y, trial) for member in members]
        self.n_features_in_ = members[0].n_features_in_
        embeddings = [member.transform(X, trial) for member in members]
        self.maps_ = [self._map(z, embeddings[0]) for z in embeddings]
        return self

    def _map(self, source, target):
        if self.alignment == "affine":
            fitted = LinearRegression().fit(source, target)
            return fitted.coef_.T, fitted.intercept_
        return orthogonal_procrustes(source, target)[0], np.zeros(target.shape[1], target.dtype)

    def transform(self, X: Any, trial: Any = None) -> np.ndarray:
        """Embed rates (T, N) of trials (T,) or None: float array (T, d), rows of unit length if rotated."""
        check_is_fitted(self)
        members = zip(self.members_, self.maps_, strict=True)
        mean = np.mean([m.transform(X, trial) @ matrix + offset for m, (matrix, offset) in members], axis=0)
        if self.alignment == "affine":
            return mean
        return mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), np.finfo(mean.dtype).tiny)

    @property
    def _n_features_out(self):
        return self.members_[0].n_components
