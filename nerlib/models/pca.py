"""PCA of scikit-learn, with the calls of the other methods."""

from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn import decomposition

from nerlib.models._common import check_numbers


class PCA(decomposition.PCA):
    """Principal components of the rates in each bin (Methods page, *Other methods*); labels are ignored.

    Always by a full decomposition, so the result involves no chance.

    Parameters
    ----------
    n_components : int, dimensions of the embedding, no more than neurons or bins

    Attributes: those of scikit-learn's ``PCA``, e.g. ``components_``, ``explained_variance_ratio_``.
    """

    def __init__(self, n_components=3):
        super().__init__(n_components, svd_solver="full")

    def fit(self, X: Any, y: Any = None, trial: Any = None) -> Self:
        """Find the components of rates X, array (T, N); returns self."""
        check_numbers(self, Integral, "n_components")
        return super().fit(X)

    def transform(self, X: Any, trial: Any = None) -> np.ndarray:
        """Embed rates X, array (T, N); returns an array (T, n_components)."""
        return super().transform(X)

    def fit_transform(self, X: Any, y: Any = None, trial: Any = None) -> np.ndarray:
        """Find the components, then embed the same rates; see `fit` and `transform`."""
        return self.fit(X).transform(X)
