"""PCA of scikit-learn, with the calls of the other methods."""

from numbers import Integral

from sklearn import decomposition

from nerlib.models.encoded import check_number


class PCA(decomposition.PCA):
    """Principal components of the rates in each bin (SCIENCE, section 4); labels and trials are ignored.

    Parameters
    ----------
    n_components : int, dimensions of the embedding, no more than neurons or bins
    random_state : int, RandomState or None; used only where scikit-learn picks its randomised solver

    Attributes: those of scikit-learn's ``PCA``, e.g. ``components_``, ``explained_variance_ratio_``.
    """

    def __init__(self, n_components=3, *, random_state=None):
        super().__init__(n_components, random_state=random_state)

    def fit(self, X, y=None, trial=None):
        """Find the components of rates X, array (T, N); returns self."""
        check_number("n_components", self.n_components, Integral, "an integer")
        return super().fit(X)

    def transform(self, X, trial=None):
        """Embed rates X, array (T, N); returns an array (T, n_components)."""
        return super().transform(X)

    def fit_transform(self, X, y=None, trial=None):
        """Find the components, then embed the same rates; see `fit` and `transform`."""
        return self.fit(X).transform(X)
