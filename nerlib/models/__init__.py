"""The methods, one estimator a file, and the table of them."""

from sklearn.base import BaseEstimator

from nerlib.models.bottleneck import Bottleneck
from nerlib.models.cebra import CEBRA
from nerlib.models.dpca import DPCA
from nerlib.models.ensemble import Ensemble
from nerlib.models.ner import NER
from nerlib.models.pca import PCA
from nerlib.models.pivae import PiVAE
from nerlib.models.ridge import Ridge
from nerlib.models.umap import UMAP

# name -> estimator and the parameters that differ from its defaults. Steps and rates of the methods with
# NER's network were chosen on validation trials (benchmarks/validation.py). "CEBRA" gets all label columns,
# as in the published runs; "CEBRA-velocity" gets velocity alone, with which it does far better, and needs
# periods, which tell it from direction; "CEBRA-16" has 16 dimensions, for a kNN decoder.
METHODS: dict[str, tuple] = {
    "NER": (NER, {}),
    "CEBRA": (CEBRA, {}),
    "CEBRA-velocity": (CEBRA, {"label_columns": "linear"}),
    "CEBRA-16": (CEBRA, {"n_components": 16, "max_iter": 1200, "learning_rate": 6e-3}),
    "piVAE": (PiVAE, {}),
    "UMAP": (UMAP, {}),
    "UMAP-label": (UMAP, {"supervised": True}),
    "PCA": (PCA, {}),
    "dPCA": (DPCA, {}),
    "MSE bottleneck": (Bottleneck, {}),
    "ridge": (Ridge, {}),
    "ridge, 10 bins": (Ridge, {"window": 10}),
}


def make_method(name: str, **overrides) -> BaseEstimator:
    """An unfitted estimator of `METHODS`, with ``overrides`` of parameters; ValueError for an unknown one."""
    if name not in METHODS:
        raise ValueError(f"unknown method {name!r}; expected one of {', '.join(METHODS)}")
    estimator, settings = METHODS[name]
    return estimator(**{**settings, **overrides})


__all__ = ["CEBRA", "DPCA", "METHODS", "NER", "PCA", "UMAP", "Bottleneck", "Ensemble", "PiVAE", "Ridge"]
__all__ += ["make_method"]
