"""pi-VAE (Zhou and Wei, NeurIPS 2020): a Poisson VAE whose latent has a prior given the movement.

With rates x in a window, labels u of its middle bin and the latent z,

    p(z|u) = N(prior network)        q(z|x) = N(encoder)        q(z|x,u) ∝ q(z|x) p(z|u)
    p(x|z) = Poisson(softplus(f(z))), f injective: z padded by a network to one entry a neuron, then mixed
    loss   = KL(q(z|x,u) ‖ p(z|u)) − E_q(z|x,u) log p(x|z), the mean over bins
"""

from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import torch
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, check_non_negative
from torch import nn
from torch.nn.functional import gelu, linear, logsigmoid, softplus
from tqdm import trange

from nerlib.models._common import Method, as_tensor, check_numbers, pick_device, seeded, single_thread

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

        Raises ValueError or TypeError for bad parameters, NaN, negative rates, fewer neurons than dimensions,
        lengths that disagree, and training that diverged.
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
        if labels.shape[1] != (given := len(self.label_mean_)):
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
                    prior = self.model_.prior(self._scaled(labels[bins.numpy()], device))
                    mean, _ = gaussian_product(mean, log_variance, *prior.chunk(2, -1))
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


class Model(nn.Module):
    """Windows (w, B, N), scaled labels and normal noise (B, d) to the loss and its KL part, nats a bin."""

    def __init__(self, n_neurons, n_labels, n_components, window):
        super().__init__()
        self.prior = _mlp(n_labels, 20, 2 * n_components, nn.Tanh)
        self.encoder = WindowEncoder(n_neurons, n_components, window)
        self.decoder = Decoder(n_components, n_neurons)
        self.middle = window // 2

    def forward(self, windows, labels, noise):
        prior = self.prior(labels).chunk(2, -1)  # mean, log-variance (B, d)
        mean, log_variance = gaussian_product(*self.encoder(windows), *prior)
        latent = mean + noise * (log_variance / 2).exp()
        kl = gaussian_kl(mean, log_variance, *prior).mean()
        return kl - poisson_log_likelihood(windows[self.middle], self.decoder(latent)).mean(), kl


def gaussian_kl(mean, log_variance, prior_mean, prior_log_variance):
    """KL(N(mean, variance) ‖ N(prior)) of diagonal Gaussians: tensors (..., d) -> (...), nats."""
    distance = (mean - prior_mean) ** 2 / prior_log_variance.exp()
    ratio = log_variance - prior_log_variance
    return 0.5 * (ratio.exp() - ratio + distance - 1).sum(-1)


def gaussian_product(mean_a, log_variance_a, mean_b, log_variance_b):
    """Mean and log-variance of the normalised product of two diagonal Gaussians: tensors (..., d)."""
    difference = log_variance_b - log_variance_a
    share = torch.sigmoid(difference)  # of a in the mean: σ_b² / (σ_a² + σ_b²)
    return mean_b + share * (mean_a - mean_b), log_variance_a + logsigmoid(difference)


def poisson_log_likelihood(counts, rate):
    """log Poisson(counts; rate), lgamma continuing the factorial: tensors (..., N) -> (...), nats."""
    return (counts * rate.log() - rate - torch.lgamma(counts + 1)).sum(-1)


def centred_windows(rates, trial, window):
    """A callable from bins (B,) to windows (w, B, N) of rates (T, N), in order of time.

    From w//2 bins before a bin to (w−1)//2 after it, zero outside of the trial; None is one stretch.
    """
    n_bins, offsets = len(rates), torch.arange(window, device=rates.device) - window // 2
    change = np.zeros(n_bins - 1, bool) if trial is None else trial[1:] != trial[:-1]
    stretch = torch.as_tensor(np.r_[0, change.cumsum(), -1], device=rates.device)
    padded = torch.cat([rates, rates.new_zeros(1, rates.shape[1])])

    def gather(bins):
        seen = (bins + offsets[:, None]).clamp_(-1, n_bins)  # both ends are the zeros of the padding
        return padded[seen.masked_fill_(stretch[seen] != stretch[bins], n_bins)]

    return gather


class WindowEncoder(nn.Module):
    """q(z|x): windows of rates (w, B, N) -> mean, log-variance (B, d).

    Five convolutions over time, the middle three residual, shrink the window to one point; kernels of 2, 3,
    3, 3, 3 bins for the published window of 10, and the first one takes up any other window.
    """

    def __init__(self, n_neurons, n_components, window, width=32):
        super().__init__()
        threes = min(4, (window - 1) // 2)
        kernels = [3] * threes + [1] * (4 - threes)
        self.first = nn.Conv1d(n_neurons, width, window - 2 * threes)
        self.residual = nn.ModuleList(nn.Conv1d(width, width, kernel) for kernel in kernels[:3])
        self.last = nn.Conv1d(width, 2 * n_components, kernels[3])

    def forward(self, windows):
        hidden = gelu(convolve(self.first, windows))
        for layer in self.residual:
            lost = layer.kernel_size[0] // 2
            hidden = hidden[lost : len(hidden) - lost] + gelu(convolve(layer, hidden))
        return convolve(self.last, hidden).squeeze(0).chunk(2, -1)


def convolve(layer, values):
    """A Conv1d over the first axis of (w, B, channels), as one matrix product: faster on short windows."""
    (places,) = layer.kernel_size
    length = len(values) - places + 1
    seen = torch.cat([values[place : place + length] for place in range(places)], -1)
    return linear(seen, layer.weight.transpose(1, 2).flatten(1), layer.bias)


class Coupling(nn.Module):
    """Volume-preserving affine coupling (GIN): (a, b) -> (a, b·exp(s(a)) + t(a)), Σs = 0, |s| < 0.2."""

    def __init__(self, n_features, hidden):
        super().__init__()
        self.kept = n_features // 2
        self.network = _mlp(self.kept, hidden, 2 * (n_features - self.kept), nn.ReLU)

    def forward(self, values):
        kept, moved = values[..., : self.kept], values[..., self.kept :]
        scale, shift = self.network(kept).chunk(2, -1)
        scale = 0.1 * torch.tanh(scale)
        return torch.cat([kept, moved * (scale - scale.mean(-1, keepdim=True)).exp() + shift], -1)


class Decoder(nn.Module):
    """p(x|z): latents (B, d) -> rates (B, N): z padded to N entries, two GIN blocks, softplus.

    A block is a fixed permutation and two couplings, so that each half moves once.
    """

    def __init__(self, n_components, n_neurons):
        super().__init__()
        hidden = max(30, n_neurons // 4)
        self.padding = _mlp(n_components, hidden, n_neurons - n_components, nn.ReLU)
        self.couplings = nn.ModuleList(Coupling(n_neurons, hidden) for _ in range(4))
        self.register_buffer("orders", torch.stack([torch.randperm(n_neurons) for _ in range(2)]))

    def forward(self, latent):
        values = torch.cat([latent, self.padding(latent)], -1)
        for order, first, second in zip(self.orders, self.couplings[::2], self.couplings[1::2], strict=True):
            values = second(first(values.index_select(-1, order)).flip(-1))
        return softplus(values) + 1e-7


def _mlp(n_inputs, hidden, n_outputs, activation):
    layers = nn.Linear(n_inputs, hidden), activation(), nn.Linear(hidden, hidden), activation()
    return nn.Sequential(*layers, nn.Linear(hidden, n_outputs))
