"""The networks of pi-VAE, the windows of rates that they see, and the terms of the loss.

With rates x in a window, labels u of its middle bin and the latent z,

    p(z|u) = N(prior network)        q(z|x) = N(encoder)        q(z|x,u) ∝ q(z|x) p(z|u)
    p(x|z) = Poisson(softplus(f(z))), f injective: z padded by a network to one entry a neuron, then mixed
    loss   = KL(q(z|x,u) ‖ p(z|u)) − E_q(z|x,u) log p(x|z), the mean over bins
"""

import numpy as np
import torch
from torch import nn
from torch.nn.functional import gelu, linear, logsigmoid, softplus


class Model(nn.Module):
    """Windows (w, B, N), scaled labels and normal noise (B, d) to the loss and its KL part, nats a bin."""

    def __init__(self, n_neurons, n_labels, n_components, window):
        super().__init__()
        self.prior = _mlp(n_labels, 20, 2 * n_components, nn.Tanh)
        self.encoder = WindowEncoder(n_neurons, n_components, window)
        self.decoder = Decoder(n_components, n_neurons)
        self.middle = window // 2

    def label_prior(self, labels):
        """p(z|u): scaled labels (B, k) -> mean, log-variance (B, d)."""
        return self.prior(labels).chunk(2, -1)

    def forward(self, windows, labels, noise):
        prior = self.label_prior(labels)
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
