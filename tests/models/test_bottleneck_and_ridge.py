"""Controls: the MSE bottleneck learns what it is trained on, ridge is scikit-learn's."""

import numpy as np
import pytest
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold
from sklearn.utils.estimator_checks import check_estimator

from nerlib.decoders import LinearDecoder
from nerlib.models import Bottleneck, Ridge
from nerlib.models._common import regression_targets

QUICK = {"max_iter": 200, "batch_size": 64, "random_state": 0, "device": "cpu"}


@pytest.mark.parametrize("method", [Bottleneck(max_iter=5, batch_size=16), Ridge()])
def test_follow_the_conventions_of_scikit_learn(method):
    check_estimator(method)


def test_bottleneck_holds_the_labels(session):
    train, test = session.split()
    model = Bottleneck(**QUICK, periods=session.periods).fit(train.rates, train.labels, train.trial)
    decoder = LinearDecoder().fit(model.transform(train.rates), train)
    assert decoder.score(model.transform(test.rates), test, held_out=True)["corrected"]["velocity_r2"] > 0.9
    assert model.loss_curve_[-1] < 0.5 * model.loss_curve_[0]
    assert np.allclose(np.linalg.norm(model.transform(test.rates), axis=1), 1, atol=1e-6)


def test_without_the_sphere_points_keep_their_length(session):
    flat = Bottleneck(**QUICK, periods=session.periods, sphere=False)
    points = flat.fit(session.rates, session.labels, session.trial).transform(session.rates)
    assert np.ptp(np.linalg.norm(points, axis=1)) > 0.1
    assert np.allclose(flat.transform(session.rates[:3]), points[:3], atol=1e-5)  # few bins: by NumPy


def test_without_the_sphere_sessions_are_trained_jointly_and_added(session, tmp_path):
    whole = session.rates, session.labels, session.trial
    half = session.rates[:, ::2], session.labels, session.trial
    flat = Bottleneck(**QUICK, periods=session.periods, sphere=False).fit(*zip(whole, half, strict=True))
    flat.add_session(*whole, max_iter=50)
    flat.save(tmp_path / "flat.safetensors")
    again = Bottleneck.load(tmp_path / "flat.safetensors")
    rates = [whole[0], half[0], whole[0]]
    for points, same in zip(flat.transform(rates), again.transform(rates), strict=True):
        assert np.ptp(np.linalg.norm(points, axis=1)) > 0.1
        assert np.array_equal(points, same)


def test_ridge_is_scikit_learns(session):
    velocity = session.velocity
    found = Ridge().fit(session.rates, velocity, session.trial).transform(session.rates)
    scaled = (velocity - velocity.mean(axis=0)) / velocity.std(axis=0)
    folds = list(GroupKFold(5).split(scaled, groups=session.trial))
    expected = RidgeCV(np.logspace(-2, 5, 8), cv=folds).fit(session.rates, scaled).predict(session.rates)
    assert np.allclose(found, expected)


def test_the_penalty_is_chosen_on_trials_that_the_ridge_has_not_seen():
    """Rates that only tell trials apart predict the other bins of a trial, and nothing of another trial."""
    rng = np.random.default_rng(0)
    trial = np.repeat(np.arange(40), 16)
    rates = np.abs(rng.normal(size=(40, 30)))[trial] + 0.01 * rng.random((640, 30))
    labels = rng.normal(size=(40, 2))[trial]
    model = Ridge().fit(rates, labels, trial)
    assert model.ridge_.alpha >= 1e3 > RidgeCV(np.logspace(-2, 5, 8)).fit(rates, labels).alpha_


def test_bottleneck_is_trained_on_the_columns_it_is_given(session):
    periods = session.periods
    two = Bottleneck(**QUICK, label_columns=(0, 1), periods=periods).fit(session.rates, session.labels)
    one, same = (Bottleneck(**QUICK, label_columns=c).fit(session.rates, session.labels) for c in (0, (0,)))
    assert np.array_equal(one.transform(session.rates), same.transform(session.rates))
    same = Bottleneck(**QUICK, periods=(None, None)).fit(session.rates, session.labels[:, :2])
    assert np.array_equal(two.transform(session.rates), same.transform(session.rates))
    with pytest.raises(ValueError, match="have 3 columns, counted from 0"):
        Bottleneck(**QUICK, label_columns=(0, 3), periods=periods).fit(session.rates, session.labels)


def test_direction_becomes_cosine_and_sine(session):
    model = Ridge(periods=session.periods).fit(session.rates, session.labels, session.trial)
    assert model.transform(session.rates).shape == (640, 4)
    turned = session.labels + [0, 0, 720]
    again = Ridge(periods=session.periods).fit(session.rates, turned, session.trial)
    assert np.allclose(again.transform(session.rates), model.transform(session.rates))


def test_history_helps_where_the_past_says_more_and_stays_in_its_trial(session):
    late = np.roll(session.velocity, 3, axis=0)  # movement three bins after the rates
    late[session.bin_in_trial < 3] = 0
    fits = {}
    for window in (1, 5):
        model = Ridge(window=window).fit(session.rates, late, session.trial)
        fits[window] = np.square(
            model.transform(session.rates, session.trial) - late / late.std(axis=0)
        ).mean()
    assert fits[5] < 0.5 * fits[1]
    changed = session.rates.copy()
    changed[:16] += 1
    before, after = (model.transform(rates, session.trial) for rates in (session.rates, changed))
    assert (before[:16] != after[:16]).any() and np.array_equal(before[16:], after[16:])


def test_weights_scale_the_targets_of_a_label_column(session):
    periods, weights = session.periods, (2.0, 1.0, 0.5)
    plain, weighted = (regression_targets(session.labels, periods, w) for w in (None, weights))
    assert np.array_equal(weighted, plain * (2.0, 1.0, 0.5, 0.5))  # direction has two columns
    ones, none, half = (
        Bottleneck(**QUICK, weights=w, periods=periods).fit(session.rates, session.labels)
        for w in ((1, 1, 1), None, (1, 1, 0.5))
    )
    assert np.array_equal(ones.transform(session.rates), none.transform(session.rates))
    assert not np.array_equal(half.transform(session.rates), none.transform(session.rates))
    with pytest.raises(ValueError, match="weights has 2 entries but the labels have 3 columns"):
        Bottleneck(weights=(1, 1)).fit(session.rates, session.labels)


def test_weights_follow_the_label_columns(session):
    chosen = {"label_columns": (1, 2), "periods": session.periods}
    model = Bottleneck(**QUICK, weights=(9, 1, 0.5), **chosen).fit(session.rates, session.labels)
    alone = Bottleneck(**QUICK, weights=(1, 0.5), periods=session.periods[1:])
    alone.fit(session.rates, session.labels[:, 1:])
    assert np.array_equal(model.transform(session.rates), alone.transform(session.rates))
