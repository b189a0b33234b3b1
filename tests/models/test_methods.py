"""One table of methods, one set of promises: what every method does, and what it refuses."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from nerlib.decoders import LinearDecoder
from nerlib.models import METHODS, make_method
from nerlib.models._common import seeded
from nerlib.sampling import stacked

UNSUPERVISED = {"PCA", "UMAP"}
EVERY = pytest.mark.parametrize("name", METHODS)
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def method(name, **overrides):
    """The method with few steps, and the paper's labels."""
    known = METHODS[name][0]().get_params()
    small = {"max_iter": 5 if name == "piVAE" else 40, "batch_size": 64, "device": "cpu"}
    small |= {"periods": (None, None, 360.0), "random_state": 0}
    return make_method(name, **{k: v for k, v in small.items() if k in known} | overrides)


@EVERY
def test_embeds_held_out_trials(name, session):
    train, test = session.split()
    model = method(name)
    assert model.fit(train.rates, train.labels, train.trial) is model
    seen, unseen = (model.transform(part.rates, part.trial) for part in (train, test))
    assert len(seen) == len(train.trial) and unseen.shape == (len(test.trial), seen.shape[1])
    assert np.isfinite(seen).all() and np.isfinite(unseen).all()
    scores = LinearDecoder().fit(seen, train).score(unseen, test, held_out=True)["corrected"]
    assert np.isfinite(list(scores.values())).all()


@EVERY
def test_same_seed_same_bits(name, session):
    first, second = (
        method(name).fit(session.rates, session.labels, session.trial).transform(session.rates, session.trial)
        for _ in range(2)
    )
    assert np.array_equal(first, second)


@EVERY
def test_is_silent_and_keeps_its_parameters(name, session, capfd):
    model = method(name)
    before = repr(clone(model).get_params())
    model.fit(session.rates, session.labels, session.trial)
    assert repr(model.get_params()) == before
    assert capfd.readouterr() == ("", "")


@EVERY
def test_does_not_touch_what_it_is_given(name, session):
    given = [session.rates.copy(), session.labels.copy(), session.trial.copy()]
    method(name).fit(*given)
    assert all(
        np.array_equal(a, b)
        for a, b in zip(given, (session.rates, session.labels, session.trial), strict=True)
    )


@EVERY
def test_nan_is_refused(name, session):
    rates, labels = session.rates.copy(), session.labels.copy()
    rates[3, 1] = labels[3, 2] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        method(name).fit(rates, session.labels, session.trial)
    if name not in UNSUPERVISED:
        with pytest.raises(ValueError, match="NaN"):
            method(name).fit(session.rates, labels, session.trial)
    fitted = method(name).fit(session.rates, session.labels, session.trial)
    with pytest.raises(ValueError, match="NaN"):
        fitted.transform(rates, session.trial)


@EVERY
def test_lengths_that_disagree_are_refused(name, session):
    if name not in UNSUPERVISED:
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            method(name).fit(session.rates, session.labels[1:], session.trial)
    if name != "PCA":  # scikit-learn's own, which has no use for trials
        with pytest.raises(ValueError, match="trial must be an integer array of one entry per bin"):
            method(name).fit(session.rates, session.labels, session.trial[1:])


@EVERY
def test_other_neurons_are_refused(name, session):
    fitted = method(name).fit(session.rates, session.labels, session.trial)
    with pytest.raises(ValueError, match="10 features"):
        fitted.transform(session.rates[:, 1:], session.trial)


@EVERY
def test_transform_before_fit_is_refused(name, session):
    with pytest.raises(NotFittedError):
        method(name).transform(session.rates, session.trial)


@EVERY
def test_misspelt_and_mistyped_parameters_are_refused(name, session):
    with pytest.raises(TypeError, match="n_componets"):
        make_method(name, n_componets=3)
    size = "window" if "ridge" in name else "n_components"
    for value, error in (("3", TypeError), (2.5, TypeError), (0, ValueError)):
        with pytest.raises(error, match=f"{size} must be"):
            method(name, **{size: value}).fit(session.rates, session.labels, session.trial)


def test_unknown_method_is_refused():
    with pytest.raises(ValueError, match="unknown method 'NERD'; expected one of NER, CEBRA"):
        make_method("NERD")


@EVERY
def test_data_frames_are_taken_without_a_warning(name, session):
    """pandas hands out read-only arrays, of which torch warns."""
    rates = pd.DataFrame(session.rates, columns=[f"unit {i}" for i in range(10)])
    labels = pd.DataFrame(session.labels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DeprecationWarning)
        found = method(name).fit(rates, labels, session.trial).transform(rates, session.trial)
    plain = method(name).fit(session.rates, session.labels, session.trial)
    assert np.allclose(found, plain.transform(session.rates, session.trial))


@pytest.mark.parametrize("name", [name for name in METHODS if name != "dPCA"])
def test_windows_without_trials_are_warned_of(name, session):
    model, rates = method(name, window=4), session.rates
    with pytest.warns(UserWarning, match="window=4 was given no trial ids, so windows may cross trials"):
        model.fit(rates, session.labels)
    with pytest.warns(UserWarning, match="was given no trial ids") as caught:
        model.transform(rates)
    assert {w.filename for w in caught if "no trial ids" in str(w.message)} == {__file__}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(rates, session.labels, session.trial).transform(rates, session.trial)
        assert model.transform(rates[:4]).shape[0] == 4  # one window, as in a closed loop
        method(name, window=1).fit(rates, session.labels).transform(rates)


@pytest.mark.parametrize("name", ["NER", "CEBRA", "MSE bottleneck", "piVAE"])
def test_training_that_diverged_leaves_no_model(name, session):
    model = method(name).fit(session.rates, session.labels, session.trial)
    model.set_params(learning_rate=1e38)
    with pytest.raises(ValueError, match="training diverged at"):
        model.fit(1e3 * session.rates, session.labels, session.trial)
    for call in (check_is_fitted, lambda model: model.transform(session.rates, session.trial)):
        with pytest.raises(NotFittedError):
            call(model)


@pytest.mark.parametrize(("name", "wrong"), [("dPCA", {"n_components": 9}), ("UMAP", {"n_neighbors": 1000})])
def test_a_refit_that_fails_leaves_no_model(name, wrong, session):
    model = method(name).fit(session.rates, session.labels, session.trial).set_params(**wrong)
    with pytest.raises(ValueError, match="must be"):
        model.fit(session.rates, session.labels, session.trial)
    with pytest.raises(NotFittedError):
        model.transform(session.rates, session.trial)


def test_first_weights_seed_no_gpu(monkeypatch):
    reseeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", reseeded.append)
    with seeded(5):
        drawn = torch.rand(3)
    assert torch.equal(drawn, torch.rand(3, generator=torch.Generator().manual_seed(5))) and not reseeded


@pytest.mark.parametrize("name", ["PCA", "dPCA", "UMAP", "UMAP-label"])
def test_history_is_the_method_on_stacked_bins(name, session):
    trial, labels = session.trial, session.labels
    stack = stacked(session.rates, trial, 3)
    assert stack.shape == (640, 30) and np.array_equal(stack[5, 10:20], session.rates[4])
    assert np.array_equal(stack[16], np.tile(session.rates[16], 3))  # the first bin of a trial
    found = method(name, window=3).fit(session.rates, labels, trial).transform(session.rates, trial)
    plain = method(name).fit(stack, labels, trial).transform(stack, trial)
    assert np.allclose(found, plain)


@pytest.mark.parametrize("name", ["NER", "CEBRA", "MSE bottleneck"])
def test_neuron_dropout_trains_another_network_and_embeds_without_chance(name, session):
    given = session.rates, session.labels, session.trial
    plain, dropped = (method(name, window=2, neuron_dropout=p).fit(*given) for p in (0.0, 0.5))
    first, second = (dropped.transform(session.rates, session.trial) for _ in range(2))
    assert np.array_equal(first, second)
    assert not np.allclose(first, plain.transform(session.rates, session.trial))
    for wrong in (1, -0.1, "0.5"):
        with pytest.raises(ValueError, match="neuron_dropout must be a probability"):
            method(name, neuron_dropout=wrong).fit(*given)


def test_neuron_dropout_hides_whole_neurons_with_their_history():
    model, rates = method("NER", window=3, neuron_dropout=0.25), np.ones((400, 8), np.float32)
    hide = model._gatherer(rates, None, torch.device("cpu"), torch.Generator().manual_seed(0))
    hidden = hide(np.arange(400)).reshape(400, 3, 8)
    assert torch.equal(hidden[:, 0], hidden[:, 1]) and torch.equal(hidden[:, 0], hidden[:, 2])
    assert hidden.unique().tolist() == pytest.approx([0, 4 / 3])
    assert hidden.mean().item() == pytest.approx(1, abs=0.05)
