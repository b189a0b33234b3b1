"""What methods share: the calls of `Method`, checks, and the training loop of those with NER's network."""

import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from numbers import Integral
from threading import Lock
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data
from tqdm import trange

from nerlib.losses import check_per_column
from nerlib.sampling import stacked

FLOATS = [np.float32, np.float64]
LABELLED = {"dtype": FLOATS, "multi_output": True, "y_numeric": True}  # how scikit-learn checks X and y
_SEEDING, _COUNTING = Lock(), Lock()
_fits = {"running": 0, "threads": 1}  # fits in progress, and torch's threads before the first of them


class Method(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """A scikit-learn transformer whose calls also take the trial of each bin."""

    n_components: int
    learning_rate: float
    window: int
    _fitted: str  # the attribute that `fit` sets last

    def __sklearn_is_fitted__(self):
        return hasattr(self, self._fitted)

    def fit_transform(self, X: Any, y: Any = None, trial: Any = None) -> np.ndarray:
        """Fit, then embed the same rates; see `fit` and `transform`."""
        return self.fit(X, y, trial).transform(X, trial)

    def _check_data(self, X, y, trial, **checks):
        """Rates (T, N), labels as float64 (T, k) and trial ids (T,) or None, validated."""
        if checks.get("reset", True):
            self.__dict__.pop(self._fitted, None)  # a fit that fails leaves no model behind
        X, y = validate_data(self, X, y, **LABELLED | checks)
        return X, np.array(y, np.float64).reshape(len(X), -1), self._check_trial(trial, len(X), 1)

    def _check_rates(self, X, dtype=FLOATS):
        """Rates (T, N) to embed, validated; NotFittedError before `fit`."""
        check_is_fitted(self)
        return validate_data(self, X, reset=False, dtype=dtype)

    def _inputs(self, X, trial, dtype=FLOATS):
        """Rates (T, N) to embed, validated, with their history: (T, window × N); called by `transform`."""
        X = self._check_rates(X, dtype)
        return stacked(X, self._check_trial(trial, len(X), stacklevel=5), self.window)

    def _check_trial(self, trial, n_bins, least=None, stacklevel=4):
        """Trial ids as an int array (n_bins,), or None; warns, at the user's line, where windows may cross.

        To transform one window, as in a closed loop, needs no trial ids; ``least`` bins or more do.
        """
        window = getattr(self, "window", 1)
        if trial is None:
            if window > 1 and n_bins >= (least or window + 1):
                what = f"{type(self).__name__} with window={window} was given no trial ids"
                message = f"{what}, so windows may cross trials; pass trial, the trial of each bin"
                warnings.warn(message, stacklevel=stacklevel)
            return None
        trial = np.asarray(trial)
        if trial.shape != (n_bins,) or not np.issubdtype(trial.dtype, np.integer):
            expected = f"an integer array of one entry per bin, shape ({n_bins},)"
            raise ValueError(f"trial must be {expected}; got {trial.dtype} of shape {trial.shape}")
        return trial

    def _diverged(self, when):
        problem = f"training diverged at {when} (loss is not finite) with learning_rate={self.learning_rate}"
        return ValueError(f"{problem}; lower it, or check the scale of the rates")

    @property
    def _n_features_out(self):
        return self.n_components

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        return tags


def check_numbers(method, kind, *names, optional=False):
    """Refuse parameters of a method that are not positive, finite numbers of a kind (Integral or Real)."""
    for name in names:
        value = getattr(method, name)
        if optional and value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, kind):
            expected = ("an integer" if kind is Integral else "a number") + " or None" * optional
            raise TypeError(f"{name} must be {expected}; got {value!r} of type {type(value).__name__}")
        if not 0 < value < float("inf"):
            raise ValueError(f"{name} must be positive and finite; got {value!r}")


@contextmanager
def seeded(seed):
    """Initial weights come from torch's only generator: borrow it, seeded, and keep other threads out."""
    with _SEEDING, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # not torch.manual_seed: that reseeds all GPUs, too
        yield


@contextmanager
def single_thread():
    """Batches are small: threads of torch that wait for one another would cost more than they bring.

    Yields the number of threads before, also where fits overlap in threads of one process.
    """
    with _COUNTING:
        if not _fits["running"]:
            _fits["threads"] = torch.get_num_threads()
        _fits["running"] += 1
        threads = _fits["threads"]
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)
        with _COUNTING:
            _fits["running"] -= 1


def train(method, weights, embed, objective, max_iter=None):
    """Fit weights with Adam, in place, as the parameters of a method say; returns the loss of each step.

    ``embed`` maps bins (B,) to points (B, d); ``objective`` is what `EncoderMethod._objective` returns.
    """
    (batches, loss, parameters), weights = objective, list(weights)
    steps = trange(max_iter or method.max_iter, desc=type(method).__name__, disable=not method.verbose)
    means = [weight.detach().clone() for weight in weights]
    unaveraged = len(steps) - round(method.weight_averaging * len(steps))
    optimizer = torch.optim.Adam([*weights, *parameters], lr=method.learning_rate, fused=True)
    # Filled in place: a scalar kept from every step would leave a hole in memory, a megabyte each.
    curve = torch.empty(len(steps), device=weights[0].device)
    with single_thread() as cores, _prefetched(batches, cores) as draw:
        coming = draw()
        for step in steps:
            bins, target = coming()
            optimizer.zero_grad()
            step_loss = loss(embed(bins), target)
            coming = draw()  # on a second core, while this one is busy with the network
            step_loss.backward()
            optimizer.step()
            curve[step] = step_loss.detach()
            if step >= unaveraged:
                for mean, weight in zip(means, weights, strict=True):
                    mean.lerp_(weight.detach(), 1 / (step - unaveraged + 1))
    if unaveraged < len(steps):
        for mean, weight in zip(means, weights, strict=True):
            weight.data = mean
    losses = curve.cpu().numpy().astype(np.float64)
    if not np.isfinite(losses).all():
        raise method._diverged(f"step {int(np.argmin(np.isfinite(losses)))}")
    return losses


@contextmanager
def _prefetched(batches, cores):
    """A function that requests the next batch, and returns one that waits for it."""
    if cores == 1:
        yield lambda: lambda: next(batches)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="nerlib-batches") as worker:
        yield lambda: worker.submit(next, batches).result


def as_tensor(rates):
    """A float32 tensor that shares the array's memory where possible."""
    return torch.from_numpy(np.require(rates, np.float32, "CW"))


def pick_device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def select_columns(labels, columns, periods=None, weights=None):
    """Some columns of labels (T, k), their periods and weights; None: all, "linear": all without a period."""
    if columns is None:
        return labels, periods, weights
    n_columns, linear = labels.shape[1], isinstance(columns, str) and columns == "linear"
    if linear and periods is None:
        advice = "give those of a Session, None for each linear column and the period of each circular one"
        raise ValueError(f'label_columns="linear" needs periods, which tell the linear columns: {advice}')
    periods = check_per_column("periods", periods, n_columns, None)
    weights = check_per_column("weights", weights, n_columns, 1.0)
    chosen = np.atleast_1d(columns).tolist()
    if linear:
        chosen = [c for c, period in enumerate(periods) if period is None]
    if not chosen or not set(chosen) <= set(range(n_columns)) or bool in map(type, chosen):
        found = f"the labels have {n_columns} columns, counted from 0{', all circular' * linear}"
        raise ValueError(f"label_columns is {columns}, but {found}; name some, or give None for all")
    return labels[:, chosen], *([of[column] for column in chosen] for of in (periods, weights))


def regression_targets(labels, periods, weights=None):
    """Label columns as targets of a squared error: standardised, or cosine and sine if circular; weighted."""
    columns = []
    periods = check_per_column("periods", periods, labels.shape[1], None)
    weights = check_per_column("weights", weights, labels.shape[1], 1.0)
    for column, period, weight in zip(labels.T, periods, weights, strict=True):
        if period is None:
            columns.append(weight * (column - column.mean()) / (column.std() or 1.0))
        else:
            angle = 2 * np.pi * column / period
            columns += [weight * np.cos(angle), weight * np.sin(angle)]
    return np.column_stack(columns)
