"""One setting of NER's `best` changed at a time, on validation trials: does any other value do better?

    python benchmarks/around_best.py

Single fits, not ensembles. Validation trials are the last fifth of the training trials, as in
equal_chances.py, by whose function each fit goes; test trials are not used. The better part of an hour on two
cores. Writes book/reference/around_best.json, which chapter 3 quotes.
"""

import sys
from dataclasses import replace
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "book"))

from equal_chances import BEST, DROPOUT, SEARCH_SEED, on_validation

from companion import paper, results
from companion.catalogue import N_BINS, find_file, open_sessions
from nerlib import read_nwb

PATH = Path(__file__).resolve().parent.parent / "book" / "reference" / "around_best.json"
CHANGES: list[dict] = [
    {"window": 20},
    {"temperature": 0.4},
    {"learning_rate": 3e-3},
    {"max_iter": 2400},
    {"batch_size": 64},
    {"batch_size": 256},
    {"weight_averaging": 0.0},
    {"weights": (1, 1, 0.25)},
    {"n_components": 4},
    {"n_components": 8},
]
WIDTHS = (0.03, 0.06)  # s, s.d. of the smoothing; the paper's is 0.045


def change(settings):
    """A change as text."""
    return ", ".join(f"{name} = {value}" for name, value in settings.items()) or "none"


def smoothed(session, width):
    """The session with its counts smoothed by another Gaussian."""
    series = f"ecephys/counts_{session.area}"
    size = {"n_bins": N_BINS[session.area], "smooth_sd": width, "name": session.name}
    return replace(read_nwb(find_file(session.name), session.area, counts=series, **size), area=session.area)


def best():
    """The settings of `best` among those of equal_chances.py."""
    params = paper.make_method("NER", "best").estimator.get_params()
    settings = [DROPOUT | tried for tried in BEST]
    return next(tried for tried in settings if all(params[name] == value for name, value in tried.items()))


def main():
    recordings, _ = open_sessions("recorded")
    tried = {change(c): paper.make_method("NER", "fast", **best() | c) for c in [{}, *CHANGES]}
    records = on_validation(recordings, {("NER", name): method for name, method in tried.items()})
    for width in WIDTHS:
        name = f"smoothing s.d. = {width} s"
        others = [smoothed(session, width) for session in recordings]
        records += on_validation(others, {("NER", name): tried["none"]})
    kept = [{k: v for k, v in record.items() if k != "direction_over_time"} for record in records]
    results.write_results(PATH, sessions=recordings, profile="fast", seeds=[SEARCH_SEED], records=kept)


if __name__ == "__main__":
    main()
