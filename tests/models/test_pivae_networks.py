"""The networks of pi-VAE: each term against an independent reference."""

import numpy as np
import pytest
import torch
from torch.distributions import Normal, Poisson, kl_divergence

from nerlib.models.pivae import (
    Coupling,
    Decoder,
    WindowEncoder,
    centred_windows,
    convolve,
    gaussian_kl,
    gaussian_product,
    poisson_log_likelihood,
)


@pytest.fixture
def gaussians():
    """Means and log-variances (5, 3) of two diagonal Gaussians, float64."""
    return torch.randn(4, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def _normals(gaussians):
    return [Normal(m, (v / 2).exp()) for m, v in (gaussians[:2], gaussians[2:])]


def test_kl_is_that_of_torch_and_of_monte_carlo(gaussians):
    ours = gaussian_kl(*gaussians)
    posterior, prior = _normals(gaussians)
    assert torch.allclose(ours, kl_divergence(posterior, prior).sum(-1), rtol=1e-12)
    noise = torch.randn(100_000, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    drawn = posterior.mean + noise * posterior.stddev
    ratio = (posterior.log_prob(drawn) - prior.log_prob(drawn)).sum(-1)
    assert ((ratio.mean(0) - ours).abs() < 5 * ratio.std(0) / 100_000**0.5).all()
    assert torch.equal(gaussian_kl(*gaussians[:2], *gaussians[:2]), torch.zeros(5, dtype=torch.float64))


def test_poisson_likelihood_is_that_of_torch():
    generator = torch.Generator().manual_seed(0)
    rate = 5 * torch.rand(6, 9, dtype=torch.float64, generator=generator) + 0.01
    counts = torch.poisson(rate, generator=generator)
    assert torch.allclose(poisson_log_likelihood(counts, rate), Poisson(rate).log_prob(counts).sum(-1))
    between = poisson_log_likelihood(counts + 0.5, rate)  # smoothed counts are not whole numbers
    assert torch.allclose(between, Poisson(rate, validate_args=False).log_prob(counts + 0.5).sum(-1))


def test_product_is_the_normalised_product_on_a_grid(gaussians):
    mean, log_variance = gaussian_product(*gaussians)
    grid = torch.linspace(-30, 30, 60_001, dtype=torch.float64)[:, None, None]
    density = torch.stack([g.log_prob(grid) for g in _normals(gaussians)]).sum(0).exp()
    density /= density.sum(0)
    expected = (density * grid).sum(0)
    assert torch.allclose(mean, expected, atol=1e-9)
    assert torch.allclose(log_variance.exp(), (density * (grid - expected) ** 2).sum(0), atol=1e-9)


def test_product_with_a_far_sharper_gaussian_is_that_one():
    mean, log_variance = gaussian_product(*torch.tensor([[3.0], [200.0], [-1.0], [-200.0]]))
    assert (mean.item(), log_variance.item()) == (-1.0, -200.0)


def _jacobian(function, point):
    return torch.autograd.functional.jacobian(function, point)


@pytest.mark.parametrize("n_features", [2, 5, 8])
def test_couplings_preserve_volume(n_features):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        coupling = Coupling(n_features, 16).double()
        for parameter in coupling.parameters():
            parameter.data.mul_(3)  # away from the identity that small weights give
        for point in torch.randn(5, n_features, dtype=torch.float64):
            jacobian = _jacobian(coupling, point)
            assert torch.linalg.det(jacobian).abs().item() == pytest.approx(1, abs=1e-12)
            assert torch.equal(coupling(point)[: n_features // 2], point[: n_features // 2])
    if n_features > 3:
        assert (jacobian.diagonal() - 1).abs().max() > 1e-3  # it does scale, only not in sum


def test_decoder_is_the_formula_and_injective():
    """The first entries of what is mixed are the latent itself, so that mixing without loss is injective."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        decoder = Decoder(3, 7).double()
        latent = torch.randn(4, 3, dtype=torch.float64)
    mixed = torch.cat([latent, decoder.padding(latent)], 1)
    for block in range(2):
        mixed = decoder.couplings[2 * block](mixed[:, decoder.orders[block]])
        mixed = decoder.couplings[2 * block + 1](mixed.flip(1))
    assert torch.allclose(decoder(latent), torch.log1p(mixed.exp()) + 1e-7, rtol=1e-12)
    assert sorted(decoder.orders[0].tolist()) == list(range(7))
    assert all(torch.linalg.matrix_rank(_jacobian(decoder, point)) == 3 for point in latent)


@pytest.mark.parametrize("window", [1, 2, 5, 9, 10, 13])
def test_windows_are_centred_and_stay_within_the_trial(window):
    trial = np.repeat([3, 1, 2], [4, 12, 7])
    rates = torch.arange(1.0, 24).repeat(2, 1).T
    found = centred_windows(rates, trial, window)(torch.arange(23))
    for bin_, seen in enumerate(found.transpose(0, 1)):
        around = range(bin_ - window // 2, bin_ - window // 2 + window)
        expected = [b + 1.0 if 0 <= b < 23 and trial[b] == trial[bin_] else 0.0 for b in around]
        assert seen[:, 0].tolist() == seen[:, 1].tolist() == expected
    mean, log_variance = WindowEncoder(2, 3, window)(found)
    assert mean.shape == log_variance.shape == (23, 3)


@pytest.mark.parametrize("kernel", [1, 2, 3, 7])
def test_convolution_is_that_of_torch(kernel):
    layer, values = torch.nn.Conv1d(4, 5, kernel).double(), torch.randn(7, 6, 4, dtype=torch.float64)
    assert torch.allclose(convolve(layer, values), layer(values.permute(1, 2, 0)).permute(2, 0, 1))


def test_encoder_of_the_paper():
    encoder = WindowEncoder(50, 3, 10)
    kernels = [layer.kernel_size[0] for layer in (encoder.first, *encoder.residual, encoder.last)]
    assert kernels == [2, 3, 3, 3, 3] and encoder.first.out_channels == 32
