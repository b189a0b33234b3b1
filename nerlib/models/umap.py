"""UMAP (McInnes, Healy & Melville, 2018) of the rates, with or without the direction as a label."""

from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from nerlib.models.encoded import check_number, check_trial

_PASSED_ON = ("n_components", "n_neighbors", "min_dist", "random_state", "verbose")


class UMAP(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """umap-learn with the calls of the other methods (SCIENCE, section 4).

    `transform` places bins in the map that was fitted on the training trials. `published_embedding` is the
    paper's way with held-out data: a second map of the test trials, by themselves.

    Parameters
    ----------
    n_components : int, dimensions of the map (the paper: 2)
    labels : bool, whether the map is supervised by the direction, the last label column, as a category
    n_neighbors : int >= 2, bins that count as a bin's neighbourhood; at most all other bins
    min_dist : float >= 0, how close two bins may lie in the map
    max_iter : int or None, epochs; None: umap-learn's choice, 500 up to 10 000 bins and 200 beyond
    random_state : int, RandomState or None
    verbose : bool, whether umap-learn reports its progress

    Attributes
    ----------
    umap_ : umap.UMAP, fitted
    n_features_in_ : int, neurons
    """

    def __init__(
        self,
        n_components=2,
        *,
        labels=False,
        n_neighbors=15,
        min_dist=0.1,
        max_iter=None,
        random_state=None,
        verbose=False,
    ):
        self.n_components = n_components
        self.labels = labels
        self.n_neighbors = n_neighbors
        self.min_dist = min_dist
        self.max_iter = max_iter
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X, y=None, trial=None):
        """Fit the map.

        Parameters
        ----------
        X : array (T, N), rates (spikes/bin)
        y : array (T, k) or (T,), labels, the direction (degrees) last; needed with ``labels=True``
        trial : int array (T,) or None; bins are mapped one by one, so it changes nothing

        Raises
        ------
        ValueError, TypeError : parameters out of range, NaN, lengths that disagree, labels that are missing
        """
        self.umap_ = self._fitted_map(X, y, trial, reset=True)
        return self

    def transform(self, X, trial=None):
        """Place rates (T, N) in the fitted map, without labels: float32 array (T, n_components)."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float32)
        check_trial(trial, len(X))
        return self.umap_.transform(X)

    def fit_transform(self, X, y=None, trial=None):
        """Fit the map, and return where it put the bins it was fitted on: float32 (T, n_components)."""
        return self.fit(X, y, trial).umap_.embedding_

    def published_embedding(self, X, y=None, trial=None):
        """The published form: the embedding (T, n_components) of a map of these data alone.

        For the data of `fit` that is the fitted map itself. For held-out data it is not to be believed: its
        axes have nothing to do with those of the fitted map, so that no decoder fitted there can read it; and
        with ``labels=True`` it is given the directions to be decoded.
        """
        check_is_fitted(self)
        if np.array_equal(np.asarray(X, np.float32), self.umap_._raw_data):
            return self.umap_.embedding_
        return self._fitted_map(X, y, trial, reset=False).embedding_

    def _fitted_map(self, X, y, trial, reset):
        self._check_parameters()
        checks = {"reset": reset, "dtype": np.float32}
        if not self.labels:
            X, y = validate_data(self, X, **checks), None
        else:
            X, y = validate_data(self, X, y, multi_output=True, **checks)
            y = np.unique(y.reshape(len(X), -1)[:, -1], return_inverse=True)[1]
        check_trial(trial, len(X))
        if not 2 <= self.n_neighbors < len(X):
            within = f"from 2 to {len(X) - 1} with {len(X)} bins"
            raise ValueError(f"n_neighbors must be {within}; got {self.n_neighbors}")
        import umap  # here, since the import alone takes seconds

        settings = {name: getattr(self, name) for name in _PASSED_ON}
        return umap.UMAP(n_epochs=self.max_iter, n_jobs=1, **settings).fit(X, y)

    def _check_parameters(self):
        check_number("n_components", self.n_components, Integral, "an integer")
        check_number("n_neighbors", self.n_neighbors, Integral, "an integer")
        if self.max_iter is not None:
            check_number("max_iter", self.max_iter, Integral, "an integer or None")
        if self.min_dist != 0:
            check_number("min_dist", self.min_dist, Real, "a number")
        if not isinstance(self.labels, bool):
            raise TypeError(f"labels must be True or False; got {self.labels!r}. Labels themselves go to fit")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = self.labels
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    @property
    def _n_features_out(self):
        return self.n_components
