"""What the methods share that train the encoder of section 3: fit, transform, save and load.

A method says only how a batch is drawn and what loss it has; see `EncodedMethod._objective`.
"""

import json
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from numbers import Integral, Real
from threading import Lock

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from tqdm import trange

from nerlib._files import whole_file
from nerlib.encoders import Encoder
from nerlib.sampling import history

_BLOCK = 8192  # bins a forward pass of transform: what they need stays in a core's cache
_FEW = 16  # bins that NumPy embeds sooner than torch
_SEEDING, _COUNTING = Lock(), Lock()
_fits = {"running": 0, "threads": 1}  # fits under way, and torch's threads before the first of them


class EncodedMethod(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator, ABC):
    """A scikit-learn estimator around the encoder.

    A child stores the parameters n_components, max_iter, batch_size, learning_rate, averaged, window,
    random_state, device and verbose, and its own; and it defines ``_objective``.
    """

    @abstractmethod
    def _objective(self, labels, trial, rng, device):
        """How a batch is drawn, and its loss.

        Parameters
        ----------
        labels : float64 array (T, k)
        trial : int array (T,) or None
        rng : numpy.random.Generator
        device : torch.device

        Returns
        -------
        batches : endless iterator of (bins, target): an int array (B,), and what the loss needs to know of it
        loss : callable, (embedding (B, n_components), target) -> scalar tensor
        parameters : list of tensors to train beside the encoder's
        """

    def fit(self, X, y, trial=None):
        """Train the network.

        Parameters
        ----------
        X : array (T, N), rates (spikes/bin)
        y : array (T, k) or (T,), labels; those of the paper are velocity x, y (mm/s), direction (degrees)
        trial : int array (T,) or None, which trial each bin belongs to; neither history nor a time step
            crosses trials. None: one uninterrupted stretch

        Returns
        -------
        self

        Raises
        ------
        ValueError : a parameter out of range, NaN, lengths that disagree, training that diverged
        TypeError : a parameter of the wrong type
        """
        self._check_parameters()
        X, y = validate_data(self, X, y, dtype=[np.float32, np.float64], multi_output=True, y_numeric=True)
        labels = np.asarray(y, np.float64).reshape(len(X), -1)
        trial = check_trial(trial, len(X))
        device = _device(self.device)
        seeds = check_random_state(self.random_state).randint(np.iinfo(np.int32).max, size=2)
        with seeded(int(seeds[1])):
            encoder = Encoder(X.shape[1] * self.window, self.n_components).to(device)
            batches, loss, parameters = self._objective(
                labels, trial, np.random.default_rng(seeds[0]), device
            )
        gather = self._gatherer(_tensor(X).to(device), trial)
        with _single_thread() as cores, _drawn_ahead(batches, cores) as draw:
            self.loss_curve_ = self._train(encoder, gather, draw, loss, parameters)
        self.n_iter_ = len(self.loss_curve_)
        self.encoder_ = encoder.eval()
        return self

    def _train(self, encoder, gather, draw, loss, parameters):
        weights = list(encoder.parameters())
        means = [weight.detach().clone() for weight in weights]
        unaveraged = self.max_iter - round(self.averaged * self.max_iter)
        optimizer = torch.optim.Adam([*weights, *parameters], lr=self.learning_rate, fused=True)
        # Filled in place: a scalar kept from every step would leave a hole in memory, a megabyte each.
        curve = torch.empty(self.max_iter, device=weights[0].device)
        coming = draw()
        for step in trange(self.max_iter, desc=type(self).__name__, disable=not self.verbose):
            bins, target = coming()
            optimizer.zero_grad()
            step_loss = loss(encoder(gather(bins)), target)
            coming = draw()  # on a second core, while this one is busy with the network
            step_loss.backward()
            optimizer.step()
            curve[step] = step_loss.detach()
            if step >= unaveraged:
                for mean, weight in zip(means, weights, strict=True):
                    mean.lerp_(weight.detach(), 1 / (step - unaveraged + 1))
        curve = curve.cpu().numpy().astype(np.float64)
        if not np.isfinite(curve).all():
            raise ValueError(
                f"training diverged at step {int(np.argmin(np.isfinite(curve)))} (loss is not finite) with "
                f"learning_rate={self.learning_rate}; lower it, or check the scale of the rates"
            )
        if unaveraged < self.max_iter:
            for mean, weight in zip(means, weights, strict=True):
                weight.data = mean
        return curve

    def transform(self, X, trial=None):
        """Embed rates.

        Parameters
        ----------
        X : array (T, N), rates (spikes/bin)
        trial : int array (T,) or None, which trial each bin belongs to; matters when ``window`` > 1

        Returns
        -------
        float32 array (T, n_components), rows of unit length
        """
        check_is_fitted(self)
        X = self._check_rates(X)
        trial = check_trial(trial, len(X))
        device = next(self.encoder_.parameters()).device
        blocks = [slice(start, start + _BLOCK) for start in range(0, len(X), _BLOCK)]
        if self.window == 1:
            inputs = (_tensor(X[block]) for block in blocks)
        else:
            gather, bins = self._gatherer(_tensor(X), trial), np.arange(len(X))
            inputs = (gather(bins[block]) for block in blocks)
        if len(X) <= _FEW and device.type == "cpu":
            return np.concatenate([self.encoder_.embed_few(rates.numpy()) for rates in inputs])
        with torch.inference_mode():
            return np.concatenate([self.encoder_(rates.to(device)).cpu().numpy() for rates in inputs])

    def _check_rates(self, X):
        """What scikit-learn refuses is refused; but its check takes as long as embedding one bin."""
        plain = type(X) is np.ndarray and X.dtype in (np.float32, np.float64) and X.ndim == 2
        if plain and X.shape[1] == self.n_features_in_ and len(X) and not hasattr(self, "feature_names_in_"):
            if np.isfinite(X.sum()):
                return X
        return validate_data(self, X, reset=False, dtype=[np.float32, np.float64])

    def fit_transform(self, X, y, trial=None):
        """Train, then embed the same rates; see `fit` and `transform`."""
        return self.fit(X, y, trial).transform(X, trial)

    def _gatherer(self, rates, trial):
        """Callable: bins (B,) -> network inputs (B, window × N)."""
        if self.window == 1:
            return lambda bins: rates[torch.as_tensor(bins, device=rates.device)]
        windows = history(trial, len(rates), self.window)
        return lambda bins: rates[torch.as_tensor(windows(bins), device=rates.device)].flatten(1)

    def save(self, path):
        """Write the fitted model to one safetensors file, atomically; parameters travel as JSON."""
        check_is_fitted(self)
        tensors = {f"encoder.{k}": v.cpu().contiguous() for k, v in self.encoder_.state_dict().items()}
        tensors["loss_curve"] = torch.from_numpy(self.loss_curve_)
        parameters = self.get_params()
        if not isinstance(self.random_state, Integral):
            parameters["random_state"] = None  # a generator's state is no parameter of the fitted model
        header = {
            "class": type(self).__name__,
            "n_features_in": self.n_features_in_,
            "parameters": parameters,
        }
        with whole_file(path) as partial:
            save_file(tensors, partial, {"nerlib": json.dumps(header, default=lambda value: value.tolist())})

    @classmethod
    def load(cls, path, device="auto"):
        """Read a model that `save` wrote.

        Raises
        ------
        FileNotFoundError : no such file
        ValueError : not a file that `save` wrote, or of another class
        """
        try:
            with safe_open(path, "pt") as file:
                header = json.loads((file.metadata() or {}).get("nerlib", "null"))
                tensors = {name: file.get_tensor(name) for name in file.keys()}
        except SafetensorError as error:
            raise ValueError(f"{path} is not a complete safetensors file ({error}); save it again") from error
        if header is None or header["class"] != cls.__name__:
            found = "no model of nerlib" if header is None else f"a {header['class']}"
            raise ValueError(f"{path} holds {found}; expected a {cls.__name__}")
        model = cls(**{**header["parameters"], "device": device})
        model.n_features_in_ = header["n_features_in"]
        model.loss_curve_ = tensors.pop("loss_curve").numpy()
        model.n_iter_ = len(model.loss_curve_)
        encoder = Encoder(model.n_features_in_ * model.window, model.n_components)
        encoder.load_state_dict({k.removeprefix("encoder."): v for k, v in tensors.items()})
        model.encoder_ = encoder.to(_device(device)).eval()
        return model

    def _check_parameters(self):
        for name in ("n_components", "max_iter", "batch_size", "window"):
            check_number(name, getattr(self, name), Integral, "an integer")
        check_number("learning_rate", self.learning_rate, Real, "a number")
        if not isinstance(self.averaged, Real) or not 0 <= self.averaged <= 1:
            raise ValueError(f"averaged must be a share of the steps, from 0 to 1; got {self.averaged!r}")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    @property
    def _n_features_out(self):
        return self.n_components


def check_number(name, value, kind, kind_name):
    """Refuse a parameter that is not a positive, finite number of its kind."""
    if isinstance(value, bool) or not isinstance(value, kind):
        raise TypeError(f"{name} must be {kind_name}; got {value!r} of type {type(value).__name__}")
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} must be positive and finite; got {value!r}")


def chosen_columns(labels, columns):
    """Those columns of labels (T, k); None: all of them."""
    if columns is None:
        return labels
    if not np.size(columns) or not set(np.atleast_1d(columns)) <= set(range(labels.shape[1])):
        raise ValueError(
            f"label_columns is {columns}, but the labels have {labels.shape[1]} columns, counted from 0; "
            "name some of them, or give None for all"
        )
    return labels[:, np.atleast_1d(columns)]


def check_trial(trial, n_bins):
    """Trial ids as an int array (n_bins,), or None."""
    if trial is None:
        return None
    trial = np.asarray(trial)
    if trial.shape != (n_bins,) or not np.issubdtype(trial.dtype, np.integer):
        raise ValueError(
            f"trial must be an integer array of one entry a bin, shape ({n_bins},); "
            f"got {trial.dtype} of shape {trial.shape}"
        )
    return trial


@contextmanager
def seeded(seed):
    """First weights come from torch's one generator: borrow it, seeded, and keep other threads out."""
    with _SEEDING, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@contextmanager
def _drawn_ahead(batches, cores):
    """A function that asks for the next batch, and returns one that waits for it."""
    if cores == 1:
        yield lambda: lambda: next(batches)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="nerlib-batches") as worker:
        yield lambda: worker.submit(next, batches).result


@contextmanager
def _single_thread():
    """Batches are small: threads of torch that wait for one another would cost more than they bring.

    Yields how many there were before, also where fits overlap in threads of one process.
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


def _tensor(rates):
    """A float32 tensor over the same memory where that is allowed."""
    return torch.from_numpy(np.require(rates, np.float32, "CW"))


def _device(name):
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)
