"""PCA is scikit-learn's, whatever labels and trials it is given."""

import warnings

import numpy as np
import pytest
from sklearn import decomposition
from sklearn.exceptions import SkipTestWarning
from sklearn.utils.estimator_checks import check_estimator

from nerlib.models.pca import PCA


def test_follows_the_conventions_of_scikit_learn():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)  # checks for array libraries that are not installed
        check_estimator(PCA(n_components=1))


def test_is_scikit_learns_and_ignores_labels_and_trials(session):
    first, second = session.split()
    ours = PCA().fit(first.rates, first.labels, first.trial)
    theirs = decomposition.PCA(3, svd_solver="full").fit(first.rates)
    expected = theirs.transform(second.rates)
    assert expected.shape == (len(second.rates), 3)
    assert np.array_equal(ours.transform(second.rates, second.trial), expected)
    assert np.array_equal(ours.explained_variance_ratio_, theirs.explained_variance_ratio_)
    again = PCA().fit_transform(first.rates, np.full(len(first.rates), np.nan), trial=None)
    assert np.array_equal(again, ours.transform(first.rates))


def test_parameters():
    assert PCA().get_params() == {"n_components": 3, "window": 1}
    with pytest.raises(TypeError):
        PCA(3, None)


@pytest.mark.parametrize(
    ("n_components", "error", "message"),
    [
        (0, ValueError, "n_components must be positive"),
        (0.5, TypeError, "n_components must be an integer; got 0.5 of type float"),
        ("mle", TypeError, "n_components must be an integer"),
        (None, TypeError, "n_components must be an integer"),
        (11, ValueError, "n_components=11 must be between 0 and"),
    ],
)
def test_bad_parameters_are_refused(session, n_components, error, message):
    with pytest.raises(error, match=message):
        PCA(n_components).fit(session.rates)


def test_bad_data_are_refused(session):
    with pytest.raises(ValueError, match="10 features"):
        PCA().fit(session.rates).transform(session.rates[:, :5])
    with pytest.raises(ValueError, match="NaN"):
        PCA().fit(np.full((20, 4), np.nan))
