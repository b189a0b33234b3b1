"""PCA of scikit-learn, with the calls of the other methods."""

from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn import decomposition

from nerlib.models._common import Method, check_numbers
from nerlib.sampling import stacked


class PCA(decomposition.PCA):
    """Principal components of the rates in each bin (Methods page, *Other methods*); labels are ignored.

    By a full decomposition, which involves no chance. Attributes are those of scikit-learn's ``PCA``.

    Parameters
    ----------
    n_components : int, dimensions of the embedding, no more than inputs or bins
    window : int, bins of history side by side, the current bin included; an input is one neuron in one bin
    """

    _check_trial = Method._check_trial
    fit_transform = Method.fit_transform

    def __init__(self, n_components=3, *, window=1):
        super().__init__(n_components, svd_solver="full")
        self.window = window

    def fit(self, X: Any, y: Any = None, trial: Any = None) -> Self:
        """Find the components of rates X, array (T, N), within trials (T,); returns self."""
        check_numbers(self, Integral, "n_components", "window")
        return super().fit(self._inputs(X, trial, 1))

    def transform(self, X: Any, trial: Any = None) -> np.ndarray:
        """Embed rates X, array (T, N), of trials (T,); returns an array (T, n_components)."""
        return super().transform(self._inputs(X, trial))

    def _inputs(self, X, trial, least=None):
        if self.window == 1:
            return X
        return stacked(np.asarray(X), self._check_trial(trial, len(X), least, 4 if least else 5), self.window)
