"""Two decoders that are not embeddings, as ceilings: a Kalman filter and a small recurrent network.

Both predict movements from rates in sequence, within a trial, from the past of the smoothed rates alone.
They have the calls of `nerlib`'s methods; their predictions take the place of an embedding, as ridge's do.
"""

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from torch.nn.functional import mse_loss

from nerlib.models._common import check_numbers, seeded, single_thread
from nerlib.session import trial_bounds


def padded(values, trial):
    """Rows (T, d) as trials (n_trials, longest, d), the end filled with zeros; and which entries are real."""
    starts, lengths = trial_bounds(trial)
    real = np.arange(lengths.max()) < lengths[:, None]
    cube = np.zeros((*real.shape, values.shape[1]), values.dtype)
    cube[real] = values
    return cube, real


@dataclass(eq=False, repr=False)
class KalmanFilter(TransformerMixin, BaseEstimator):
    """Kalman filter of hand velocity and position (Wu et al., Neural Computation 2006).

    State: velocity, its sum within the trial, and 1. It moves by a linear map, and rates are a linear map of
    it, both with normal noise, all fitted by least squares. Rates are reduced to principal components, since
    smoothed rates of many neurons make a noise covariance that is nearly singular.

    Parameters
    ----------
    n_components : int, principal components of the rates, at most as many as neurons
    """

    n_components: int = 40

    def fit(self, X: Any, y: Any, trial: Any) -> Self:
        """Fit on rates (T, N), labels (T, k) with velocity x, y first, and trial ids (T,); returns self."""
        check_numbers(self, Integral, "n_components")
        self.mean_ = X.mean(axis=0)
        self.components_ = np.linalg.svd(X - self.mean_, full_matrices=False)[2][: self.n_components]
        state = _state(np.asarray(y)[:, :2], trial)
        within = np.flatnonzero(np.diff(trial) == 0)
        self.motion_, self.motion_noise_ = _regress(state[within], state[within + 1])
        self.emission_, self.emission_noise_ = _regress(state, self._observed(X))
        first = state[trial_bounds(trial)[0]]
        self.start_, self.start_noise_ = first.mean(axis=0), np.cov(first.T)
        return self

    def transform(self, X: Any, trial: Any) -> np.ndarray:
        """The filtered state of each bin, from the bins of its trial so far: array (T, 4), without the 1."""
        observed, real = padded(self._observed(X), trial)
        mean = np.tile(self.start_, (len(observed), 1))
        covariance, found = self.start_noise_, np.zeros((*real.shape, len(self.start_)))
        for t in range(observed.shape[1]):  # all trials at once: the gain is the same for each
            if t:
                mean, covariance = mean @ self.motion_.T, self.motion_ @ covariance @ self.motion_.T
                covariance = covariance + self.motion_noise_
            spread = self.emission_ @ covariance @ self.emission_.T + self.emission_noise_
            gain = np.linalg.solve(spread, self.emission_ @ covariance).T
            mean = mean + (observed[:, t] - mean @ self.emission_.T) @ gain.T
            covariance = covariance - gain @ self.emission_ @ covariance
            found[:, t] = mean
        return found[real][:, :-1]

    def _observed(self, X):
        return (X - self.mean_) @ self.components_.T


def _state(velocity, trial):
    starts, lengths = trial_bounds(trial)
    total = np.cumsum(velocity, axis=0)
    before = np.repeat(total[starts] - velocity[starts], lengths, axis=0)
    return np.column_stack([velocity, total - before, np.ones(len(velocity))])


def _regress(inputs, outputs):
    """The linear map from inputs to outputs, and the covariance of what it leaves."""
    matrix = np.linalg.lstsq(inputs, outputs, rcond=None)[0].T
    return matrix, np.cov((outputs - inputs @ matrix.T).T)


@dataclass(eq=False, repr=False)
class GRU(TransformerMixin, BaseEstimator):
    """A recurrent network that predicts velocity and direction, trained by their squared error.

    The last fifth of the training trials chooses the number of epochs; then all of them train for as many.

    Parameters
    ----------
    n_hidden : int, units
    max_epochs : int
    dropout : float, share of neurons hidden in training, anew in each batch and trial
    random_state : int
    """

    n_hidden: int = 48
    max_epochs: int = 60
    dropout: float = 0.3
    learning_rate: float = 5e-3
    random_state: Any = None

    def fit(self, X: Any, y: Any, trial: Any) -> Self:
        """Fit on rates (T, N), labels (T, 3), velocity x, y and direction in degrees, and trials (T,)."""
        check_numbers(self, Integral, "n_hidden", "max_epochs")
        check_numbers(self, Real, "learning_rate")
        self.mean_, self.scale_ = X.mean(axis=0), X.std(axis=0) + 1e-6
        y = np.asarray(y, np.float64)
        angle = np.deg2rad(y[:, 2])
        speed = y[:, :2].std()
        targets = np.column_stack([y[:, :2] / speed, np.cos(angle), np.sin(angle)])
        inputs, real = padded(self._scaled(X), trial)
        targets = padded(targets.astype(np.float32), trial)[0]
        data = [torch.from_numpy(x) for x in (inputs, targets, real)]
        cut = max(1, int(0.8 * len(inputs)))
        with single_thread():
            errors = self._train([x[:cut] for x in data], self.max_epochs, [x[cut:] for x in data])
            self.n_epochs_ = int(np.argmin(errors)) + 1 if len(errors) else self.max_epochs
            self._train(data, self.n_epochs_)
        return self

    def _train(self, data, epochs, validation=None):
        inputs, targets, real = data
        generator = torch.Generator().manual_seed(int(self.random_state or 0))
        with seeded(int(self.random_state or 0)):
            self.network_ = torch.nn.GRU(inputs.shape[2], self.n_hidden, batch_first=True)
            self.head_ = torch.nn.Linear(self.n_hidden, targets.shape[2])
        weights = [*self.network_.parameters(), *self.head_.parameters()]
        optimizer = torch.optim.AdamW(weights, lr=self.learning_rate, weight_decay=1e-2)
        errors = []
        for _ in range(epochs):
            for rows in torch.randperm(len(inputs), generator=generator).split(16):
                shape = (len(rows), 1, inputs.shape[2])
                kept = torch.rand(shape, generator=generator) >= self.dropout
                hidden = self.head_(self.network_(inputs[rows] * kept / (1 - self.dropout))[0])
                loss = mse_loss(hidden[real[rows]], targets[rows][real[rows]])
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(weights, 1.0)
                optimizer.step()
            if validation is not None and len(validation[0]):
                with torch.inference_mode():
                    held = self.head_(self.network_(validation[0])[0])
                    errors.append(mse_loss(held[validation[2]], validation[1][validation[2]]).item())
        return errors

    def transform(self, X: Any, trial: Any) -> np.ndarray:
        """Predictions of each bin from the bins of its trial so far: float32 array (T, 4)."""
        inputs, real = padded(self._scaled(X), trial)
        with torch.inference_mode():
            return self.head_(self.network_(torch.from_numpy(inputs))[0]).numpy()[real]

    def _scaled(self, X):
        return ((X - self.mean_) / self.scale_).astype(np.float32)
