"""What the methods share that train NER's network: fit, transform, save and load.

Such a method only says how a batch is drawn and what its loss is; see `EncoderMethod._objective`.
"""

from abc import abstractmethod
from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from tqdm import trange

from nerlib.encoders import Encoder, ReadIn
from nerlib.models import _saving, joint
from nerlib.models._common import Method, as_tensor, check_numbers, pick_device, seeded
from nerlib.models._training import train
from nerlib.sampling import history, stacked

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
    encoder_ : torch module, fitted; of several sessions, that of the first
    encoders_ : list of torch modules, one a session; they share all layers but the first
    anchors_ : `joint.Anchors`, some of the training bins, to which `add_session` aligns
    loss_curve_ : float array (``n_iter_``,), the loss of each step
    n_iter_ : int, steps taken
    n_features_in_ : int, neurons (of the first session)
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
    def _objective(self, labels, trial, rng, device, lengths=None, anchors=None):
        """How a batch is drawn, and its loss.

        Parameters
        ----------
        labels : float64 array (T, k)
        trial : int array (T,) or None
        rng : numpy.random.Generator
        device : torch.device
        lengths : ints, the bins of each session, which are drawn equally often; None: one session
        anchors : float32 array (M, n_components) or None, the embedding of the first M bins if it is fixed

        Returns
        -------
        batches : endless iterator of (bins, target): an int array (B,), and what the loss needs besides
        loss : callable, (embedding (B, n_components), target) -> scalar tensor
        parameters : list of tensors to train together with the encoder's
        """

    def fit(self, X: Any, y: Any, trial: Any = None) -> Self:
        """Train the network, on one session or on several.

        Lists of arrays, one a session, train jointly: a first layer for each session, all other layers
        shared, and one loss over bins of all sessions, so that all are embedded in one space.

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
        if is_joint := joint.is_list(X):
            sessions = joint.check_sessions(self, X, y, trial)
            self.n_features_in_ = sessions[0][0].shape[1]
            self.__dict__.pop("feature_names_in_", None)
        else:
            sessions = [self._check_data(X, y, trial)]
        self.__dict__.pop("encoder_", None)  # a fit that fails leaves no model behind
        device = pick_device(self.device)
        seeds = check_random_state(self.random_state).randint(np.iinfo(np.int32).max, size=3)
        labels, trial, lengths = joint.pool(sessions)
        with seeded(int(seeds[1])):
            n_neurons = [rates.shape[1] for rates, *_ in sessions]
            encoders = [self._make_encoder(n_neurons[0], is_joint)]
            encoders += [encoders[0].for_session(n, self.window) for n in n_neurons[1:]]
            encoders = [encoder.to(device) for encoder in encoders]
            objective = self._objective(labels, trial, np.random.default_rng(seeds[0]), device, lengths)
        dropout = torch.Generator(device).manual_seed(int(seeds[2]))
        if not is_joint:
            gather = self._training_gatherer(sessions[0][0], sessions[0][2], device, dropout)
            weights, embed = encoders[0].parameters(), lambda bins: encoders[0](gather(bins))
            self.loss_curve_ = self._train(weights, embed, objective)
        else:
            self.loss_curve_ = joint.train_jointly(self, encoders, sessions, objective, dropout)
        self.n_iter_ = len(self.loss_curve_)
        self.encoders_ = [encoder.eval() for encoder in encoders]
        self.encoder_ = self.encoders_[0]
        self.anchors_ = joint.remember(self, sessions, seeds[0])
        return self

    def _make_encoder(self, n_neurons, is_joint):
        """The network of one session, or of the first of several, which has a `ReadIn`."""
        if not is_joint:
            return Encoder(n_neurons * self.window, self.n_components)
        return Encoder(ReadIn.WIDTH * self.window, self.n_components, ReadIn(n_neurons))

    def add_session(self, X: Any, y: Any, trial: Any = None, *, max_iter: int | None = None) -> int:
        """Calibrate a new session: fit a first layer for its neurons, and leave all other layers as they are.

        Batches hold as many bins of the new session as of `anchors_`, so that the loss aligns the new session
        with those of the fit; one decoder serves them all.

        Parameters
        ----------
        X, y, trial : rates (T, N), labels (T, k) and trial ids (T,) or None of the new session, as in `fit`
        max_iter : int or None, training steps; None: as many as the fit took

        Returns
        -------
        int, the number of the new session, for `transform`

        Raises
        ------
        ValueError, TypeError : ``max_iter`` no positive integer, NaN, lengths or label columns that disagree
        """
        check_is_fitted(self)
        rates, labels, trial = joint.check_session(self, X, y, trial, "the new session")
        if labels.shape[1] != self.anchors_.labels.shape[1]:
            expected = f"the model was fitted with {self.anchors_.labels.shape[1]} label columns"
            raise ValueError(f"{expected}; the new session has {labels.shape[1]}")
        return joint.calibrate(self, rates, labels, trial, max_iter)

    def _train(self, weights, embed, objective, max_iter=None):
        """Fit weights; ``embed`` maps bins (B,) to points (B, d). Returns the loss of each step."""
        steps = trange(max_iter or self.max_iter, desc=type(self).__name__, disable=not self.verbose)
        rate, averaging = self.learning_rate, self.weight_averaging
        losses = train(list(weights), embed, objective, steps, learning_rate=rate, weight_averaging=averaging)
        if not np.isfinite(losses).all():
            raise self._diverged(f"step {int(np.argmin(np.isfinite(losses)))}")
        return losses

    def transform(self, X: Any, trial: Any = None, session: int | None = None) -> Any:
        """Embed rates.

        Parameters
        ----------
        X : array (T, N), rates (spikes/bin); or a list of them, one per session, in their order
        trial : int array (T,) or None, the trial of each bin; matters when ``window`` > 1. With a list of
            sessions: a list, or None
        session : int or None, the number of the session whose neurons these are; needed for a model of
            several sessions

        Returns
        -------
        float32 array (T, n_components), rows of unit length; or a list of them

        Raises
        ------
        ValueError : NaN, another number of neurons, a session that the model does not know
        """
        if not self.__sklearn_is_fitted__():
            check_is_fitted(self)  # raises; asking it every time takes a tenth of the time of one bin
        if joint.is_list(X):
            trial = [None] * len(X) if trial is None else trial
            return [self.transform(*one, session=i) for i, one in enumerate(zip(X, trial, strict=True))]
        session = self._check_session(session)
        X = self._check_rates(X, session)
        return self._embed(X, self._check_trial(trial, len(X)), session)

    def _embed(self, X, trial, session):
        """`transform` of checked arrays of one session."""
        encoder = self.encoders_[session]
        device = encoder[0].weight.device
        if len(X) <= _NUMPY_MAX_ROWS and device.type == "cpu":
            return encoder.embed_few(stacked(np.asarray(X, np.float32), trial, self.window))
        blocks = [slice(start, start + _BLOCK) for start in range(0, len(X), _BLOCK)]
        if self.window == 1:
            inputs = (as_tensor(X[block]) for block in blocks)
        else:
            gather, bins = self._gatherer(as_tensor(X), trial), np.arange(len(X))
            inputs = (gather(bins[block]) for block in blocks)
        with torch.inference_mode():
            return np.concatenate([encoder(rates.to(device)).cpu().numpy() for rates in inputs])

    def _check_session(self, session):
        known = len(self.encoders_)
        if session is None and known == 1:
            return 0
        if not isinstance(session, Integral) or not 0 <= session < known:
            raise ValueError(
                f"session is {session!r}, but the model has {known} session{'s' * (known > 1)}; "
                f"say whose neurons these are, 0 to {known - 1}"
            )
        return int(session)

    def _check_rates(self, X, session=0):
        """What scikit-learn refuses is refused; but its check takes as long as embedding one bin."""
        plain = type(X) is np.ndarray and X.dtype in (np.float32, np.float64) and X.ndim == 2
        n_neurons = self.encoders_[session].n_neurons(self.window)
        if plain and X.shape[1] == n_neurons and len(X) and not hasattr(self, "feature_names_in_"):
            if np.isfinite(X.sum()):
                return X
        return super()._check_rates(X) if session == 0 else joint.check_rates(X, n_neurons, session)

    def _gatherer(self, rates, trial):
        """Callable: bins (B,) -> network inputs (B, window × N)."""
        windows = history(trial, len(rates), self.window)

        def gather(bins):
            seen = bins if self.window == 1 else windows(bins).ravel()
            return rates.index_select(0, torch.as_tensor(seen, device=rates.device)).view(len(bins), -1)

        return gather

    def _training_gatherer(self, rates, trial, device, generator):
        """`_gatherer`'s callable; with neurons hidden at random where that is asked for."""
        gather = self._gatherer(as_tensor(rates).to(device), trial)
        n_neurons, kept = rates.shape[1], 1 - self.neuron_dropout

        def hide(bins):
            inputs = gather(bins).view(len(bins), self.window, n_neurons)
            mask = torch.rand((len(bins), 1, n_neurons), generator=generator, device=inputs.device) < kept
            return (inputs * mask / kept).view(len(bins), -1)

        return hide if self.neuron_dropout else gather

    def save(self, path: str | Path) -> None:
        """Write the fitted model to one safetensors file, atomically; parameters are stored as JSON."""
        check_is_fitted(self)
        _saving.save(self, path)

    @classmethod
    def load(cls, path: str | Path, device: str = "auto") -> Self:
        """Read a model that `save` wrote.

        Raises
        ------
        FileNotFoundError : no such file
        ValueError : not a file that `save` wrote, or of another class
        """
        return _saving.load(cls, path, device)

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
