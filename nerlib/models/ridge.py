"""Ridge regression from rates to the labels: a control without any embedding."""

from dataclasses import dataclass
from numbers import Integral
from typing import Any, Self

import numpy as np
from scipy.linalg import solve
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.metrics import r2_score
from sklearn.model_selection import GroupKFold

from nerlib.models._common import Method, check_numbers, regression_targets
from nerlib.sampling import stacked

_PENALTIES = np.logspace(-2, 5, 8)


@dataclass(kw_only=True, eq=False, repr=False)
class Ridge(Method):
    """Ridge regression from rates to the labels; its predictions take the place of an embedding.

    The penalty is chosen by cross-validation over whole training trials. The same decoders are then fitted on
    the predictions as on every embedding.

    Parameters
    ----------
    window : int, bins of history, the current bin included
    periods : as in `NER`; circular columns are predicted as cosine and sine

    Attributes
    ----------
    ridge_ : scikit-learn's Ridge, fitted; its ``alpha`` is the chosen penalty
    n_features_in_ : int, neurons
    """

    _fitted = "ridge_"
    window: int = 1
    periods: tuple | None = None

    def fit(self, X: Any, y: Any, trial: Any = None) -> Self:
        """Fit on rates (T, N), labels (T, k) or (T,), and trial ids (T,) or None; returns self.

        Raises
        ------
        ValueError, TypeError : parameters out of range, NaN, lengths that disagree, a single trial
        """
        check_numbers(self, Integral, "window")
        X, labels, trial = self._check_data(X, y, trial)
        groups = np.arange(len(X)) if trial is None else trial
        n_groups = len(np.unique(groups))
        if n_groups < 2:
            raise ValueError(
                f"the penalty is chosen over whole trials; give at least two, not 1 (n_samples={len(X)})"
            )
        folds = GroupKFold(min(5, n_groups)).split(X, groups=groups)
        X, targets = stacked(X, trial, self.window), regression_targets(labels, self.periods)
        scores = [_r2_by_penalty(X[own], targets[own], X[held], targets[held]) for own, held in folds]
        self.ridge_ = SklearnRidge(_PENALTIES[np.mean(scores, axis=0).argmax()]).fit(X, targets)
        return self

    def transform(self, X: Any, trial: Any = None) -> np.ndarray:
        """Predict the labels from rates (T, N): float array (T, columns)."""
        X = self._check_rates(X)
        trial = self._check_trial(trial, len(X))
        return self.ridge_.predict(stacked(X, trial, self.window)).reshape(len(X), -1)

    @property
    def _n_features_out(self):
        return np.atleast_2d(self.ridge_.coef_).shape[0]


def _r2_by_penalty(X, targets, held_X, held_targets):
    """R² of other trials for each penalty; one covariance serves all, which a grid search would repeat."""
    mean, offset = X.mean(axis=0), targets.mean(axis=0)
    centered = X - mean
    covariance, products = centered.T @ centered, centered.T @ (targets - offset)
    found = []
    for penalty in _PENALTIES:
        penalised = covariance.copy()
        penalised.flat[:: len(penalised) + 1] += penalty
        coefficients = solve(penalised, products, assume_a="pos", overwrite_a=True)
        found.append(r2_score(held_targets, (held_X - mean) @ coefficients + offset))
    return found
