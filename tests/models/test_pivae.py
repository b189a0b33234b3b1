"""pi-VAE: each term against an independent reference, then the model on data drawn from its own process."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import PolynomialFeatures
from sklearn.utils.estimator_checks import check_estimator
from torch.distributions import Normal, Poisson, kl_divergence

from nerlib.models.pivae import (
    Coupling,
    Decoder,
    PiVAE,
    WindowEncoder,
    centred_windows,
    gaussian_kl,
    gaussian_product,
    poisson_log_likelihood,
)

QUICK = {"max_iter": 2, "batch_size": 50, "random_state": 0, "device": "cpu"}


@pytest.fixture(scope="module")
def data():
    """Counts of 8 neurons in 10 trials of 12 bins, three label columns, trial ids."""
    rng = np.random.default_rng(0)
    labels = rng.normal(size=(120, 3)) * [100.0, 100.0, 90.0]
    return rng.poisson(1.0, size=(120, 8)).astype(float), labels, np.repeat(np.arange(10), 12)


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
    for bin_, seen in enumerate(found):
        around = range(bin_ - window // 2, bin_ - window // 2 + window)
        expected = [b + 1.0 if 0 <= b < 23 and trial[b] == trial[bin_] else 0.0 for b in around]
        assert seen[:, 0].tolist() == seen[:, 1].tolist() == expected
    mean, log_variance = WindowEncoder(2, 3, window)(found)
    assert mean.shape == log_variance.shape == (23, 3)


def test_encoder_of_the_paper():
    encoder = WindowEncoder(50, 3, 10)
    kernels = [layer.kernel_size[0] for layer in (encoder.first, *encoder.residual, encoder.last)]
    assert kernels == [2, 3, 3, 3, 3] and encoder.first.out_channels == 32


def test_embedding_sees_its_window_and_no_other_trial(data):
    rates, labels, trial = data
    model = PiVAE(**QUICK).fit(rates, labels, trial)
    before = model.transform(rates, trial)
    changed = rates.copy()
    changed[18] += 1.0  # the seventh bin of the second trial, bins 12 to 23
    moved = (model.transform(changed, trial) != before).any(axis=1)
    assert np.flatnonzero(moved).tolist() == list(range(14, 24))
    together = model.transform(changed) != model.transform(rates)
    assert np.flatnonzero(together.any(axis=1)).tolist() == list(range(14, 24))
    first_trial_only = model.transform(rates[:12], trial[:12])
    assert np.allclose(first_trial_only, before[:12], atol=1e-6)


def _generated(n_trials, seed):
    """Trials of the model itself: labels u, latent z ~ N(m(u), s(u)²), injective mixing, Poisson counts."""
    rng, mixing = np.random.default_rng(seed), np.random.default_rng(0)
    u = rng.uniform(-1.7, 1.7, size=(n_trials * 40, 2))
    mean = np.column_stack([u[:, 0], 0.8 * u[:, 1] + 0.6 * np.sin(2 * u[:, 0])])
    latent = mean + (0.3 + 0.3 / (1 + np.exp(-u[:, ::-1]))) * rng.normal(size=mean.shape)
    first = latent @ mixing.normal(size=(2, 60))
    waves = np.sin(first + mixing.uniform(0, 6, 60))
    bent = 0.4 * first + 2 * waves @ mixing.normal(size=(60, 60)) / 60**0.5
    counts = rng.poisson(1.5 * np.log1p(np.exp(bent + 0.5)))
    return counts.astype(float), u, np.repeat(np.arange(n_trials), 40), latent


def test_recovers_the_latent_of_its_own_process_up_to_an_affine_map():
    """On new trials, from the rates alone: better than the labels could do, or regression on the rates.

    Three seeds give R² 0.93 to 0.94 for q(z|x), 0.94 to 0.95 for q(z|x,u); labels 0.82, rates 0.89.
    """
    rates, labels, trial, latent = _generated(60, seed=1)
    model = PiVAE(2, window=1, max_iter=40, learning_rate=2e-3, random_state=0, device="cpu")
    model.fit(rates, labels, trial)
    new_rates, new_labels, new_trial, new_latent = _generated(20, seed=2)

    def r2(embedding, new_embedding):
        return LinearRegression().fit(embedding, latent).score(new_embedding, new_latent)

    alone = r2(model.transform(rates, trial), model.transform(new_rates, new_trial))
    given = r2(
        model.published_embedding(rates, labels, trial),
        model.published_embedding(new_rates, new_labels, new_trial),
    )
    bent = PolynomialFeatures(5)
    from_labels = r2(bent.fit_transform(labels), bent.fit_transform(new_labels))
    assert alone > 0.9 and given > 0.9
    assert min(alone, given) > max(from_labels, r2(rates, new_rates)) + 0.02
    assert model.loss_curve_[-1] < model.loss_curve_[0] and model.kl_curve_[-1] > 0.5


def test_same_seed_same_bits_and_global_state_untouched(data):
    rates, labels, trial = data
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, second = (PiVAE(**QUICK).fit(rates, labels, trial) for _ in range(2))
    other = PiVAE(**{**QUICK, "random_state": 1}).fit(rates, labels, trial)
    assert np.array_equal(first.transform(rates, trial), second.transform(rates, trial))
    assert np.array_equal(
        first.published_embedding(rates, labels, trial), second.published_embedding(rates, labels, trial)
    )
    assert np.array_equal(first.loss_curve_, second.loss_curve_)
    assert not np.array_equal(first.transform(rates, trial), other.transform(rates, trial))
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])


def test_blocks_do_not_change_the_embedding(data, monkeypatch):
    rates, labels, trial = data
    model = PiVAE(**QUICK).fit(rates, labels, trial)
    whole = model.transform(rates, trial), model.published_embedding(rates, labels, trial)
    monkeypatch.setattr("nerlib.models.pivae._BLOCK", 7)
    parts = model.transform(rates, trial), model.published_embedding(rates, labels, trial)
    assert np.allclose(whole, parts, atol=1e-6)


def test_transform_takes_no_labels_and_the_posterior_does(data):
    rates, labels, trial = data
    model = PiVAE(**QUICK)
    embedding = model.fit_transform(rates, labels, trial)
    assert np.array_equal(embedding, model.transform(rates, trial)) and embedding.dtype == np.float32
    assert embedding.shape == (120, 3) and len(model.loss_curve_) == len(model.kl_curve_) == 2
    posterior = model.published_embedding(rates, labels, trial)
    assert not np.array_equal(posterior, embedding)
    assert not np.array_equal(posterior, model.published_embedding(rates, labels[::-1], trial))


def test_scaled_labels_make_units_irrelevant(data):
    rates, labels, trial = data
    first, second = (PiVAE(**QUICK).fit(rates, y, trial) for y in (labels, labels * [0.25, 4, 8] + 16))
    assert np.allclose(first.transform(rates, trial), second.transform(rates, trial), atol=1e-4)
    raw = PiVAE(**QUICK, scale_labels=False).fit(rates, labels, trial)
    assert not np.allclose(first.loss_curve_, raw.loss_curve_)
    constant = np.zeros_like(labels)
    assert np.isfinite(
        PiVAE(**QUICK).fit(rates, constant, trial).published_embedding(rates, constant, trial)
    ).all()


def test_follows_the_conventions_of_scikit_learn():
    """One dimension and one bin: the checks have two neurons, and shuffle bins that a window would join."""
    check_estimator(PiVAE(1, window=1, max_iter=2))


def test_clones(data):
    model = PiVAE(**QUICK, window=4, scale_labels=False)
    copy = clone(model.fit(*data))
    assert copy.get_params() == model.get_params() and not hasattr(copy, "model_")


def test_silent_unless_asked(data, capsys):
    PiVAE(**QUICK).fit(*data)
    assert capsys.readouterr() == ("", "")
    PiVAE(**QUICK, verbose=True).fit(*data)
    assert "2/2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"n_components": 0}, ValueError, "n_components must be positive"),
        ({"max_iter": 2.5}, TypeError, "max_iter must be an integer; got 2.5 of type float"),
        ({"batch_size": "200"}, TypeError, "batch_size must be an integer"),
        ({"window": True}, TypeError, "window must be an integer"),
        ({"learning_rate": float("nan")}, ValueError, "learning_rate must be positive and finite"),
        ({"learning_rate": 1e30}, ValueError, "training diverged in epoch 0"),
        ({"n_components": 9}, ValueError, "8 feature.*minimum of 9 is required by PiVAE"),
    ],
)
def test_bad_parameters_are_refused(data, parameters, error, message):
    with pytest.raises(error, match=message):
        PiVAE(**{**QUICK, **parameters}).fit(*data)


def test_bad_data_are_refused(data):
    rates, labels, trial = data
    hole, gap = rates.copy(), labels.copy()
    hole[3, 2] = gap[3, 1] = np.nan
    for X, y, message in (
        (hole, labels, "Input X contains NaN"),
        (rates, gap, "Input y contains NaN"),
        (-rates, labels, "Negative values in data passed to PiVAE.fit"),
        (rates, labels[:-1], "inconsistent numbers of samples"),
    ):
        with pytest.raises(ValueError, match=message):
            PiVAE(**QUICK).fit(X, y)
    with pytest.raises(ValueError, match="one entry a bin, shape"):
        PiVAE(**QUICK).fit(rates, labels, trial[:-1])
    for call, given in ((PiVAE().transform, (rates,)), (PiVAE().published_embedding, (rates, labels))):
        with pytest.raises(NotFittedError):
            call(*given)
    model = PiVAE(**QUICK).fit(rates, labels, trial)
    with pytest.raises(ValueError, match="7 features, but PiVAE is expecting 8"):
        model.transform(rates[:, :7])
    with pytest.raises(ValueError, match="Input X contains NaN"):
        model.transform(hole)
    with pytest.raises(ValueError, match="y has 2 label columns, but fit was given 3"):
        model.published_embedding(rates, labels[:, :2])
    with pytest.raises(ValueError, match="requires y to be passed"):
        model.published_embedding(rates, None)
