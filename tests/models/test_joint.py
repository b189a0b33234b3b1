"""Joint training: one space for all sessions, a new one leaves the network as it is, files hold it all."""

import numpy as np
import pytest
import torch
from toy import make_session

from nerlib import CEBRA, NER, Bottleneck
from nerlib.decoders import LinearDecoder
from nerlib.models._common import train
from nerlib.sampling import draw_bins

QUICK = {"max_iter": 150, "batch_size": 64, "random_state": 0, "device": "cpu"}
METHODS = {
    "NER": NER(**QUICK),
    "CEBRA": CEBRA(**QUICK, label_columns=(0, 1)),
    "Bottleneck": Bottleneck(**QUICK),
}
EVERY = pytest.mark.parametrize("method", METHODS.values(), ids=list(METHODS))


def arrays(*sessions):
    return [[getattr(s, name) for s in sessions] for name in ("rates", "labels", "trial")]


def fresh(method, **changed):
    return type(method)(**method.get_params() | changed)


@pytest.fixture(scope="module")
def days():
    """Two days of the same movements, and as many other neurons."""
    return [make_session(seed=seed, name=f"Day{seed}", n_neurons=10 + seed) for seed in (0, 1, 2)]


@EVERY
def test_permuted_neurons_end_up_aligned(method, days):
    """One session twice, neurons in another order: a bin has one place in both, without a rotation."""
    day, order = days[0], np.random.default_rng(0).permutation(10)
    X = [day.rates, day.rates[:, order]]
    model = fresh(method, window=2).fit(X, [day.labels] * 2, [day.trial] * 2)
    first, second = model.transform(X, [day.trial] * 2)
    cosine = (first * second).sum(axis=1)
    alone = [fresh(method, random_state=seed).fit(day.rates, day.labels, day.trial) for seed in (0, 1)]
    apart = np.prod([m.transform(day.rates) for m in alone], axis=0).sum(axis=1)
    assert cosine.mean() > 0.97 > apart.mean()


@EVERY
def test_one_decoder_serves_all_sessions(method, days):
    """Fitted on one session, it decodes another with other neurons, and a new one from a few trials."""
    model = fresh(method).fit(*arrays(*days[:2]))
    few = days[2].select(slice(16))
    new = model.add_session(few.rates, few.labels, few.trial)
    assert new == 2
    decoder = LinearDecoder().fit(model.transform(days[0].rates, session=0), days[0])
    for number, day in ((1, days[1]), (new, days[2].select(slice(16, None)))):
        score = decoder.score(model.transform(day.rates, session=number), day, held_out=True)
        assert score["corrected"]["velocity_r2"] > 0.8


@EVERY
@pytest.mark.parametrize("joint", [True, False])
def test_a_new_session_leaves_all_else_as_it_is(method, joint, days):
    given = arrays(*days[:2]) if joint else [values[0] for values in arrays(days[0])]
    model = fresh(method, window=3, neuron_dropout=0.2, max_iter=20).fit(*given)
    before = [{k: v.clone() for k, v in e.state_dict().items()} for e in model.encoders_]
    seen, curve = model.transform(days[0].rates, days[0].trial, session=0), model.loss_curve_
    new = model.add_session(days[2].rates, days[2].labels, days[2].trial)
    for encoder, kept in zip(model.encoders_, before, strict=False):
        assert all(torch.equal(kept[name], value) for name, value in encoder.state_dict().items())
        assert all(weight.requires_grad for weight in encoder.parameters())
    trunks = [list(encoder)[1:] for encoder in model.encoders_]
    assert all(a is b for a, b in zip(trunks[0], trunks[new], strict=True))
    assert np.array_equal(seen, model.transform(days[0].rates, days[0].trial, session=0))
    assert curve is model.loss_curve_ and len(curve) == 20


def test_of_three_starts_the_one_with_the_lowest_loss_goes_on(days, monkeypatch):
    """The starts differ, their batches do not; the layer of the second is the one that is kept."""
    first, drawn, steps = [], [], []

    def recorded(method, weights, embed, objective, n_steps):
        weights = list(weights)
        bins = next(objective[0])[0]
        first.append(weights[0])
        drawn.append(bins.tolist())
        steps.append(n_steps)
        return train(method, weights, embed, objective, n_steps) + (0 if len(first) == 2 else 10)

    model = NER(**QUICK | {"max_iter": 5}).fit(*arrays(*days[:2]))
    monkeypatch.setattr("nerlib.models.joint.train", recorded)
    new = model.add_session(days[2].rates, days[2].labels, days[2].trial, max_iter=10)
    assert steps == [3, 3, 3, 7] and all(bins == drawn[0] for bins in drawn)
    assert len({id(weight) for weight in first[:3]}) == 3
    assert first[3] is first[1] is model.encoders_[new][0].weight


@EVERY
def test_the_same_seed_gives_the_same_bits(method, days):
    found = []
    for _ in range(2):
        model = fresh(method, max_iter=20, window=2, neuron_dropout=0.3).fit(*arrays(*days[:2]))
        model.add_session(days[2].rates, days[2].labels, days[2].trial, max_iter=10)
        found.append(np.concatenate(model.transform([d.rates for d in days], [d.trial for d in days])))
    assert np.array_equal(*found)


@EVERY
def test_files_hold_all_sessions(method, days, tmp_path):
    model = fresh(method, max_iter=20, window=2).fit(*arrays(*days[:2]))
    model.add_session(days[2].rates, days[2].labels, days[2].trial, max_iter=10)
    model.save(tmp_path / "model.safetensors")
    loaded = type(method).load(tmp_path / "model.safetensors", device="cpu")
    rates, _, trials = arrays(*days)
    for ours, theirs in zip(model.transform(rates, trials), loaded.transform(rates, trials), strict=True):
        assert np.array_equal(ours, theirs)
    again = [
        m.add_session(days[1].rates, days[1].labels, days[1].trial, max_iter=10) for m in (model, loaded)
    ]
    assert again == [3, 3]
    first, second = (m.transform(days[1].rates, days[1].trial, session=3) for m in (model, loaded))
    assert np.array_equal(first, second)


def test_one_bin_at_a_time_is_the_same(days):
    """As in a closed loop: the NumPy path of single bins, with the history given as a window."""
    model = NER(**QUICK, window=3).fit(*arrays(*days[:2]))
    whole = model.transform(days[1].rates, days[1].trial, session=1)
    for end in (3, 10, 16):
        window = days[1].rates[end - 3 : end]
        assert model.transform(window, session=1)[-1] == pytest.approx(whole[end - 1], abs=1e-6)


def test_scale_and_offset_of_neurons_do_not_matter(days):
    """Rates are standardised in training; the fitted layer takes them as they are."""
    day = days[0]
    model = NER(**QUICK).fit([day.rates, 5 * day.rates + 3], [day.labels] * 2, [day.trial] * 2)
    first, second = model.transform([day.rates, 5 * day.rates + 3])
    assert (first * second).sum(axis=1).mean() > 0.97


def test_a_session_counts_the_same_however_long_it_is():
    drawn = draw_bins(np.random.default_rng(0), [10, 1000, 1], 30_000)
    session = np.searchsorted([10, 1010], drawn, side="right")
    assert np.bincount(session) / 30_000 == pytest.approx(np.full(3, 1 / 3), abs=0.01)
    for bins in (drawn[session == 0], drawn[session == 1] - 10):
        assert bins.min() == 0 and bins.max() >= 9
    alone = [
        draw(np.random.default_rng(1))
        for draw in (lambda r: draw_bins(r, [7], 9), lambda r: r.integers(7, size=9))
    ]
    assert np.array_equal(*alone)


def test_errors_say_which_session_and_what_to_do(days):
    X, y, trial = arrays(*days[:2])
    model = NER(**QUICK | {"max_iter": 2})
    with pytest.raises(ValueError, match="list of 2 sessions, so y must be a list of 2 arrays; got ndarray"):
        model.fit(X, y[0], trial)
    with pytest.raises(ValueError, match="so trial must be a list of 2 arrays; got 1 of them"):
        model.fit(X, y, trial[:1])
    bad = X[1].copy()
    bad[0, 0] = np.nan
    with pytest.raises(ValueError, match="session 1: Input X contains NaN"):
        model.fit([X[0], bad], y, trial)
    with pytest.raises(ValueError, match=r"same label columns; theirs number \[3, 2\]"):
        model.fit(X, [y[0], y[1][:, :2]], trial)
    model.fit(X, y, trial)
    with pytest.raises(ValueError, match="session is None, but the model has 2 sessions; say whose"):
        model.transform(X[0], trial[0])
    with pytest.raises(ValueError, match="session is 2, but the model has 2 sessions"):
        model.transform(X[0], trial[0], session=2)
    with pytest.raises(ValueError, match="session 1 was fitted with 11 neurons; X has 10"):
        model.transform(X[0], trial[0], session=1)
    with pytest.raises(ValueError, match="fitted with 3 label columns; the new session has 2"):
        model.add_session(X[0], y[0][:, :2], trial[0])


@pytest.mark.parametrize("steps, error", [(-5, ValueError), (0, ValueError), (10.0, TypeError)])
def test_steps_of_a_new_session_are_checked(days, steps, error):
    model = NER(**QUICK | {"max_iter": 5}).fit(*arrays(*days[:2]))
    new = [values[0] for values in arrays(days[2])]
    with pytest.raises(error, match="max_iter must be"):
        model.add_session(*new, max_iter=steps)
    assert len(model.encoders_) == 2
