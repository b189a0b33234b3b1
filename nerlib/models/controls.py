"""Controls that a label-supervised embedding must be compared with (SCIENCE, section 6.7)."""

from numbers import Integral

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold
from sklearn.utils.validation import check_is_fitted, validate_data

from nerlib.losses import check_per_column
from nerlib.models.encoded import EncodedMethod, check_number, check_trial, chosen_columns
from nerlib.sampling import history


class Bottleneck(EncodedMethod):
    """NER's encoder, followed by a linear map to the labels and trained by their squared error.

    Linear label columns are standardised, circular ones (direction) become cosine and sine.

    Parameters
    ----------
    n_components : int, width of the bottleneck, which is the embedding
    label_columns : as in `CEBRA`
    periods : as in `NER`
    max_iter, batch_size, learning_rate, averaged, window, random_state, device, verbose : as in `NER`

    Attributes
    ----------
    encoder_, loss_curve_, n_iter_, n_features_in_ : as in `NER`
    """

    def __init__(
        self,
        n_components=3,
        *,
        max_iter=1600,
        batch_size=64,
        learning_rate=6e-3,
        averaged=0.75,
        label_columns=None,
        periods=(None, None, 360.0),
        window=1,
        random_state=None,
        device="auto",
        verbose=False,
    ):
        self.n_components = n_components
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.averaged = averaged
        self.label_columns = label_columns
        self.periods = periods
        self.window = window
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def _objective(self, labels, trial, rng, device):
        periods = check_per_column("periods", self.periods, labels.shape[1], None)
        if self.label_columns is not None:
            labels = chosen_columns(labels, self.label_columns)
            periods = [periods[column] for column in np.atleast_1d(self.label_columns)]
        targets = torch.as_tensor(_targets(labels, periods), dtype=torch.float32, device=device)
        head = torch.nn.Linear(self.n_components, targets.shape[1]).to(device)

        def batches():
            while True:
                bins = rng.integers(len(labels), size=self.batch_size)
                yield bins, targets[torch.as_tensor(bins, device=device)]

        def loss(embedding, target):
            return torch.nn.functional.mse_loss(head(embedding), target)

        return batches(), loss, list(head.parameters())


class Ridge(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Ridge regression from rates to the labels, no embedding: what it predicts stands in for one.

    The penalty is chosen by cross-validation over whole training trials. The same decoders are then fitted on
    the predictions as on every embedding.

    Parameters
    ----------
    window : int, bins of history, the current bin included
    periods : as in `NER`; circular columns are predicted as cosine and sine
    random_state : ignored, every method takes it

    Attributes
    ----------
    ridge_ : the fitted RidgeCV
    n_features_in_ : int, neurons
    """

    def __init__(self, *, window=1, periods=(None, None, 360.0), random_state=None):
        self.window = window
        self.periods = periods
        self.random_state = random_state

    def fit(self, X, y, trial=None):
        """Fit on rates (T, N), labels (T, k) or (T,), and trial ids (T,) or None; returns self.

        Raises
        ------
        ValueError, TypeError : parameters out of range, NaN, lengths that disagree, a single trial
        """
        check_number("window", self.window, Integral, "an integer")
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32], multi_output=True, y_numeric=True)
        labels = np.asarray(y, np.float64).reshape(len(X), -1)
        past, groups = self._history(X, trial), np.arange(len(X)) if trial is None else trial
        n_groups = len(np.unique(groups))
        if n_groups < 2:
            raise ValueError(
                f"the penalty is picked over whole trials; give two at least, not 1 (n_samples={len(X)})"
            )
        folds = list(GroupKFold(min(5, n_groups)).split(X, groups=groups))
        self.ridge_ = RidgeCV(np.logspace(-2, 5, 8), cv=folds).fit(past, _targets(labels, self.periods))
        return self

    def transform(self, X, trial=None):
        """Predict the labels from rates (T, N): float array (T, columns)."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        predicted = self.ridge_.predict(self._history(X, trial))
        return predicted.reshape(len(X), -1)

    def fit_transform(self, X, y, trial=None):
        """Fit, then predict on the same rates."""
        return self.fit(X, y, trial).transform(X, trial)

    def _history(self, X, trial):
        trial = check_trial(trial, len(X))
        if self.window == 1:
            return X
        bins = history(trial, len(X), self.window)(np.arange(len(X)))
        return X[bins].reshape(len(X), -1)

    @property
    def _n_features_out(self):
        return np.atleast_2d(self.ridge_.coef_).shape[0]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        return tags


def _targets(labels, periods):
    """Label columns made fit for a squared error: standardised, or cosine and sine."""
    columns = []
    for column, period in zip(
        labels.T, check_per_column("periods", periods, labels.shape[1], None), strict=True
    ):
        if period is None:
            columns.append((column - column.mean()) / (column.std() or 1.0))
        else:
            angle = 2 * np.pi * column / period
            columns += [np.cos(angle), np.sin(angle)]
    return np.column_stack(columns)
