"""pi-VAE (Zhou and Wei, NeurIPS 2020): a Poisson VAE whose latent has a prior given the movement."""

from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import torch
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, check_non_negative
from tqdm import trange

from nerlib.models._common import Method, as_tensor, check_numbers, pick_device, seeded, single_thread
from nerlib.models._pivae_networks import Model, centred_windows, gaussian_product

_BLOCK = 8192  # bins per forward pass of transform


@dataclass(eq=False, repr=False)
class PiVAE(Method):
    """pi-VAE: rates in a window to a Gaussian over the latent.

    The convolutional form that the NER paper compares with (Methods page, *Other methods*). `fit` keeps the
    last epoch on all trials: of the paper's 60/20/20 split, the 60 and the validation 20.

    Parameters
    ----------
    n_components : int, dimensions of the latent; at most the number of neurons
    window : int, bins that the encoder sees, the current one in the middle; zeros beyond the trial's ends
    max_iter, batch_size : int, epochs (the paper: 300) and bins per step
    learning_rate : float, Adam's rate (the paper: 2.5e-4)
    scale_labels : bool, whether the prior sees each label column with mean 0 and s.d. 1 (the paper: False;
        mm/s and degrees saturate its tanh units)
    random_state, device, verbose : as in `EncoderMethod`

    Attributes
    ----------
    model_ : torch module, fitted: prior, encoder and decoder
    label_mean_, label_scale_ : float arrays (k,), which standardise the labels
    loss_curve_, kl_curve_ : float arrays (``n_iter_``,), the negative evidence lower bound of each epoch, and
        its KL part: what the latent holds beyond the labels (nats per bin)
    n_iter_, n_features_in_ : int, epochs and neurons
    """

    _fitted = "model_"
    n_components: int = 3
    _: KW_ONLY
    window: int = 10
    max_iter: int = 300
    batch_size: int = 200
    learning_rate: float = 2.5e-4
    scale_labels: bool = True
    random_state: Any = None
    device: str = "auto"
    verbose: bool = False

    def fit(self, X: Any, y: Any, trial: Any = None) -> Self:
        """Train on rates (T, N) >= 0, labels (T, k) or (T,), and trials (T,) or None for one; returns self.

        Raises
        ------
        ValueError, TypeError : bad parameters, NaN, negative rates, fewer neurons than dimensions, lengths
            that disagree, training that diverged
        """
        check_numbers(self, Integral, "n_components", "window", "max_iter", "batch_size")
        check_numbers(self, Real, "learning_rate")
        X, labels, trial = self._check_data(X, y, trial, ensure_min_features=max(2, self.n_components))
        check_non_negative(X, "PiVAE.fit, whose rates are counts")
        self.label_mean_, self.label_scale_ = np.zeros(labels.shape[1]), np.ones(labels.shape[1])
        if self.scale_labels:
            scale = labels.std(0)
            self.label_mean_, self.label_scale_ = labels.mean(0), np.where(scale > 0, scale, 1)
        seeds = check_random_state(self.random_state).randint(np.iinfo(np.int32).max, size=2)
        device = pick_device(self.device)
        with seeded(int(seeds[0])):
            model = Model(X.shape[1], labels.shape[1], self.n_components, self.window).to(device)
        with single_thread():
            self.loss_curve_, self.kl_curve_ = self._train(model, X, labels, trial, int(seeds[1]), device)
        self.n_iter_, self.model_ = self.max_iter, model
        return self

    def _train(self, model, X, labels, trial, seed, device):
        gather = centred_windows(as_tensor(X).to(device), trial, self.window)
        labels = self._scaled(labels, device)
        generator = torch.Generator().manual_seed(seed)
        optimizer = torch.optim.Adam(model.parameters(), lr=self.learning_rate, fused=True)
        curves = np.empty((2, self.max_iter))
        for epoch in trange(self.max_iter, desc=type(self).__name__, disable=not self.verbose):
            total = torch.zeros(2, device=device)
            for bins in torch.randperm(len(X), generator=generator).split(self.batch_size):
                noise = torch.randn(len(bins), self.n_components, generator=generator).to(device)
                bins = bins.to(device)
                optimizer.zero_grad()
                loss, kl = model(gather(bins), labels[bins], noise)
                loss.backward()
                optimizer.step()
                total += torch.stack([loss, kl]).detach() * len(bins)
            curves[:, epoch] = total.cpu().numpy() / len(X)
            if not np.isfinite(curves[0, epoch]):
                raise self._diverged(f"epoch {epoch}")
        return curves

    def transform(self, X: Any, trial: Any = None) -> np.ndarray:
        """Embed rates (T, N) without labels: the mean of q(z|x), float32 array (T, n_components)."""
        X = self._check_rates(X)
        return self._embed(X, None, self._check_trial(trial, len(X)))

    def published_embedding(self, X: Any, y: Any, trial: Any = None) -> np.ndarray:
        """The published embedding: the mean of q(z|x,u) given the true labels, float32 (T, n_components).

        No test of held-out data: where the prior is far sharper than the encoder (see ``kl_curve_``), this is
        nearly a function of the labels alone.
        """
        check_is_fitted(self)
        X, labels, trial = self._check_data(X, y, trial, reset=False)
        if labels.shape[1] != len(self.label_mean_):
            given = len(self.label_mean_)
            raise ValueError(f"y has {labels.shape[1]} label columns, but fit was given {given}")
        return self._embed(X, labels, trial)

    def _embed(self, X, labels, trial):
        device = next(self.model_.parameters()).device
        gather = centred_windows(as_tensor(X), trial, self.window)
        embedding = np.empty((len(X), self.n_components), np.float32)
        with torch.inference_mode():
            for bins in torch.arange(len(X)).split(_BLOCK):
                mean, log_variance = self.model_.encoder(gather(bins).to(device))
                if labels is not None:
                    prior = self.model_.label_prior(self._scaled(labels[bins.numpy()], device))
                    mean, _ = gaussian_product(mean, log_variance, *prior)
                embedding[bins.numpy()] = mean.cpu().numpy()
        return embedding

    def _scaled(self, labels, device):
        scaled = (labels - self.label_mean_) / self.label_scale_
        return torch.as_tensor(scaled, dtype=torch.float32, device=device)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
