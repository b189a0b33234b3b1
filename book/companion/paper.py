"""The settings of the paper for every method that the book compares, and quicker ones.

"paper": the settings of the paper. "fast": a fraction of the time; NER's held-out scores are higher on
average and on no recording lower by more than 0.01 (benchmarks/speed.py). For the methods with an encoder
these are the defaults of the estimators, chosen on validation trials taken out of training
(benchmarks/validation.py).
"quick": the settings of "fast"; chapters run one seed and leave out the methods that `rivals` leaves out.
"best" and "causal" are NER beyond the paper: an ensemble with history and neuron dropout, on rates that are
smoothed with a width of 0.11 s, for "causal" from the past alone; chosen on validation trials
(benchmarks/best.py).
"""

from collections.abc import Iterable

from sklearn.base import BaseEstimator

from nerlib.models import METHODS, Ensemble
from nerlib.models import make_method as make_default

PERIODS = (None, None, 360.0)  # of the labels: velocity x and y, and the direction in degrees
CONTROLS = ("MSE bottleneck", "ridge", "ridge, 10 bins")  # methods that the paper does not have
FLAT = "flat bottleneck"  # the MSE bottleneck off the sphere, a control that is among the kept results alone
PROFILES = ("paper", "fast", "quick")

_SLOW = ("piVAE", "UMAP", "UMAP-label")
_PAPER = {"max_iter": 20_000, "batch_size": 512, "learning_rate": 1e-4, "weight_averaging": 0.0}
_BEYOND = dict(window=15, neuron_dropout=0.3, temperature=0.25, learning_rate=6e-3, weights=(1, 1, 0.5))
_MEMBERS = {"best": 5, "causal": 5}
_SETTINGS: dict[str, dict[str, dict]] = {
    "paper": dict.fromkeys(("NER", "CEBRA", "CEBRA-velocity", "CEBRA-16", "MSE bottleneck"), _PAPER)
    | {"piVAE": {"max_iter": 300, "scale_labels": False}},
    "best": {"NER": _BEYOND},
    "causal": {"NER": _BEYOND},
    "fast": {
        "piVAE": {"max_iter": 60, "learning_rate": 4e-4},
        "UMAP": {"max_iter": 100},
        "UMAP-label": {"max_iter": 100},
    },
}


def make_method(name: str, profile: str, **overrides) -> BaseEstimator:
    """Build a method with the settings of a profile: an unfitted estimator, label periods `PERIODS` if any.

    Raises ValueError for an unknown method or profile.

    "CEBRA" gets the labels of the published runs, the angle in plain degrees among them; "CEBRA-velocity"
    gets velocity alone, and decodes far better; "CEBRA-16" has the 16 dimensions of the paper's kNN decoder.

    Parameters
    ----------
    name : str, a key of `nerlib.models.METHODS`
    profile : "paper", "fast" or "quick"; for NER also "best" or "causal"
    **overrides : parameters of the estimator that differ from the profile, e.g. ``random_state=42``
    """
    known = (*PROFILES, *_MEMBERS) if name == "NER" else PROFILES
    if profile not in known:
        raise ValueError(f"unknown profile {profile!r} of {name}; expected one of {', '.join(known)}")
    settings = _SETTINGS["fast" if profile == "quick" else profile].get(name, {})
    if "periods" in make_default(name).get_params():
        settings = {"periods": PERIODS} | settings
    if profile not in _MEMBERS:
        return make_default(name, **{**settings, **overrides})
    seed = {"random_state": overrides.pop("random_state", None)}
    return Ensemble(make_default(name, **{**settings, **overrides}), n_members=_MEMBERS[profile], **seed)


def methods(names: str | Iterable[str], profile: str, **overrides) -> dict[str, BaseEstimator]:
    """Several methods with the settings of a profile: name -> unfitted estimator; see `make_method`."""
    names = [names] if isinstance(names, str) else names
    return {name: make_method(name, profile, **overrides) for name in names}


def rivals(profile: str) -> list[str]:
    """Names of the methods that NER is compared with; "quick" leaves out the slow ones, pi-VAE and UMAP."""
    return [name for name in METHODS if name != "NER" and not (profile == "quick" and name in _SLOW)]
