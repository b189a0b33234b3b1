"""The methods that the book compares, one estimator a file, and the table of them."""

from nerlib.models.cebra import CEBRA
from nerlib.models.controls import Bottleneck, Ridge
from nerlib.models.dpca import DPCA
from nerlib.models.ner import NER
from nerlib.models.pca import PCA
from nerlib.models.pivae import PiVAE
from nerlib.models.umap import UMAP

# What a profile means for each method. "paper": the published settings. "fast": a fraction of the time; for
# NER, held-out scores that are higher on average and on no recording lower by more than 0.01
# (benchmarks/speed.py). "quick": enough for a first look and for tests.
# "fast" of the methods with the encoder was chosen on validation trials, taken out of training
# (benchmarks/validation.py): where they are level, as for NER, the settings of CEBRA, so that the two differ
# in the loss alone.
# "CEBRA" gets the labels that the published runs gave it, the angle in plain degrees among them;
# "CEBRA-velocity" gets velocity alone, which serves it far better (section 4); "CEBRA-16" has the 16
# dimensions that the paper gave it for the kNN decoder.
_PAPER = {"max_iter": 20_000, "batch_size": 512, "learning_rate": 1e-4, "averaged": 0.0}
_QUICK = {"max_iter": 200}
_VELOCITY = {"label_columns": (0, 1)}
_WIDE = {"n_components": 16}
_LABEL = {"labels": True}
DETERMINISTIC = ("PCA", "ridge", "ridge, 10 bins")  # no chance in them: one seed is enough
CONTROLS = ("bottleneck", "ridge", "ridge, 10 bins")  # not among the paper's methods
_MINUTES = ("piVAE", "UMAP", "UMAP-label")  # what even a profile "quick" takes for a session
METHODS = {
    "NER": (NER, {"paper": _PAPER, "fast": {}, "quick": {"max_iter": 400, "learning_rate": 3e-3}}),
    "CEBRA": (CEBRA, {"paper": _PAPER, "fast": {}, "quick": _QUICK}),
    "CEBRA-velocity": (
        CEBRA,
        {"paper": _PAPER | _VELOCITY, "fast": _VELOCITY, "quick": _QUICK | _VELOCITY},
    ),
    "CEBRA-16": (CEBRA, {"paper": _PAPER | _WIDE, "fast": _WIDE, "quick": _QUICK | _WIDE}),
    "piVAE": (
        PiVAE,
        {"paper": {"scale_labels": False}, "fast": {"max_iter": 150}, "quick": {"max_iter": 20}},
    ),
    "UMAP": (UMAP, {"paper": {}, "fast": {"max_iter": 100}, "quick": {"max_iter": 30}}),
    "UMAP-label": (
        UMAP,
        {"paper": _LABEL, "fast": _LABEL | {"max_iter": 100}, "quick": _LABEL | {"max_iter": 30}},
    ),
    "PCA": (PCA, {"paper": {}, "fast": {}, "quick": {}}),
    "dPCA": (DPCA, {"paper": {}, "fast": {}, "quick": {}}),
    "bottleneck": (Bottleneck, {"paper": _PAPER, "fast": {}, "quick": _QUICK}),
    "ridge": (Ridge, {"paper": {}, "fast": {}, "quick": {}}),
    "ridge, 10 bins": (Ridge, dict.fromkeys(("paper", "fast", "quick"), {"window": 10})),
}


def make_method(name, profile="fast", **overrides):
    """Build a method of the paper with the settings of a profile.

    Parameters
    ----------
    name : str, a key of `METHODS`
    profile : "paper" (published settings), "fast" (much sooner, and NER reads as well) or "quick"
    **overrides : parameters of the estimator that differ from the profile, e.g. ``random_state=42``

    Returns
    -------
    an unfitted estimator

    Raises
    ------
    ValueError : an unknown method or profile
    """
    if name not in METHODS:
        raise ValueError(f"unknown method {name!r}; expected one of {', '.join(METHODS)}")
    estimator, profiles = METHODS[name]
    if profile not in profiles:
        raise ValueError(f"unknown profile {profile!r}; expected one of {', '.join(profiles)}")
    return estimator(**{**profiles[profile], **overrides})


def rivals(profile):
    """The methods that the book compares NER with; profile "quick" leaves out those that take minutes."""
    return [name for name in METHODS if name != "NER" and not (profile == "quick" and name in _MINUTES)]


__all__ = [
    "CEBRA",
    "CONTROLS",
    "DETERMINISTIC",
    "DPCA",
    "METHODS",
    "NER",
    "PCA",
    "UMAP",
    "Bottleneck",
    "PiVAE",
    "Ridge",
    "make_method",
    "rivals",
]
