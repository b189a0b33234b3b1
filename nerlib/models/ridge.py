"""Ridge regression from rates to the labels: a control without any embedding."""

from dataclasses import dataclass
from numbers import Integral
from typing import Any, Self

import numpy as np
from scipy.linalg import solve
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.model_selection import GroupKFold

from nerlib.models._common import Method, check_numbers, regression_targets
from nerlib.sampling import stacked

_PENALTIES = np.logspace(-2, 5, 8)


@dataclass(kw_only=True, eq=False, repr=False)
class Ridge(Method):
    """Ridge regression from rates to the labels; its predictions take the place of an embedding.

    The penalty is chosen by cross-validation over whole training trials: the ``alpha`` of ``ridge_``, which
    is scikit-learn's Ridge, fitted.

    Parameters
    ----------
    window : int, bins of history, the current bin included
    periods : as in `NER`; circular columns are predicted as cosine and sine
    """

    _fitted = "ridge_"
    window: int = 1
    periods: tuple | None = None

    def fit(self, X: Any, y: Any, trial: Any = None) -> Self:
        """Fit on rates (T, N), labels (T, k) or (T,), and trial ids (T,) or None; returns self.

        Raises ValueError or TypeError for bad parameters, NaN, lengths that disagree, and a single trial.
        """
        check_numbers(self, Integral, "window")
        X, labels, trial = self._check_data(X, y, trial)
        groups = np.arange(len(X)) if trial is None else trial
        if (n_groups := len(np.unique(groups))) < 2:
            given = f"not 1 (n_samples={len(X)})"
            raise ValueError(f"the penalty is chosen over whole trials; give at least two, {given}")
        folds = [held for _, held in GroupKFold(min(5, n_groups)).split(X, groups=groups)]
        X, targets = stacked(X, trial, self.window), regression_targets(labels, self.periods)
        scores = _r2_by_penalty(X.astype(np.float64), targets, folds)
        self.ridge_ = SklearnRidge(_PENALTIES[scores.argmax()]).fit(X, targets)
        return self

    def transform(self, X: Any, trial: Any = None) -> np.ndarray:
        """Predict the labels from rates (T, N): float array (T, columns)."""
        X = self._inputs(X, trial)
        return self.ridge_.predict(X).reshape(len(X), -1)

    @property
    def _n_features_out(self):
        return len(np.atleast_2d(self.ridge_.coef_))


def _r2_by_penalty(X, targets, folds):
    """The mean R² of held-out trials for each penalty: a grid search, many times faster.

    Sums over all bins less those of a fold are the sums that its fit needs.
    """
    X, targets = X - X.mean(axis=0), targets - targets.mean(axis=0)  # so that their sums over all bins are 0
    squares, products = X.T @ X, X.T @ targets
    found = np.zeros((len(folds), len(_PENALTIES)))
    for fold, held in enumerate(folds):
        own, true, count = X[held], targets[held], len(X) - len(held)
        mean, offset = own.sum(axis=0) / -count, true.sum(axis=0) / -count  # of the other bins
        covariance = squares - own.T @ own - count * np.outer(mean, mean)
        product = products - own.T @ true - count * np.outer(mean, offset)
        total = np.square(true - true.mean(axis=0)).sum(axis=0)
        moves = total > 0  # a column that does not move tells nothing
        for place, penalty in enumerate(_PENALTIES):
            penalised = covariance.copy()
            penalised.flat[:: len(penalised) + 1] += penalty
            coefficients = solve(penalised, product, assume_a="pos", overwrite_a=True)
            errors = np.square((own - mean) @ coefficients + offset - true).sum(axis=0)
            found[fold, place] = (1 - errors[moves] / total[moves]).sum() / max(1, moves.sum())
    return found.mean(axis=0)
