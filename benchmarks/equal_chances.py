"""Every method with 1 and 10 bins of history: settings by validation, then one test.

    python benchmarks/equal_chances.py choose
    python benchmarks/equal_chances.py test
    python benchmarks/equal_chances.py choose --only "flat bottleneck"

Test trials choose nothing: `choose` fits and scores sessions that are reduced to their training trials, of
which the last fifth is the validation set, and keeps the scores; `test` fits what these scores choose. Six
candidates for every method, and more for CEBRA, one recording of each session, one seed. NER at its best and
methods on causal rates are searched in benchmarks/best.py.
Each takes the better part of an hour on two cores. Writes book/reference/equal_chances.json, which chapter 3
quotes. What has its scores in that file is not fitted again. The *flat bottleneck* is the MSE bottleneck off
the sphere.
"""

import argparse
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "book"))

import pandas as pd
from validation import describe, kept_records

from companion import paper, results
from companion.catalogue import cache_folder, open_sessions
from nerlib import experiments

PATH = Path(__file__).resolve().parent.parent / "book" / "reference" / "equal_chances.json"
SEARCH_SEED, SEEDS, BINS = 42, (42, 43), (1, 10)
DROPOUT = {"neuron_dropout": 0.3}
HALF = {"weights": (1, 1, 0.5)}  # of direction among the labels, where it has a weight
VELOCITY = {"label_columns": "linear"}  # no direction among the labels; with three dimensions, CEBRA-velocity
_RANK = [{}, DROPOUT, DROPOUT | {"temperature": 0.25}, DROPOUT | {"temperature": 0.25, "learning_rate": 6e-3}]
_RANK += [settings | HALF for settings in _RANK[2:]]
_INFONCE = [{}, DROPOUT, DROPOUT | {"temperature": 0.25}, DROPOUT | {"temperature": 0.1}]
_INFONCE += [DROPOUT | {"temperature": 0.05}, DROPOUT | {"temperature": 0.1, "learning_rate": 4e-3}]
_INFONCE += [DROPOUT | {"temperature": 0.02}]  # CEBRA-16 had chosen the lowest of the others
_SQUARED = [{}, DROPOUT, DROPOUT | {"learning_rate": 1e-2}, {"neuron_dropout": 0.5}]
_SQUARED += [settings | HALF for settings in _SQUARED[1:3]]
_UMAP = [{"n_neighbors": n, "min_dist": d} for n in (15, 50, 100) for d in (0.1, 0.5)]
CANDIDATES: dict[str, list[dict]] = {
    "NER": _RANK,
    "CEBRA": _INFONCE,
    "CEBRA-velocity": _INFONCE,
    "CEBRA-16": _INFONCE + [DROPOUT | {"temperature": t} | VELOCITY for t in (0.25, 0.1, 0.05, 0.02)],
    "MSE bottleneck": _SQUARED,
    paper.FLAT: _SQUARED,
    "UMAP": _UMAP,
    "UMAP-label": _UMAP,
    "piVAE": [
        {},
        {"learning_rate": 2e-4},
        {"learning_rate": 8e-4},
        {"max_iter": 30},
        {"batch_size": 400},
        {"batch_size": 400, "learning_rate": 8e-4},
    ],
    "PCA": [{}],  # nothing to choose
    "dPCA": [{}],  # chooses its penalty itself, of 26, on training trials
    "ridge": [{}],  # of 8
}


def windows(name):
    """The histories that a method is tried with; pi-VAE has its ten bins, centred, anyway."""
    return (10,) if name == "piVAE" else BINS


def titled(name, window):
    return name if window == 1 else f"{name}, {window} bins"


def build(name, window, settings):
    """An unfitted estimator in profile fast, but for its history and these settings."""
    if name == paper.FLAT:
        return paper.make_method("MSE bottleneck", "fast", window=window, sphere=False, **settings)
    return paper.make_method(name, "fast", window=window, **settings)


def run(sessions, methods, seeds):
    return experiments.run(sessions, methods, seeds, cache=cache_folder() / "runs")


def on_validation(sessions, methods):
    """Scores on validation trials; ``methods`` is a dict, (title, settings as text) -> estimator."""
    training = [session.split()[0] for session in sessions]  # no test trial goes further than this line
    records = run(training, {" | ".join(key): method for key, method in methods.items()}, [SEARCH_SEED])
    kept = [r for r in records if r["split"] == "test" and r["protocol"] == "corrected"]
    titles = {" | ".join(key): key for key in methods}
    return [
        r | {"method": titles[r["method"]][0], "settings": titles[r["method"]][1], "split": "validation"}
        for r in kept
    ]


def search(sessions, only=tuple(CANDIDATES), done=()):
    """Validation scores of every method, history and candidate, one recording of each session.

    ``done`` has the (title, settings as text) of candidates that have theirs.
    """
    first = [session for session in sessions if session.area != "PMd"]
    tried = {
        (titled(name, window), describe(settings)): build(name, window, settings)
        for name in only
        for window in windows(name)
        for settings in CANDIDATES[name]
    }
    return on_validation(first, {key: method for key, method in tried.items() if key not in done})


def chosen(records, title, candidates):
    """The candidate with the best validation score, the mean of the three, over recordings."""
    table = pd.DataFrame(records).query("method == @title")
    score = table[["velocity_r2", "position_r2", "direction_accuracy"]].mean(axis=1)
    best = score.groupby(table["settings"]).mean().idxmax()
    return next(settings for settings in candidates if describe(settings) == best)


def settled(records, only=tuple(CANDIDATES)):
    """title -> the settings that validation scores choose, of all histories that have scores."""
    found = {}
    for name in only:
        for title in (titled(name, window) for window in windows(name)):
            own = [r for r in records if r["method"] == title and r["split"] == "validation"]
            scored = {r["settings"] for r in own}
            candidates = [settings for settings in CANDIDATES[name] if describe(settings) in scored]
            found |= {title: chosen(own, title, candidates)} if own else {}
    return found


def write(recordings, records):
    asked = [r for r in records if r["protocol"] == "corrected" and r["split"] != "train"]
    kept = [{k: v for k, v in r.items() if k != "direction_over_time"} for r in asked]
    results.write_results(PATH, sessions=recordings, profile="fast", seeds=SEEDS, records=kept)


def choose(recordings, only):
    """Validation scores of all candidates, kept; test scores go where another candidate is chosen now."""
    kept = kept_records(PATH)
    done = {(r["method"], r["settings"]) for r in kept if r["split"] == "validation"}
    scored, before = kept + search(recordings, only, done), settled(kept)
    changed = {title for title, settings in settled(scored).items() if settings != before.get(title)}
    write(recordings, [r for r in scored if r["split"] == "validation" or r["method"] not in changed])


def test(recordings, only):
    """Scores on test trials, where there are none, with the settings that validation scores choose."""
    kept = kept_records(PATH)
    tested = {r["method"] for r in kept if r["split"] == "test"}
    for title, settings in settled(kept, only).items():
        if title not in tested:
            name, _, history = title.partition(", ")
            method = build(name, int(history.split()[0]) if history else 1, settings)
            seeds = SEEDS[:1] if name == "dPCA" else SEEDS  # a seed only picks the trials of its averages
            kept += run(recordings, {title: method}, seeds)
    write(recordings, kept)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=["choose", "test"])
    parser.add_argument("--only", nargs="*", default=list(CANDIDATES), choices=list(CANDIDATES))
    asked = parser.parse_args()
    {"choose": choose, "test": test}[asked.task](open_sessions("recorded")[0], asked.only)
