"""What the methods share that train NER's network: fit, transform, save and load.

Such a method only says how a batch is drawn and what its loss is; see `EncoderMethod._objective`.
"""

import json
from abc import abstractmethod
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from tqdm import trange

from nerlib._files import write_whole
from nerlib.encoders import Encoder
from nerlib.models._common import Method, as_tensor, check_numbers, pick_device, seeded, single_thread
from nerlib.sampling import history

_BLOCK = 8192  # bins per forward pass of transform: their activations stay in the cache of a core
_NUMPY_MAX_ROWS = 16  # up to so many bins NumPy embeds faster than torch


@dataclass(eq=False, repr=False)
class EncoderMethod(Method):
    """A method that trains the network of section 3 of the paper (`encoders.Encoder`).

    Parameters
    ----------
    n_components : int, dimensions of the embedding
    max_iter : int, training steps (the paper: 20 000, and 5 000 for MC_Maze)
    batch_size : int, reference bins per step (the paper: 512)
    learning_rate : float, Adam's rate (the paper: 1e-4)
    weight_averaging : float from 0 to 1, the last share of the steps over which the network's weights are
        averaged (Polyak and Juditsky, SIAM J. Control Optim. 1992); 0: those of the last step (the paper)
    window : int, bins of history that the network sees, the current bin included (the paper: 1)
    neuron_dropout : float from 0 to below 1, the chance that training hides a neuron, with its history, from
        the network in a bin of the batch; the others are scaled up (the paper: 0)
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

    _fitted = "encoder_"
    n_components: int = 3
    _: KW_ONLY
    max_iter: int = 2400
    batch_size: int = 128
    learning_rate: float = 2e-3
    weight_averaging: float = 0.75
    window: int = 1
    neuron_dropout: float = 0.0
    random_state: Any = None
    device: str = "auto"
    verbose: bool = False

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
        batches : endless iterator of (bins, target): an int array (B,), and what the loss needs besides
        loss : callable, (embedding (B, n_components), target) -> scalar tensor
        parameters : list of tensors to train together with the encoder's
        """

    def fit(self, X: Any, y: Any, trial: Any = None) -> Self:
        """Train the network.

        Parameters
        ----------
        X : array (T, N), rates (spikes/bin)
        y : array (T, k) or (T,), labels; those of the paper are velocity x, y (mm/s) and direction (degrees)
        trial : int array (T,) or None, the trial of each bin; neither history nor a time step crosses trials.
            None: one uninterrupted stretch

        Returns
        -------
        self

        Raises
        ------
        ValueError : a parameter out of range, NaN, lengths that disagree, training that diverged
        TypeError : a parameter of the wrong type
        """
        self._check_parameters()
        X, labels, trial = self._check_data(X, y, trial)
        self.__dict__.pop("encoder_", None)  # a fit that fails leaves no model behind
        device = pick_device(self.device)
        seeds = check_random_state(self.random_state).randint(np.iinfo(np.int32).max, size=3)
        with seeded(int(seeds[1])):
            encoder = Encoder(X.shape[1] * self.window, self.n_components).to(device)
            batches, loss, parameters = self._objective(
                labels, trial, np.random.default_rng(seeds[0]), device
            )
        gather = self._gatherer(as_tensor(X).to(device), trial)
        if self.neuron_dropout:
            gather = self._with_dropout(
                gather, X.shape[1], torch.Generator(device).manual_seed(int(seeds[2]))
            )
        with single_thread() as cores, _prefetched(batches, cores) as draw:
            self.loss_curve_ = self._train(encoder, gather, draw, loss, parameters)
        self.n_iter_ = len(self.loss_curve_)
        self.encoder_ = encoder.eval()
        return self

    def _train(self, encoder, gather, draw, loss, parameters):
        weights = list(encoder.parameters())
        means = [weight.detach().clone() for weight in weights]
        unaveraged = self.max_iter - round(self.weight_averaging * self.max_iter)
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
        losses = curve.cpu().numpy().astype(np.float64)
        if not np.isfinite(losses).all():
            raise self._diverged(f"step {int(np.argmin(np.isfinite(losses)))}")
        if unaveraged < self.max_iter:
            for mean, weight in zip(means, weights, strict=True):
                weight.data = mean
        return losses

    def transform(self, X: Any, trial: Any = None) -> np.ndarray:
        """Embed rates.

        Parameters
        ----------
        X : array (T, N), rates (spikes/bin)
        trial : int array (T,) or None, the trial of each bin; matters when ``window`` > 1

        Returns
        -------
        float32 array (T, n_components), rows of unit length
        """
        check_is_fitted(self)
        X = self._check_rates(X)
        trial = self._check_trial(trial, len(X))
        device = next(self.encoder_.parameters()).device
        blocks = [slice(start, start + _BLOCK) for start in range(0, len(X), _BLOCK)]
        if self.window == 1:
            inputs = (as_tensor(X[block]) for block in blocks)
        else:
            gather, bins = self._gatherer(as_tensor(X), trial), np.arange(len(X))
            inputs = (gather(bins[block]) for block in blocks)
        if len(X) <= _NUMPY_MAX_ROWS and device.type == "cpu":
            return np.concatenate([self.encoder_.embed_few(rates.numpy()) for rates in inputs])
        with torch.inference_mode():
            return np.concatenate([self.encoder_(rates.to(device)).cpu().numpy() for rates in inputs])

    def _check_rates(self, X):
        """What scikit-learn refuses is refused; but its check takes as long as embedding one bin."""
        plain = type(X) is np.ndarray and X.dtype in (np.float32, np.float64) and X.ndim == 2
        if plain and X.shape[1] == self.n_features_in_ and len(X) and not hasattr(self, "feature_names_in_"):
            if np.isfinite(X.sum()):
                return X
        return super()._check_rates(X)

    def _gatherer(self, rates, trial):
        """Callable: bins (B,) -> network inputs (B, window × N)."""
        windows = history(trial, len(rates), self.window)

        def gather(bins):
            seen = bins if self.window == 1 else windows(bins).ravel()
            return rates.index_select(0, torch.as_tensor(seen, device=rates.device)).view(len(bins), -1)

        return gather

    def _with_dropout(self, gather, n_neurons, generator):
        """`_gatherer`'s callable, with neurons hidden at random."""
        kept = 1 - self.neuron_dropout

        def hide(bins):
            inputs = gather(bins).view(len(bins), self.window, n_neurons)
            mask = torch.rand((len(bins), 1, n_neurons), generator=generator, device=inputs.device) < kept
            return (inputs * mask / kept).view(len(bins), -1)

        return hide

    def save(self, path: str | Path) -> None:
        """Write the fitted model to one safetensors file, atomically; parameters are stored as JSON."""
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
        if hasattr(self, "feature_names_in_"):
            header["feature_names_in"] = self.feature_names_in_
        with write_whole(path) as partial:
            save_file(tensors, partial, {"nerlib": json.dumps(header, default=lambda value: value.tolist())})

    @classmethod
    def load(cls, path: str | Path, device: str = "auto") -> Self:
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
            raise ValueError(f"{path} is not a complete safetensors file ({error}); save it again") from None
        if header is None or header["class"] != cls.__name__:
            found = "no model of nerlib" if header is None else f"a {header['class']}"
            raise ValueError(f"{path} holds {found}; expected a {cls.__name__}")
        given: dict = {k: tuple(v) if isinstance(v, list) else v for k, v in header["parameters"].items()}
        model = cls(**given | {"device": device})
        model.n_features_in_ = header["n_features_in"]
        if "feature_names_in" in header:
            model.feature_names_in_ = np.array(header["feature_names_in"], dtype=object)
        model.loss_curve_ = tensors.pop("loss_curve").numpy()
        model.n_iter_ = len(model.loss_curve_)
        encoder = Encoder(model.n_features_in_ * model.window, model.n_components)
        encoder.load_state_dict({k.removeprefix("encoder."): v for k, v in tensors.items()})
        model.encoder_ = encoder.to(pick_device(device)).eval()
        return model

    def _check_parameters(self):
        check_numbers(self, Integral, "n_components", "max_iter", "batch_size", "window")
        check_numbers(self, Real, "learning_rate")
        if not isinstance(self.neuron_dropout, Real) or not 0 <= self.neuron_dropout < 1:
            raise ValueError(
                f"neuron_dropout must be a probability, from 0 to below 1; got {self.neuron_dropout!r}"
            )
        if not isinstance(self.weight_averaging, Real) or not 0 <= self.weight_averaging <= 1:
            raise ValueError(
                f"weight_averaging must be a share of the steps, from 0 to 1; got {self.weight_averaging!r}"
            )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


@contextmanager
def _prefetched(batches, cores):
    """A function that requests the next batch, and returns one that waits for it."""
    if cores == 1:
        yield lambda: lambda: next(batches)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="nerlib-batches") as worker:
        yield lambda: worker.submit(next, batches).result
