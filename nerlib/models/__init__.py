"""The methods that the book compares, one estimator a file, and the table of them."""

from nerlib.models.ner import NER

# What a profile means for each method. "paper": the published settings. "fast": reaches the same held-out
# scores in a fraction of the time (SCIENCE, section 7). "quick": enough for a first look and for tests.
_PAPER = {"max_iter": 20_000, "learning_rate": 1e-4, "schedule": "constant"}
METHODS = {
    "NER": (NER, {"paper": _PAPER, "fast": {}, "quick": {"max_iter": 200}}),
}


def make_method(name, profile="fast", **overrides):
    """Build a method of the paper with the settings of a profile.

    Parameters
    ----------
    name : str, a key of `METHODS`
    profile : "paper" (published settings), "fast" (same scores, much sooner) or "quick" (a first look)
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


__all__ = ["METHODS", "NER", "make_method"]
