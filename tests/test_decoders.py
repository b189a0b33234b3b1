"""Decoders recover what was put into the embedding, and never look at the data they are scored on."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from toy import make_session

from nerlib import metrics
from nerlib.decoders import KNNDecoder, LinearDecoder, _nearest

BOTH = pytest.mark.parametrize("decoder", [LinearDecoder, KNNDecoder])


def embedded(session, noise=0.05, seed=0):
    """Velocity, rotated and scaled into three noisy dimensions."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(9).normal(size=(2, 3)) / 300
    return session.velocity @ mixing + noise * rng.normal(size=(len(session.trial), 3))


@BOTH
def test_recovers_a_linear_embedding(session, decoder):
    train, test = session.split()
    fitted = decoder().fit(embedded(train), train)
    decoded = fitted.predict(embedded(test))
    assert decoded.velocity.shape == (128, 2) and decoded.direction.shape == (128,)
    scores = fitted.score(embedded(test), test, held_out=True)["corrected"]
    assert scores["velocity_r2"] > 0.9 and scores["position_r2"] > 0.9
    assert scores["direction_accuracy"] > 0.7


def test_linear_decoder_is_linear_regression(session):
    train, test = session.split()
    fitted = LinearDecoder().fit(embedded(train), train)
    expected = LinearRegression().fit(embedded(train), train.velocity).predict(embedded(test))
    assert np.allclose(fitted.predict(embedded(test)).velocity, expected)
    published = fitted.score(embedded(test), test, held_out=True)["published"]["velocity_r2"]
    assert published == pytest.approx(r2_score(expected, test.velocity))


def test_training_data_are_not_held_out(session):
    train, test = session.split()
    fitted = LinearDecoder().fit(embedded(train), train)
    on_training, held_out = (
        fitted.score(embedded(train), train, held_out=False),
        fitted.score(embedded(test), test, held_out=True),
    )
    assert on_training["published"] == on_training["corrected"]
    assert held_out["published"]["velocity_r2"] != held_out["corrected"]["velocity_r2"]


def test_peak_bin_comes_from_training_data(session):
    train, test = session.split()
    fitted = LinearDecoder().fit(embedded(train, noise=0.3), train)
    read = fitted.predict(embedded(train, noise=0.3)).direction
    on_training = metrics.accuracy_over_time(read, train)
    assert fitted.peak_bin_ == metrics.peak_bin(read, train)
    assert on_training[fitted.peak_bin_] == on_training.max()
    over_time = metrics.accuracy_over_time(fitted.predict(embedded(test, noise=0.3)).direction, test)
    scores = fitted.score(embedded(test, noise=0.3), test, held_out=True)
    assert scores["corrected"]["direction_accuracy"] == over_time[fitted.peak_bin_]


def test_k_is_chosen_between_2_and_the_smallest_fold():
    noisy = make_session(n_trials=20)
    decoder = KNNDecoder().fit(embedded(noisy, noise=1.0), noisy)
    clean = KNNDecoder().fit(embedded(noisy, noise=1e-6), noisy)
    assert set(decoder.n_neighbors_) == {"velocity", "direction"}
    assert decoder.n_neighbors_["velocity"] > clean.n_neighbors_["velocity"] >= 2
    assert max(decoder.n_neighbors_.values()) <= 256


@pytest.mark.parametrize("noise", [1e-3, 0.3, 1.0])
def test_k_is_that_of_a_grid_search(session, noise):
    points, folds = embedded(session, noise), GroupKFold(5)
    expected = {}
    for target, estimator in (("velocity", KNeighborsRegressor()), ("direction", KNeighborsClassifier())):
        grid = GridSearchCV(estimator, {"n_neighbors": [2**k for k in range(1, 10)]}, cv=folds)
        grid.fit(points, getattr(session, target), groups=session.trial)
        expected[target] = grid.best_params_["n_neighbors"]
    assert KNNDecoder().fit(points, session).n_neighbors_ == expected


@pytest.mark.parametrize("k", [1, 2, 100, 300])
@pytest.mark.parametrize("kind", ["normal", "far", "tiny", "grid", "one point"])
def test_neighbors_are_sorted_by_distance_and_then_by_index(kind, k):
    """Far apart, closer than single precision tells, with many ties, and all the same."""
    rng = np.random.default_rng(0)
    points, queries = rng.normal(size=(300, 3)), rng.normal(size=(20, 3))
    if kind == "grid":
        points, queries = points.round(), queries.round()
    scale, offset = {"far": (1e150, 0), "tiny": (1e-9, 1), "one point": (0, 1)}.get(kind, (1, 0))
    points, queries = scale * points + offset, scale * queries + offset
    distances = np.square(points - queries[:, None]).sum(axis=2)
    expected = distances.argsort(axis=1, kind="stable")[:, :k]
    assert np.array_equal(_nearest(points.T.copy(), queries, k), expected)


def test_a_column_that_does_not_move_does_not_choose_k(session):
    still = replace(session, velocity=session.velocity * [1, 0])
    chosen = KNNDecoder().fit(embedded(session, 0.3), still).n_neighbors_["velocity"]
    alone = replace(session, velocity=session.velocity[:, :1])
    assert chosen == KNNDecoder().fit(embedded(session, 0.3), alone).n_neighbors_["velocity"] > 2


def test_k_needs_two_training_bins():
    session = make_session(n_trials=2, n_bins=1)
    with pytest.raises(ValueError, match="Toy has a fold with 1 training bin; choosing k needs at least two"):
        KNNDecoder().fit(embedded(session), session)
    session = make_session(n_trials=3, n_bins=1)
    assert KNNDecoder().fit(embedded(session), session).n_neighbors_ == {"velocity": 2, "direction": 2}


@BOTH
def test_bad_input_is_refused(session, decoder):
    with pytest.raises(ValueError, match=r"Toy has 640 bins, so the embedding must be \(640, d\)"):
        decoder().fit(embedded(session)[1:], session)
    spoiled = embedded(session)
    spoiled[5, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        decoder().fit(spoiled, session)


@pytest.mark.parametrize("decoder", [LinearDecoder, KNNDecoder])
def test_of_one_direction_nothing_is_decoded_but_movement(session, decoder):
    one_way = session.select(session.direction[session.trial_starts] == 90)
    read = decoder().fit(embedded(one_way), one_way)
    assert (read.predict(embedded(one_way)).direction == 90).all()
    assert read.score(embedded(one_way), one_way, held_out=False)["corrected"]["velocity_r2"] > 0.9


def test_corrected_directions_do_not_depend_on_the_scale_of_the_embedding(session):
    """Standardised, logistic regression penalises every scale alike; as published, a small one more."""
    train, test = session.split()
    read = {
        standardize: [
            LinearDecoder(standardize=standardize)
            .fit(scale * embedded(train, 0.2) + scale, train)
            .predict(scale * embedded(test, 0.2) + scale)
            .direction
            for scale in (1, 1e-2)
        ]
        for standardize in (True, False)
    }
    assert np.array_equal(*read[True])
    assert (read[False][0] != read[False][1]).mean() > 0.05


def test_published_directions_are_scikit_learns(session):
    train, test = session.split()
    expected = LogisticRegression(max_iter=1000).fit(embedded(train), train.direction).predict(embedded(test))
    found = LinearDecoder(standardize=False).fit(embedded(train), train).predict(embedded(test)).direction
    assert np.array_equal(found, expected)


def test_rounding_turns_no_decoded_direction(session):
    """Single precision changes an embedding by one part in ten million."""
    train, test = session.split()
    z, unseen = embedded(train, 0.2), embedded(test, 0.2)
    single = LinearDecoder().fit(z.astype(np.float32), train)._direction[-1].coef_
    assert np.allclose(single, LinearDecoder().fit(z, train)._direction[-1].coef_, rtol=1e-5, atol=1e-5)
    decoded = [
        LinearDecoder().fit(a, train).predict(b).direction
        for a, b in ((z, unseen), (z.astype(np.float32), unseen.astype(np.float32)))
    ]
    assert np.array_equal(*decoded)


@BOTH
def test_a_decoder_that_is_not_fitted_and_what_is_no_session_are_named(session, decoder):
    with pytest.raises(NotFittedError, match=f"this {decoder.__name__} is not fitted; call fit first"):
        decoder().predict(embedded(session))
    with pytest.raises(TypeError, match="session must be a nerlib.Session, got ndarray"):
        decoder().fit(embedded(session), session.labels)
