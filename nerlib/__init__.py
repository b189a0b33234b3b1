"""Neural Embeddings Rank (NER): models, losses, decoders and scores for neural population recordings.

Names are resolved on first use, so that ``import nerlib`` loads nothing heavy.
"""

from importlib import import_module

__version__ = "0.2.0"

_HOME = {"Session": "session", "read_nwb": "data", "simulate_session": "data"}
_HOME |= dict.fromkeys(
    "Bottleneck CEBRA DPCA Ensemble NER PCA PiVAE Ridge UMAP make_method".split(), "models"
)
_MODULES = "alignment data decoders experiments losses metrics models".split()
__all__ = [*_HOME, *_MODULES]  # not plots, which needs the extra


def __getattr__(name):
    if name in _HOME:
        return getattr(import_module(f"nerlib.{_HOME[name]}"), name)
    if name in (*_MODULES, "plots"):
        return import_module(f"nerlib.{name}")
    raise AttributeError(f"module 'nerlib' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
