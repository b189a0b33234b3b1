"""CEBRA against the package of its authors: the loss term by term, a trained model by its scores."""

import cebra
import numpy as np
import pytest
import torch
from cebra.data import BatchIndex
from cebra.data.single_session import ContinuousDataLoader
from cebra.distributions import TimedeltaDistribution
from cebra.models.criterions import FixedCosineInfoNCE
from scipy.ndimage import gaussian_filter1d
from scipy.stats import ks_2samp
from sklearn.utils import check_random_state
from sklearn.utils.estimator_checks import check_estimator

from nerlib import Session
from nerlib.decoders import LinearDecoder
from nerlib.experiments import fit_run
from nerlib.losses import infonce_loss
from nerlib.models import CEBRA, Bottleneck, make_method
from nerlib.sampling import pairs

QUICK = {"max_iter": 30, "batch_size": 32, "random_state": 0, "device": "cpu"}


def points(n, seed, d=3):
    z = torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(z).requires_grad_()


@pytest.mark.parametrize("temperature", [0.1, 1.0, 3.0])
def test_infonce_is_that_of_the_package(temperature):
    batch = [points(n, seed) for seed, n in enumerate((64, 64, 80))]
    expected, *_ = FixedCosineInfoNCE(temperature=temperature)(*batch)
    found = infonce_loss(*batch, temperature=temperature)
    assert found.item() == pytest.approx(expected.item(), abs=1e-6)
    pairs = zip(torch.autograd.grad(found, batch), torch.autograd.grad(expected, batch), strict=True)
    tangent = [(ours - theirs, z) for (ours, theirs), z in zip(pairs, batch, strict=True)]
    for difference, z in tangent:  # ours also normalises, so its gradient has no radial part
        along_sphere = difference - (difference * z).sum(1, keepdim=True) * z
        assert along_sphere.abs().max() < 1e-6


def test_infonce_equals_a_loop():
    reference, positive, negative = (points(6, seed).detach().numpy() for seed in range(3))
    total = 0.0
    for x, near in zip(reference, positive, strict=True):
        total += -x @ near + np.log(sum(np.exp(x @ far) for far in negative))
    batch = [torch.as_tensor(7.0 * z) for z in (reference, positive, negative)]  # only angles count
    assert infonce_loss(*batch).item() == pytest.approx(total / 6, abs=1e-12)


def test_infonce_gradient_is_that_of_finite_differences():
    batch = tuple(points(5, seed) for seed in range(3))
    assert torch.autograd.gradcheck(infonce_loss, batch)


def test_infonce_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match=r"expected reference and positive \(B, d\)"):
        infonce_loss(torch.zeros(4, 3), torch.zeros(5, 3), torch.zeros(4, 3))
    with pytest.raises(ValueError, match="temperature must be positive"):
        infonce_loss(torch.zeros(4, 3), torch.zeros(4, 3), torch.zeros(4, 3), temperature=-1)


def test_follows_the_conventions_of_scikit_learn():
    check_estimator(CEBRA(max_iter=5, batch_size=16))


def test_sees_only_the_columns_it_is_given(session):
    other = session.labels.copy()
    other[:, 2] = 0
    blind = CEBRA(**QUICK, label_columns=(0, 1))
    first, second = (
        blind.fit(session.rates, y, session.trial).transform(session.rates) for y in (session.labels, other)
    )
    assert np.array_equal(first, second)
    seeing = CEBRA(**QUICK)
    first, second = (
        seeing.fit(session.rates, y, session.trial).transform(session.rates) for y in (session.labels, other)
    )
    assert not np.array_equal(first, second)
    with pytest.raises(ValueError, match=r"label_columns is \(3,\), but the labels have 3 columns"):
        CEBRA(**QUICK, label_columns=(3,)).fit(session.rates, session.labels, session.trial)
    with pytest.raises(ValueError, match=r"label_columns is \(True, False\), but the labels have 3 columns"):
        CEBRA(**QUICK, label_columns=(True, False)).fit(session.rates, session.labels, session.trial)


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("kind", [CEBRA, Bottleneck])
def test_linear_columns_are_velocity_whatever_its_width(session, kind, width):
    velocity = np.column_stack([session.velocity, session.velocity.sum(axis=1)])[:, :width]
    for direction in (session.direction, None):
        own = Session(session.rates, velocity, direction, session.trial)
        given = {**QUICK, "periods": own.periods}
        linear, named = (
            kind(**given, label_columns=columns).fit(own.rates, own.labels, own.trial).transform(own.rates)
            for columns in ("linear", tuple(range(width)))
        )
        assert np.array_equal(linear, named)
    run = fit_run(own, make_method("CEBRA-velocity", max_iter=2), 0)
    assert run.about["settings"] == "label_columns='linear', max_iter=2"
    with pytest.raises(ValueError, match='label_columns="linear" needs periods'):
        kind(**QUICK, label_columns="linear").fit(own.rates, own.labels)
    with pytest.raises(ValueError, match="label_columns is linear, .* all circular"):
        kind(**QUICK, label_columns="linear", periods=(360.0,)).fit(own.rates, session.direction)


def test_positives_are_drawn_as_the_package_draws_them():
    """Distances between the movements of references and positives come from one distribution."""
    noise = np.random.default_rng(0).normal(size=(3_000, 2))
    velocity = gaussian_filter1d(500 * noise, 5, axis=0).astype(np.float32)
    theirs = TimedeltaDistribution(torch.as_tensor(velocity))
    for seed, sampler in enumerate((theirs, theirs.prior)):  # made with seeds from the system
        sampler.generator.manual_seed(seed)
    reference = theirs.sample_prior(20_000)
    positive = theirs.sample_conditional(reference).numpy()
    ours = next(pairs(velocity, batch_size=20_000, rng=np.random.default_rng(0)))
    apart = [np.linalg.norm(velocity[a] - velocity[b], axis=1) for a, b in (ours, (reference, positive))]
    assert ks_2samp(*apart).pvalue > 0.01
    assert ks_2samp(*(velocity[a][:, 0] for a in (ours[0], reference))).pvalue > 0.01


def test_trained_on_a_recording_it_scores_as_the_package_does(chewie, monkeypatch):
    """From the same first weights and the same batches: loss of every step, held-out scores of three seeds.

    Left alone, the package makes a model that it throws away before the one it trains, and draws batches from
    a generator that takes its seed from the system, so that no seed makes it repeat itself.
    """
    train, test = chewie.split()
    same = {"max_iterations": 400, "learning_rate": 1e-3, "temperature": 1.0, "batch_size": 512}
    for seed in range(3):
        ours = CEBRA(max_iter=400, learning_rate=1e-3, batch_size=512, weight_averaging=0, device="cpu",
                     label_columns=(0, 1), random_state=seed)  # fmt: skip
        ours.fit(train.rates, train.labels)
        theirs = cebra.CEBRA(
            model_architecture="offset1-model", num_hidden_units=32, output_dimension=3, distance="cosine",
            conditional="time_delta", time_offsets=1, device="cpu", **same,
        )  # fmt: skip
        hand_over(monkeypatch, theirs, ours, train.labels)
        theirs.fit(train.rates.astype(np.float32), train.velocity.astype(np.float32))
        assert ours.loss_curve_ == pytest.approx(np.asarray(theirs.state_dict_["loss"].tolist()), abs=1e-3)
        scores = [held_out(model.transform, train, test) for model in (ours, theirs)]
        assert scores[0] == pytest.approx(scores[1], abs=0.03)
        assert scores[1][0] > 0.4  # velocity: there is something to be compared


def hand_over(monkeypatch, theirs, ours, labels):
    """Let the package begin with our first weights, and train on our batches."""
    draws, weights = check_random_state(ours.random_state).randint(np.iinfo(np.int32).max, size=2)
    batches, *_ = ours._objective(labels, None, np.random.default_rng(draws), torch.device("cpu"))
    make = theirs._prepare_model

    def made(*arguments):
        torch.manual_seed(int(weights))
        return make(*arguments)

    def indices(_loader, num_samples):
        reference, positive, negative = torch.as_tensor(next(batches)[0]).split(num_samples)
        return BatchIndex(reference=reference, positive=positive, negative=negative)

    monkeypatch.setattr(theirs, "_prepare_model", made)
    monkeypatch.setattr(ContinuousDataLoader, "get_indices", indices)


def held_out(transform, train, test):
    """Velocity and position, corrected protocol, of a linear decoder."""
    embedded = [transform(part.rates.astype(np.float32)) for part in (train, test)]
    score = LinearDecoder().fit(embedded[0], train).score(embedded[1], test, held_out=True)["corrected"]
    return [score["velocity_r2"], score["position_r2"]]
