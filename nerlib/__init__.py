"""Neural Embeddings Rank (NER): models, losses and decoders for the companion book.

Names are resolved on first use, so that ``import nerlib`` loads nothing heavy.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOME = {
    "Session": "session",
    "load_session": "data",
    "list_sessions": "data",
    "read_nwb": "data",
    "simulate_session": "data",
    "CEBRA": "models",
    "DPCA": "models",
    "NER": "models",
    "PCA": "models",
    "PiVAE": "models",
    "UMAP": "models",
    "make_method": "models",
}
_MODULES = "alignment cells comparison data decoders experiments losses metrics plots results".split()
__all__ = [*_HOME, *_MODULES]


def __getattr__(name):
    if name in _HOME:
        return getattr(import_module(f"nerlib.{_HOME[name]}"), name)
    if name in __all__:
        return import_module(f"nerlib.{name}")
    raise AttributeError(f"module 'nerlib' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
