"""What the methods share that train NER's network: all but how a batch is drawn, and its loss."""

from abc import abstractmethod
from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import torch
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted

from nerlib.encoders import Encoder, ReadIn
from nerlib.models import joint
from nerlib.models._common import FLOATS, Method, as_tensor, check_numbers, pick_device, seeded, train
from nerlib.models._saving import Saved
from nerlib.sampling import history, stacked

_BLOCK = 8192  # bins per forward pass of transform: their activations stay in the cache of a core
_NUMPY_MAX_ROWS = 16  # up to so many bins NumPy embeds faster than torch


@dataclass(eq=False, repr=False)
class EncoderMethod(Saved, Method):
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
    encoders_ : list of fitted torch modules, one a session; they share all layers but the first
    encoder_ : the first of them
    anchors_ : `joint.Anchors`, some of the training bins, to which `add_session` aligns
    loss_curve_ : float array (``n_iter_``,), the loss of each step
    n_iter_, n_features_in_ : int, steps taken, and neurons (of the first session)
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
        """How batches of bins are drawn from labels (T, k) and trials (T,) or None, and their loss.

        ``lengths`` are the bins of each session, None for one session; ``anchors``, a float32 array (M, d) or
        None, is the embedding of the first M bins if it is fixed. Returns an endless iterator of (int array
        of bins (B,), target, what the loss needs besides), a callable (embedding (B, d), target) -> scalar
        tensor, and a list of tensors to train, too.
        """

    def fit(self, X: Any, y: Any, trial: Any = None) -> Self:
        """Train on rates (T, N) in spikes/bin, labels (T, k) or (T,), trial ids (T,) or None; returns self.

        Labels of the paper are velocity x, y (mm/s) and direction (degrees). Neither history nor a time step
        crosses trials; None is one uninterrupted stretch. Lists of arrays, one a session, train jointly: a
        first layer for each session, all other layers shared, and one loss over bins of all sessions, so that
        all are embedded in one space. Raises ValueError or TypeError for bad parameters, NaN, lengths that
        disagree, and training that diverged.
        """
        self._check_parameters()
        if is_joint := joint.is_list(X):
            for name in ("encoder_", "feature_names_in_"):  # a fit that fails leaves no model behind
                self.__dict__.pop(name, None)
            sessions = joint.check_sessions(self, X, y, trial)
            self.n_features_in_ = sessions[0][0].shape[1]
        else:
            sessions = [self._check_data(X, y, trial)]
        device = pick_device(self.device)
        seeds = check_random_state(self.random_state).randint(np.iinfo(np.int32).max, size=3)
        labels, trial, lengths = joint.pool(sessions)
        with seeded(int(seeds[1])):
            n_neurons = [rates.shape[1] for rates, *_ in sessions]
            first = self._make_encoder(n_neurons[0], is_joint)
            others = [first.for_session(n, self.window) for n in n_neurons[1:]]
            encoders = [encoder.to(device) for encoder in (first, *others)]
            objective = self._objective(labels, trial, np.random.default_rng(seeds[0]), device, lengths)
        dropout = torch.Generator(device).manual_seed(int(seeds[2]))
        if is_joint:
            self.loss_curve_ = joint.train_jointly(self, encoders, sessions, objective, dropout)
        else:
            gather = self._gatherer(sessions[0][0], sessions[0][2], device, dropout)
            self.loss_curve_ = train(self, first.parameters(), lambda bins: first(gather(bins)), objective)
        self.n_iter_ = len(self.loss_curve_)
        self.encoders_ = [encoder.eval() for encoder in encoders]
        self.encoder_ = self.encoders_[0]
        self.anchors_ = joint.remember(self, sessions, seeds[0])
        return self

    def _make_encoder(self, n_neurons, is_joint):
        """The network of one session, or of the first of several, which has a `ReadIn`."""
        width, before = (ReadIn.WIDTH, [ReadIn(n_neurons)]) if is_joint else (n_neurons, [])
        sphere = getattr(self, "sphere", True)
        return Encoder(width * self.window, self.n_components, *before, sphere=sphere)

    def add_session(self, X: Any, y: Any, trial: Any = None, *, max_iter: int | None = None) -> int:
        """Calibrate a new session: fit a first layer for its neurons, and leave all other layers as they are.

        Batches hold as many bins of the new session as of `anchors_`, so that the loss aligns the new session
        with those of the fit; one decoder serves them all. A layer may put the session in a wrong place of
        the embedding, so three random starts are trained for a third of the steps, and the one with the
        lowest loss goes on. X, y and trial are as in `fit`; ``max_iter`` is the number of its steps, None for
        as many as the fit took. Returns the new session's number, for `transform`; raises as `fit` does, and
        ValueError where label columns disagree.
        """
        check_is_fitted(self)
        rates, labels, trial = joint.check_session(self, X, y, trial, "the new session")
        if labels.shape[1] != self.anchors_.labels.shape[1]:
            expected = f"the model was fitted with {self.anchors_.labels.shape[1]} label columns"
            raise ValueError(f"{expected}; the new session has {labels.shape[1]}")
        return joint.calibrate(self, rates, labels, trial, max_iter)

    def transform(self, X: Any, trial: Any = None, session: int | None = None) -> Any:
        """Embed rates (T, N) in spikes/bin: float32 array (T, n_components), rows of unit length on a sphere.

        A list of rates, one array per session in their order, and of trials gives a list. Trial ids (T,)
        matter when ``window`` > 1; ``session`` is the number of the session whose neurons these are, which a
        model of several needs. Raises ValueError for NaN, another number of neurons, an unknown session.
        """
        if not self.__sklearn_is_fitted__():
            check_is_fitted(self)  # raises; asking it every time takes a tenth of the time of one bin
        if joint.is_list(X):
            trial = [None] * len(X) if trial is None else trial
            return [self.transform(*one, session=i) for i, one in enumerate(zip(X, trial, strict=True))]
        known = len(self.encoders_)
        if session is None and known == 1:
            session = 0
        if not isinstance(session, Integral) or not 0 <= session < known:
            found = f"session is {session!r}, but the model has {known} session{'s' * (known > 1)}"
            raise ValueError(f"{found}; say whose neurons these are, 0 to {known - 1}")
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
            gather, bins = self._gatherer(X, trial), np.arange(len(X))
            inputs = (gather(bins[block]) for block in blocks)
        with torch.inference_mode():
            return np.concatenate([encoder(rates.to(device)).cpu().numpy() for rates in inputs])

    def _check_rates(self, X, session=0):
        """What scikit-learn refuses is refused; but its check takes as long as embedding one bin."""
        n_neurons = self.encoders_[session].n_neurons(self.window)
        plain = type(X) is np.ndarray and X.dtype in FLOATS and X.shape[1:] == (n_neurons,) and len(X)
        if plain and not hasattr(self, "feature_names_in_") and np.isfinite(X.sum()):
            return X
        if session == 0:
            return super()._check_rates(X)
        X = check_array(X, dtype=FLOATS)
        if X.shape[1] != n_neurons:
            raise ValueError(f"session {session} was fitted with {n_neurons} neurons; X has {X.shape[1]}")
        return X

    def _gatherer(self, rates, trial, device="cpu", dropout=None):
        """Callable: bins (B,) -> network inputs (B, window × N); ``dropout`` draws the neurons to hide."""
        rates, windows = as_tensor(rates).to(device), history(trial, len(rates), self.window)
        kept = 1 - self.neuron_dropout

        def gather(bins):
            seen = bins if self.window == 1 else windows(bins).ravel()
            inputs = rates.index_select(0, torch.as_tensor(seen, device=device))
            if dropout is not None and self.neuron_dropout:
                inputs = inputs.view(len(bins), self.window, -1)
                mask = torch.rand((len(bins), 1, inputs.shape[2]), generator=dropout, device=device) < kept
                inputs = inputs * mask / kept
            return inputs.view(len(bins), -1)

        return gather

    def _check_parameters(self):
        check_numbers(self, Integral, "n_components", "max_iter", "batch_size", "window")
        check_numbers(self, Real, "learning_rate")
        if hasattr(self, "temperature"):
            check_numbers(self, Real, "temperature")
        dropout, averaging = self.neuron_dropout, self.weight_averaging
        if not isinstance(dropout, Real) or not 0 <= dropout < 1:
            raise ValueError(f"neuron_dropout must be a probability, from 0 to below 1; got {dropout!r}")
        if not isinstance(averaging, Real) or not 0 <= averaging <= 1:
            raise ValueError(f"weight_averaging must be a share of the steps, from 0 to 1; got {averaging!r}")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
