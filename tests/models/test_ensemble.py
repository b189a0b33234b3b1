"""Ensembles: copies that are mapped average to themselves, and averaging brings what seeds add by chance."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from nerlib import Ensemble
from nerlib.models import NER, Bottleneck

QUICK = {"max_iter": 60, "batch_size": 64, "device": "cpu"}


class Turned(BaseEstimator):
    """A fixed embedding on the sphere, rotated or reflected, and blurred, by its seed."""

    n_components = 3

    def __init__(self, noise=0.0, random_state=None):
        self.noise, self.random_state = noise, random_state

    def fit(self, X, y, trial=None):
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X, trial=None):
        rng = np.random.default_rng(self.random_state)
        rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0] * rng.choice([-1, 1], size=3)
        z = X[:, :3] + self.noise * rng.normal(size=(len(X), 3))
        return z / np.linalg.norm(z, axis=1, keepdims=True) @ rotation


@pytest.fixture
def points():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(300, 5))
    return z, rng.normal(size=(300, 2))


def test_rotated_and_reflected_copies_average_to_the_first(points):
    model = Ensemble(Turned(), n_members=6, random_state=3).fit(*points)
    first = model.members_[0].transform(points[0])
    assert np.allclose(model.transform(points[0]), first)
    rotations, offsets = zip(*model.maps_, strict=True)
    assert np.allclose(rotations[0], np.eye(3)) and not np.any(offsets)
    determinants = np.linalg.det(rotations)
    assert np.allclose(np.abs(determinants), 1) and determinants.min() < 0 < determinants.max()


def test_affine_copies_average_to_the_first_whatever_their_length(points):
    class Image(Turned):
        def transform(self, X, trial=None):
            rng = np.random.default_rng(self.random_state)
            return X[:, :3] @ rng.normal(size=(3, 3)) + rng.normal(size=3)

    model = Ensemble(Image(), n_members=4, alignment="affine", random_state=0).fit(*points)
    first = model.members_[0].transform(points[0])
    assert np.allclose(model.transform(points[0]), first)
    assert np.ptp(np.linalg.norm(first, axis=1)) > 0.1


def test_noise_averages_out(points):
    X, y = points
    clean = X[:, :3] / np.linalg.norm(X[:, :3], axis=1, keepdims=True)

    def error(n_members):
        z = Ensemble(Turned(noise=0.3), n_members=n_members, random_state=0).fit(X, y).transform(X)
        left, _, right = np.linalg.svd(z.T @ clean)
        return np.square(z @ left @ right - clean).mean()

    assert error(8) < 0.4 * error(1)


def test_members_differ_by_seed_and_the_ensemble_does_not(session):
    def fitted():
        ner = NER(**QUICK, periods=session.periods)
        return Ensemble(ner, n_members=2, random_state=0).fit(session.rates, session.labels, session.trial)

    model, again = fitted(), fitted()
    embeddings = [member.transform(session.rates) for member in model.members_]
    assert not np.allclose(*embeddings)
    z = model.transform(session.rates, session.trial)
    assert np.array_equal(z, again.transform(session.rates, session.trial))
    assert np.allclose(np.linalg.norm(z, axis=1), 1, atol=1e-6)
    assert list(model.get_feature_names_out()) == ["ensemble0", "ensemble1", "ensemble2"]


def test_wrong_sizes_and_early_calls_are_refused(session):
    with pytest.raises(ValueError, match="n_members must be"):
        Ensemble(NER(**QUICK), n_members=0).fit(session.rates, session.labels)
    with pytest.raises(ValueError, match="alignment must be rotation or affine; got 'linear'"):
        Ensemble(NER(**QUICK), alignment="linear").fit(session.rates, session.labels)
    with pytest.raises(NotFittedError):
        Ensemble(NER(**QUICK)).transform(session.rates)


def test_a_refit_that_fails_leaves_no_model(points):
    X, y = points
    model = Ensemble(NER(**QUICK | {"max_iter": 2}), n_members=1).fit(X, y)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.full_like(X, np.nan), y)
    with pytest.raises(NotFittedError):
        model.transform(X)


@pytest.mark.parametrize("kind, alignment", [(NER, "rotation"), (Bottleneck, "affine")])
def test_saved_and_loaded_is_the_same(session, tmp_path, kind, alignment):
    member = kind(**QUICK, window=3, periods=session.periods, weights=(1, 1, 0.5))
    model = Ensemble(member, n_members=3, alignment=alignment, random_state=0)
    model.fit(session.rates, session.labels, session.trial).save(tmp_path / "model.safetensors")
    again = Ensemble.load(tmp_path / "model.safetensors", device="cpu")
    embedding = model.transform(session.rates, session.trial)
    assert np.array_equal(again.transform(session.rates, session.trial), embedding)
    assert str(again.get_params(deep=False)) == str(model.get_params(deep=False))
    assert again.get_feature_names_out().tolist() == model.get_feature_names_out().tolist()
    with pytest.raises(ValueError, match=f"holds a model of class Ensemble; expected a {kind.__name__}"):
        kind.load(tmp_path / "model.safetensors")


def test_members_that_cannot_be_saved_are_named(points, tmp_path):
    model = Ensemble(Turned(), n_members=2).fit(*points)
    with pytest.raises(TypeError, match="an ensemble of Turned cannot be saved, since"):
        model.save(tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_session_gives_its_periods_to_the_members(session):
    from nerlib.experiments import fit_run

    run = fit_run(session, Ensemble(NER(**QUICK), n_members=1), 0)
    assert "periods=(None, None, 360.0)" in run.about["settings"].replace("\n", "")
    assert run.about["method"] == "Ensemble"


def test_several_sessions_are_refused_before_any_fit(points):
    X, y = points
    with pytest.raises(ValueError, match="fitted to one session, got 2; fit several methods"):
        Ensemble(None).fit([X, X], [y, y])


def test_members_of_an_unknown_class_are_named(session, tmp_path, monkeypatch):
    model = Ensemble(NER(**QUICK), n_members=1).fit(session.rates, session.labels, session.trial)
    model.save(tmp_path / "model.safetensors")
    monkeypatch.setattr("nerlib.models._saving._kinds", lambda _: {})
    with pytest.raises(ValueError, match="the members are of class NER; import the module"):
        Ensemble.load(tmp_path / "model.safetensors")
