"""UMAP: umap-learn and nothing else under the library's calls, held-out data placed in the fitted map."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
import umap
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import NearestNeighbors

from nerlib.models.umap import UMAP

QUICK = {"n_neighbors": 10, "max_iter": 20, "random_state": 0}


@pytest.fixture(scope="module")
def data():
    """Counts of 12 neurons tuned to one of four directions; labels velocity x, y and direction."""
    rng = np.random.default_rng(0)
    which = rng.integers(0, 4, 240)
    rates = rng.poisson(2 + 2 * rng.random((4, 12))[which]).astype(float)
    return rates, np.column_stack([rng.normal(size=(240, 2)), 90.0 * which])


@pytest.fixture(scope="module")
def fitted(data):
    return UMAP(**QUICK).fit(data[0][:180])


class Neighbours:
    """Exact neighbours of some bins, in the place of umap-learn's approximate search."""

    _angular_trees = False

    def __init__(self, rates):
        self.search = NearestNeighbors(n_neighbors=10).fit(rates)

    def query(self, rates, k=10, epsilon=None):
        distances, indices = self.search.kneighbors(rates, k)
        return indices, np.float32(distances)


def _direct(rates, categories=None):
    """umap-learn itself, given exact neighbours."""
    rates = np.float32(rates)
    index = Neighbours(rates)
    settings = {"n_components": 2, "min_dist": 0.1, "n_neighbors": 10, "n_epochs": 20}
    settings["precomputed_knn"] = (*index.query(rates), index)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return umap.UMAP(**settings, random_state=0, n_jobs=1).fit(rates, categories)


def test_is_umap_learn(data, fitted):
    rates, _ = data
    direct = _direct(rates[:180])
    assert np.array_equal(fitted.umap_.embedding_, direct.embedding_)
    assert np.array_equal(fitted.transform(rates[180:]), direct.transform(np.float32(rates[180:])))
    assert np.array_equal(UMAP(**QUICK).fit_transform(rates[:180]), direct.embedding_)


def test_neighbours_are_the_nearest(data, fitted):
    """Of all bins, the bin itself among them; so are those of bins that are embedded later."""
    rates = np.random.default_rng(1).normal(size=(180, 12))
    known = UMAP(**QUICK).fit(rates[:120]).umap_
    for indices, bins in ((known._knn_indices, rates[:120]), (known._knn_search_index, rates[120:])):
        found = indices if isinstance(indices, np.ndarray) else indices.query(bins, 10)[0]
        distances = np.linalg.norm(bins[:, None] - rates[:120], axis=2)
        np.testing.assert_array_equal(found, distances.argsort(axis=1)[:, :10])


def test_many_bins_are_left_to_the_approximate_search(data, monkeypatch):
    monkeypatch.setattr("nerlib.models.umap._EXACT", 100)
    rates, _ = data
    ours = UMAP(**QUICK).fit(rates)
    direct = umap.UMAP(n_neighbors=10, n_epochs=20, random_state=0, n_jobs=1).fit(np.float32(rates))
    assert np.array_equal(ours.umap_.embedding_, direct.embedding_)
    assert np.array_equal(ours.transform(rates[:9] + 1), direct.transform(np.float32(rates[:9] + 1)))


def test_labels_are_the_direction_as_a_category(data, fitted):
    rates, labels = data
    model = UMAP(**QUICK, supervised=True)
    supervised = model.fit_transform(rates, labels)
    assert np.array_equal(supervised, _direct(rates, (labels[:, 2] / 90).astype(int)).embedding_)
    assert np.array_equal(supervised, model.fit_transform(rates, labels[:, 2]))
    other_velocity = labels + [5.0, -7.0, 0.0]
    assert np.array_equal(supervised, model.fit_transform(rates, other_velocity))
    other_direction = np.column_stack([labels[:, :2], np.roll(labels[:, 2], 1)])
    assert not np.array_equal(supervised, model.fit_transform(rates, other_direction))


def test_without_labels_they_change_nothing(data, fitted):
    rates, labels = data
    assert np.array_equal(UMAP(**QUICK).fit_transform(rates[:180], labels[:180]), fitted.umap_.embedding_)


def test_held_out_bins_go_into_the_fitted_map(data, fitted):
    """The map stays, a bin that it knows comes back near its place; the published embedding differs."""
    rates, _ = data
    before = fitted.umap_.embedding_.copy()
    first, second = fitted.transform(rates[180:]), fitted.transform(rates[180:])
    refitted = fitted.published_embedding(rates[180:])
    assert first.shape == refitted.shape == (60, 2) and first.dtype == refitted.dtype == np.float32
    assert np.array_equal(first, second) and not np.allclose(first, refitted, atol=0.5)
    assert np.array_equal(refitted, _direct(rates[180:]).embedding_)
    assert np.array_equal(before, fitted.umap_.embedding_)
    again = np.linalg.norm(fitted.transform(rates[:90]) - before[:90], axis=1)
    assert np.median(again) < 0.3 * np.linalg.norm(before.std(0))


def test_same_seed_same_bits_and_global_state_untouched(data):
    rates, _ = data
    state = np.random.get_state()[1].copy()
    first, second = (UMAP(**QUICK).fit_transform(rates) for _ in range(2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, UMAP(**{**QUICK, "random_state": 1}).fit_transform(rates))
    assert np.array_equal(state, np.random.get_state()[1])


def test_silent_unless_asked(data, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        UMAP(**QUICK).fit(data[0]).transform(data[0][:20])
    assert capsys.readouterr() == ("", "")
    UMAP(**QUICK, verbose=True).fit(data[0])
    assert "UMAP" in capsys.readouterr().out


def test_umap_learn_is_imported_when_it_is_needed():
    code = "import sys; from nerlib.models.umap import UMAP; UMAP(); sys.exit('umap' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_clones(fitted):
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params() and not hasattr(copy, "umap_")


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"n_components": 0}, ValueError, "n_components must be positive"),
        ({"n_neighbors": 2.5}, TypeError, "n_neighbors must be an integer; got 2.5 of type float"),
        ({"n_neighbors": 1}, ValueError, "n_neighbors must be from 2 to 239 with 240 bins; got 1"),
        ({"n_neighbors": 240}, ValueError, "n_neighbors must be from 2 to 239 with 240 bins; got 240"),
        ({"min_dist": -0.1}, ValueError, "min_dist must be positive"),
        ({"max_iter": "20"}, TypeError, "max_iter must be an integer or None"),
        ({"supervised": [0, 90]}, TypeError, "supervised must be True or False"),
    ],
)
def test_bad_parameters_are_refused(data, parameters, error, message):
    with pytest.raises(error, match=message):
        UMAP(**{**QUICK, **parameters}).fit(*data)


def test_bad_data_are_refused(data, fitted):
    rates, labels = data
    hole = rates.copy()
    hole[3, 2] = np.nan
    with pytest.raises(ValueError, match="contains NaN"):
        UMAP(**QUICK).fit(hole)
    with pytest.raises(ValueError, match="contains NaN"):
        fitted.transform(hole)
    with pytest.raises(ValueError, match="requires y to be passed"):
        UMAP(**QUICK, supervised=True).fit(rates)
    with pytest.raises(
        ValueError, match="needs a category, such as direction.*240 different values in 240 bins"
    ):
        UMAP(**QUICK, supervised=True).fit(rates, labels[:, :2])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        UMAP(**QUICK, supervised=True).fit(rates, labels[:-1])
    with pytest.raises(ValueError, match="one entry per bin, shape"):
        UMAP(**QUICK).fit(rates, trial=np.zeros(3, int))
    with pytest.raises(ValueError, match="11 features, but UMAP is expecting 12"):
        fitted.transform(rates[:, :11])
    with pytest.raises(ValueError, match="11 features, but UMAP is expecting 12"):
        fitted.published_embedding(rates[:, :11])
    for call in (UMAP().transform, UMAP().published_embedding):
        with pytest.raises(NotFittedError):
            call(rates)


def test_published_embedding_of_the_training_data_is_the_fitted_map(data, fitted):
    assert fitted.published_embedding(data[0][:180]) is fitted.umap_.embedding_


def test_published_embedding_warns_once_of_windows_without_trials(data):
    trial = np.repeat(np.arange(6), 30)
    model = UMAP(window=2, max_iter=5, random_state=0).fit(data[0][:180], trial=trial)
    with pytest.warns(UserWarning, match="was given no trial ids") as caught:
        model.published_embedding(data[0][180:])
    assert len([w for w in caught if "no trial ids" in str(w.message)]) == 1


def test_published_embedding_checks_trial_ids(data):
    rates = data[0][:180]
    model = UMAP(window=2, max_iter=5, random_state=0).fit(rates, trial=np.repeat(np.arange(6), 30))
    with pytest.raises(ValueError, match="trial must be an integer array of one entry per bin"):
        model.published_embedding(rates, trial=np.arange(5))
