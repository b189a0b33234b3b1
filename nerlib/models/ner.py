"""NER: neural embeddings whose distances follow the rank of distances between movements."""

import json
import os
import tempfile
from contextlib import contextmanager
from numbers import Integral, Real
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from tqdm import trange

from nerlib.encoders import Encoder
from nerlib.losses import check_per_column, label_distances, rank_loss
from nerlib.sampling import history, pairs

_BLOCK = 65_536  # bins a forward pass of transform
_SCHEDULES = ("one-cycle", "constant")


class NER(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Neural Embeddings Rank (section 3 of the paper): rates in a bin to a point on a sphere.

    Parameters
    ----------
    n_components : int, dimensions of the embedding
    max_iter : int, training steps (the paper: 20 000, and 5 000 for MC_Maze)
    batch_size : int, reference bins a step; each comes with its positive, so the loss sees twice as many
    learning_rate : float, Adam's rate, or the peak of the cycle (the paper: 1e-4, constant)
    schedule : "one-cycle" or "constant"
    temperature : float, τ of the loss
    periods : one entry a label column, None for linear, the period for circular; None: all linear
    weights : one factor a label column, or None for all 1
    window : int, bins of history that the network sees, the current bin included (the paper: 1)
    random_state : int, RandomState or None
    device : "auto" (a GPU if there is one), "cpu", "cuda", …
    verbose : bool, show a progress bar

    Attributes
    ----------
    encoder_ : torch module, fitted
    loss_curve_ : float array (n_iter_,), the loss of each step
    n_iter_ : int, steps taken
    n_features_in_ : int, neurons
    """

    def __init__(
        self,
        n_components=3,
        *,
        max_iter=800,
        batch_size=512,
        learning_rate=3e-3,
        schedule="one-cycle",
        temperature=1.0,
        periods=(None, None, 360.0),
        weights=None,
        window=1,
        random_state=None,
        device="auto",
        verbose=False,
    ):
        self.n_components = n_components
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.temperature = temperature
        self.periods = periods
        self.weights = weights
        self.window = window
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

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
        periods = check_per_column("periods", self.periods, labels.shape[1], None)
        weights = check_per_column("weights", self.weights, labels.shape[1], 1.0)
        trial = _check_trial(trial, len(X))

        device = _device(self.device)
        seeds = check_random_state(self.random_state).randint(np.iinfo(np.int32).max, size=2)
        rng = np.random.default_rng(seeds[0])
        draws = pairs(
            labels, batch_size=self.batch_size, rng=rng, trial=trial, periods=periods, weights=weights
        )
        rates = _tensor(X).to(device)
        targets = torch.as_tensor(labels, dtype=torch.float32, device=device)
        gather = self._gatherer(rates, trial)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(seeds[1]))
            encoder = Encoder(X.shape[1] * self.window, self.n_components).to(device)

        threads = torch.get_num_threads()

        def step_loss(reference, positive):
            embedding = encoder(gather(np.concatenate([reference, positive])))
            distances = label_distances(targets[torch.as_tensor(reference, device=device)], periods, weights)
            return rank_loss(embedding, distances, temperature=self.temperature, threads=threads)

        with _single_thread():
            self.loss_curve_ = self._train(encoder, step_loss, draws)
        self.n_iter_ = len(self.loss_curve_)
        self.encoder_ = encoder.eval()
        return self

    def _train(self, encoder, step_loss, draws):
        optimizer = torch.optim.Adam(encoder.parameters(), lr=self.learning_rate, fused=True)
        scheduler = None
        if self.schedule == "one-cycle" and self.max_iter > 1:
            scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.learning_rate, self.max_iter)
        curve = []
        for _ in trange(self.max_iter, desc=type(self).__name__, disable=not self.verbose):
            optimizer.zero_grad()
            loss = step_loss(*next(draws))
            loss.backward()
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            curve.append(loss.detach())
        curve = torch.stack(curve).cpu().numpy().astype(np.float64)
        if not np.isfinite(curve).all():
            raise ValueError(
                f"training diverged at step {int(np.argmin(np.isfinite(curve)))} (loss is not finite) with "
                f"learning_rate={self.learning_rate}, temperature={self.temperature}; lower the learning "
                "rate, or check the scale of the rates"
            )
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
        X = validate_data(self, X, reset=False, dtype=[np.float32, np.float64])
        trial = _check_trial(trial, len(X))
        device = next(self.encoder_.parameters()).device
        gather = self._gatherer(_tensor(X), trial)
        embedding = np.empty((len(X), self.n_components), np.float32)
        with torch.inference_mode():
            for start in range(0, len(X), _BLOCK):
                bins = np.arange(start, min(start + _BLOCK, len(X)))
                embedding[bins] = self.encoder_(gather(bins).to(device)).cpu().numpy()
        return embedding

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
        path = Path(path)
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
        handle, partial = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".partial")
        os.close(handle)
        try:
            save_file(tensors, partial, {"nerlib": json.dumps(header, default=_plain)})
            os.replace(partial, path)
        except BaseException:
            os.unlink(partial)
            raise

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
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise ValueError(
                f"{path} is not a complete safetensors file ({error}); save the model again"
            ) from error
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
            _check_number(name, getattr(self, name), Integral, "an integer")
        for name in ("learning_rate", "temperature"):
            _check_number(name, getattr(self, name), Real, "a number")
        if self.schedule not in _SCHEDULES:
            raise ValueError(f"schedule must be one of {', '.join(_SCHEDULES)}; got {self.schedule!r}")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    @property
    def _n_features_out(self):
        return self.n_components


def _check_number(name, value, kind, kind_name):
    if isinstance(value, bool) or not isinstance(value, kind):
        raise TypeError(f"{name} must be {kind_name}; got {value!r} of type {type(value).__name__}")
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} must be positive and finite; got {value!r}")


def _check_trial(trial, n_bins):
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
def _single_thread():
    """Batches are small: threads of torch that wait for one another would cost more than they bring."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _tensor(rates):
    """A float32 tensor over the same memory where that is allowed."""
    return torch.from_numpy(np.require(rates, np.float32, "CW"))


def _device(name):
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def _plain(value):
    """JSON for numpy's scalars and arrays among the parameters."""
    return value.tolist()
