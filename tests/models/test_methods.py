"""One table of methods, one set of promises: what every method does, and what it refuses."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from nerlib.decoders import LinearDecoder
from nerlib.models import METHODS, make_method

UNSUPERVISED = {"PCA", "UMAP"}
EVERY = pytest.mark.parametrize("name", METHODS)
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def method(name, **overrides):
    """The method with its quick settings, quicker still."""
    known = METHODS[name][0]().get_params()
    small = {"max_iter": 5 if name == "piVAE" else 40, "batch_size": 64, "device": "cpu"}
    return make_method(name, "quick", **{k: v for k, v in small.items() if k in known} | overrides)


@EVERY
def test_embeds_held_out_trials(name, session):
    train, test = session.split()
    model = method(name, random_state=0)
    assert model.fit(train.rates, train.labels, train.trial) is model
    seen, unseen = (model.transform(part.rates, part.trial) for part in (train, test))
    assert len(seen) == len(train.trial) and unseen.shape == (len(test.trial), seen.shape[1])
    assert np.isfinite(seen).all() and np.isfinite(unseen).all()
    scores = LinearDecoder().fit(seen, train).score(unseen, test)["standard"]
    assert np.isfinite(list(scores.values())).all()


@EVERY
def test_same_seed_same_bits(name, session):
    first, second = (
        method(name, random_state=3)
        .fit(session.rates, session.labels, session.trial)
        .transform(session.rates, session.trial)
        for _ in range(2)
    )
    assert np.array_equal(first, second)


@EVERY
def test_is_silent_and_keeps_its_parameters(name, session, capfd):
    model = method(name, random_state=0)
    before = repr(clone(model).get_params())
    model.fit(session.rates, session.labels, session.trial)
    assert repr(model.get_params()) == before
    assert capfd.readouterr() == ("", "")


@EVERY
def test_does_not_touch_what_it_is_given(name, session):
    given = [session.rates.copy(), session.labels.copy(), session.trial.copy()]
    method(name, random_state=0).fit(*given)
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
    fitted = method(name, random_state=0).fit(session.rates, session.labels, session.trial)
    with pytest.raises(ValueError, match="NaN"):
        fitted.transform(rates, session.trial)


@EVERY
def test_lengths_that_disagree_are_refused(name, session):
    if name not in UNSUPERVISED:
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            method(name).fit(session.rates, session.labels[1:], session.trial)
    if name != "PCA":  # scikit-learn's own, which has no use for trials
        with pytest.raises(ValueError, match="trial must be an integer array of one entry a bin"):
            method(name).fit(session.rates, session.labels, session.trial[1:])


@EVERY
def test_other_neurons_are_refused(name, session):
    fitted = method(name, random_state=0).fit(session.rates, session.labels, session.trial)
    with pytest.raises(ValueError, match="10 features"):
        fitted.transform(session.rates[:, 1:], session.trial)


@EVERY
def test_transform_before_fit_is_refused(name, session):
    with pytest.raises(NotFittedError):
        method(name).transform(session.rates, session.trial)


@EVERY
def test_misspelt_and_mistyped_parameters_are_refused(name, session):
    with pytest.raises(TypeError, match="n_componets"):
        make_method(name, "quick", n_componets=3)
    size = "window" if "ridge" in name else "n_components"
    for value, error in (("3", TypeError), (2.5, TypeError), (0, ValueError)):
        with pytest.raises(error, match=f"{size} must be"):
            method(name, **{size: value}).fit(session.rates, session.labels, session.trial)


def test_unknown_method_or_profile_is_refused():
    with pytest.raises(ValueError, match="unknown method 'NERD'; expected one of NER, CEBRA"):
        make_method("NERD")
    with pytest.raises(ValueError, match="unknown profile 'slow'; expected one of paper, fast, quick"):
        make_method("NER", "slow")
