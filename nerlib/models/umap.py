"""UMAP (McInnes, Healy & Melville, 2018) of the rates, with or without the direction as a label."""

import warnings
from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from sklearn.neighbors import NearestNeighbors
from sklearn.utils.validation import check_is_fitted, check_X_y, validate_data

from nerlib.models._common import Method, check_numbers
from nerlib.sampling import stacked

_EXACT = 20_000  # bins up to which neighbors are exact; umap-learn searches approximately beyond
_PASSED_ON = ("n_components", "n_neighbors", "min_dist", "random_state", "verbose")


@dataclass(eq=False, repr=False)
class UMAP(Method):
    """umap-learn with the calls of the other methods (Methods page, *Other methods*); needs ``nerlib[umap]``.

    The attribute ``umap_`` is the fitted umap.UMAP.

    Parameters
    ----------
    n_components : int, dimensions of the map (the paper: 2)
    supervised : bool, whether the direction, the last label column, supervises the map as a category
    n_neighbors : int >= 2, bins in the neighbourhood of a bin; at most all other bins
    min_dist : float >= 0, how close two bins may lie in the map
    max_iter : int or None, epochs; None: umap-learn's choice, 500 up to 10 000 bins and 200 beyond
    window : int, bins of history side by side, the current bin included (the paper: 1)
    random_state, verbose : as in `EncoderMethod`; the progress is that of umap-learn
    """

    _fitted = "umap_"
    n_components: int = 2
    _: KW_ONLY
    supervised: bool = False
    n_neighbors: int = 15
    min_dist: float = 0.1
    max_iter: int | None = None
    window: int = 1
    random_state: Any = None
    verbose: bool = False

    def fit(self, X: Any, y: Any = None, trial: Any = None) -> Self:
        """Fit the map on rates (T, N) of trials (T,) or None; returns self.

        Labels (T, k) or (T,), the direction last, are needed with ``supervised=True``. Raises ValueError or
        TypeError for bad parameters, NaN, lengths that disagree and missing labels; ImportError without
        umap-learn.
        """
        self.__dict__.pop("umap_", None)  # a fit that fails leaves no model behind
        self.umap_ = self._fitted_map(self._checked(X, trial, reset=True), y)
        return self

    def transform(self, X: Any, trial: Any = None) -> np.ndarray:
        """Place rates (T, N) in the fitted map, without labels: float32 array (T, n_components)."""
        X = self._inputs(X, trial, np.float32)
        return self.umap_.transform(X)

    def fit_transform(self, X: Any, y: Any = None, trial: Any = None) -> np.ndarray:
        """Fit the map, and return where it put the bins it was fitted on: float32 (T, n_components)."""
        return self.fit(X, y, trial).umap_.embedding_

    def published_embedding(self, X: Any, y: Any = None, trial: Any = None) -> np.ndarray:
        """The published embedding (T, n_components): a map of these data alone; for those of `fit`, its map.

        For held-out data it is no test: its axes are unrelated to those of the fitted map, and with
        ``supervised=True`` it is given the directions that are to be decoded.
        """
        check_is_fitted(self)
        X = self._checked(X, trial, reset=False)
        known = np.array_equal(X, self.umap_._raw_data)
        return (self.umap_ if known else self._fitted_map(X, y)).embedding_

    def _checked(self, X, trial, reset):
        """Rates with their history, validated as the parameters are."""
        check_numbers(self, Integral, "n_components", "n_neighbors", "window")
        check_numbers(self, Integral, "max_iter", optional=True)
        if self.min_dist != 0:
            check_numbers(self, Real, "min_dist")
        if not isinstance(self.supervised, bool):
            raise TypeError(f"supervised must be True or False; got {self.supervised!r}. Labels go to fit")
        X = validate_data(self, X, reset=reset, dtype=np.float32)
        return stacked(X, self._check_trial(trial, len(X), 1), self.window)

    def _fitted_map(self, X, y):
        if not self.supervised:
            y = None
        else:
            X, y = check_X_y(X, y, multi_output=True, dtype=np.float32, estimator=self)
            y = np.unique(y.reshape(len(X), -1)[:, -1], return_inverse=True)[1]
            if y.max() >= len(X) / 2:
                needed = "a category, such as direction, as the last label column"
                found = f"{y.max() + 1} different values in {len(X)} bins"
                raise ValueError(f"supervised=True needs {needed}; it has {found}")
        if not 2 <= self.n_neighbors < len(X):
            within = f"from 2 to {len(X) - 1} with {len(X)} bins"
            raise ValueError(f"n_neighbors must be {within}; got {self.n_neighbors}")
        try:
            import umap  # here, since the import alone takes seconds
        except ImportError:
            raise ImportError("UMAP needs umap-learn: pip install 'nerlib[umap]'") from None
        settings = {name: getattr(self, name) for name in _PASSED_ON}
        if len(X) <= _EXACT:
            search = _ExactSearch(n_neighbors=self.n_neighbors).fit(X)
            settings["precomputed_knn"] = (*search.query(X), search)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"precomputed_knn\[2\]")  # it is no index of pynndescent's
            return umap.UMAP(n_epochs=self.max_iter, n_jobs=1, **settings).fit(X, y)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = self.supervised
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


class _ExactSearch(NearestNeighbors):
    """Exact neighbors, asked for as umap-learn asks pynndescent's index.

    That index would be compiled in every process, for half a minute; and below 4096 bins umap-learn would
    compute distances pair by pair in Python.
    """

    _angular_trees = False

    def query(self, rates, n_neighbors=None, epsilon=None):
        distances, indices = self.kneighbors(rates, n_neighbors)
        return indices, distances.astype(np.float32)
