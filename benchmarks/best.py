"""NER at its best, `best` and `causal`, and its nearest rivals: settings by validation, then one test.

    python benchmarks/best.py choose
    python benchmarks/best.py test
    python benchmarks/best.py choose --only "flat bottleneck"

`choose` starts from settings, changes one at a time, then makes the changes that helped together, the most
helpful first; a change that gains less than 0.01 is left out, as it may be chance and often costs time. It
does so for NER, the bottlenecks and ridge along the axes that they have; on causal rates, and for CEBRA-16,
along fewer axes, as many for the bottlenecks as for NER, and for more methods. A candidate's score is the
mean of velocity R², position R², direction accuracy and single-trial R² on validation trials, over all
recordings. Test trials choose nothing: `choose` sees sessions that are reduced to their training trials, of
which the last fifth is the validation set; `test` fits what the kept scores choose, and the bottlenecks once
more with NER's label weights.
An hour and a half on two cores. Writes book/reference/best.json, which chapters 3 and 11 quote. Candidates
whose scores that file has are not fitted again; delete it to search again. `test`, too, fits what the file
lacks; `choose` removes the test scores of the methods that it searches, and all of them if NER is among
these. The *flat bottleneck* is the MSE bottleneck off the sphere.
"""

import argparse
import sys
from functools import cache
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "book"))

import pandas as pd
from equal_chances import build as build_one
from validation import describe, kept_records

from companion import paper, results
from companion.catalogue import cache_folder, load_session, open_sessions
from nerlib import Ensemble, experiments

PATH = Path(__file__).resolve().parent.parent / "book" / "reference" / "best.json"
SEED = 42
SCORES = ["velocity_r2", "position_r2", "direction_accuracy", "single_trial_r2"]
SMOOTHING = {"best": "published", "causal": "causal"}
LEAST_GAIN = 0.01
MEMBERS = (1, 5)  # fits that are averaged
AVERAGED = ("NER", "MSE bottleneck", paper.FLAT, "CEBRA", "CEBRA-velocity", "CEBRA-16")
START: dict[str, dict] = {
    "NER": {
        "window": 15,
        "temperature": 0.25,
        "weights": (1, 1, 0.5),
        "learning_rate": 6e-3,
        "neuron_dropout": 0.3,
        "max_iter": 1200,
        "batch_size": 128,
        "weight_averaging": 0.75,
        "n_components": 3,
        "smooth_sd": 0.045,
    },
    "MSE bottleneck": {
        "window": 15,
        "learning_rate": 1e-2,
        "neuron_dropout": 0.3,
        "max_iter": 1600,
        "batch_size": 64,
        "weight_averaging": 0.75,
        "smooth_sd": 0.045,
    },
    "ridge": {"window": 10, "smooth_sd": 0.045},
    # What equal_chances.py chose with ten bins:
    "CEBRA": {"window": 10, "neuron_dropout": 0.3, "temperature": 0.02, "smooth_sd": 0.045},
    "CEBRA-velocity": {"window": 10, "neuron_dropout": 0.3, "temperature": 0.1, "smooth_sd": 0.045},
    "CEBRA-16": {
        "window": 10,
        "neuron_dropout": 0.3,
        "temperature": 0.02,
        "label_columns": "linear",
        "smooth_sd": 0.045,
    },
    "UMAP-label": {"window": 10, "smooth_sd": 0.045},
    "UMAP": {"window": 10, "min_dist": 0.5, "smooth_sd": 0.045},
    "PCA": {"window": 10, "smooth_sd": 0.045},
    "dPCA": {"window": 10, "smooth_sd": 0.045},
}
START[paper.FLAT] = START["MSE bottleneck"]
BOTTLENECKS = ("MSE bottleneck", paper.FLAT)
NEAREST = ("NER", "MSE bottleneck", paper.FLAT, "ridge")
METHODS = {"best": (*NEAREST, "CEBRA-16"), "causal": tuple(START)}  # CEBRA-16 comes nearest to NER
AXES: dict[str, list] = {
    "window": [5, 10, 15, 20],
    "smooth_sd": [0.0, 0.03, 0.045, 0.06, 0.08, 0.11],  # s; 0: raw counts
    "neuron_dropout": [0.15, 0.3, 0.5],
    "learning_rate": [3e-3, 6e-3, 1e-2],
    "temperature": [0.15, 0.25, 0.4],
    "weights": [(1, 1, 0.25), (1, 1, 0.5), (1, 1, 1)],  # of the label columns; the bottlenecks start from 1
    "max_iter": [1200, 1600, 2400],
    "batch_size": [64, 128, 256],
    "weight_averaging": [0.5, 0.75, 0.9],
    "n_components": [4],  # to see what a fourth dimension would give; `best` has three
}
OF_ALL = ("window", "smooth_sd")  # axes that causal rates are searched along for every method
# The axes of shorter searches: all on causal rates, and that of CEBRA-16 in `best`.
SHORTER = {"NER": (*OF_ALL, "neuron_dropout", "temperature", "weights")}
SHORTER |= dict.fromkeys(BOTTLENECKS, (*OF_ALL, "neuron_dropout", "learning_rate", "weights"))
SHORTER |= dict.fromkeys(("CEBRA", "CEBRA-velocity", "CEBRA-16"), (*OF_ALL, "neuron_dropout", "temperature"))
# Of methods that are not the nearest:
FEWER: dict[str, list] = {"window": [15], "smooth_sd": [0.08, 0.11], "temperature": [0.02, 0.05]}


def singles(name, form):
    """The start and all settings that differ from it in one: list of dict; five bins for ridge alone."""
    start, values = START[name], AXES if name in NEAREST else AXES | FEWER
    axes = AXES if form == "best" and name in NEAREST else SHORTER.get(name, OF_ALL)
    return [start] + [
        start | {axis: value}
        for axis in axes
        if axis in start or (axis == "weights" and name in BOTTLENECKS)
        for value in values[axis]
        if value != start.get(axis, (1, 1, 1)) and not (axis == "window" and value == 5 and name != "ridge")
    ]


def mean_scores(records, title):
    """settings as text -> the mean of the four validation scores over recordings."""
    table = pd.DataFrame(records).query("method == @title")
    return table[SCORES].mean(axis=1).groupby(table["settings"]).mean()


def gains(name, form, records):
    """axis -> the largest gain of a change along it, and the settings; three dimensions, gains that count."""
    score, (start, *others) = mean_scores(records, f"{name}, {form}"), singles(name, form)
    best = {}
    for settings in others:
        (axis,) = (key for key, value in settings.items() if value != start.get(key))
        gain = score[describe(settings)] - score[describe(start)]
        if axis != "n_components" and gain > best.get(axis, (LEAST_GAIN, None))[0]:
            best[axis] = gain, settings
    return best


def together(name, form, records):
    """The changes that helped, made together: the two that helped most, the three, and so on."""
    best, start = gains(name, form, records), START[name]
    ranked = sorted(best, key=lambda axis: -best[axis][0])
    changes = [{axis: best[axis][1][axis] for axis in ranked[:n]} for n in range(2, len(ranked) + 1)]
    return [start | change for change in changes]


def chosen(name, form, records):
    """The best of the start, the changes that helped, and these together."""
    helped = [settings for _, settings in gains(name, form, records).values()]
    score = mean_scores(records, f"{name}, {form}")
    candidates = [START[name], *helped, *together(name, form, records)]
    return max(candidates, key=lambda settings: score[describe(settings)])


def n_members(name, records):
    """The number of fits, averaged, that was best; NER's number for methods that were not asked."""
    asked = name if name in BOTTLENECKS else "NER"
    found = mean_scores(records, f"{asked}, members, best").idxmax().removeprefix("members=")
    return int(found) if name in AVERAGED else 1


def build(name, settings, members=1):
    """An estimator with these settings, or an ensemble of it."""
    own = {key: value for key, value in settings.items() if key not in ("smooth_sd", "window")}
    method = build_one(name, settings["window"], own)
    alignment = "affine" if name in BOTTLENECKS else "rotation"
    return method if members == 1 else Ensemble(method, n_members=members, alignment=alignment)


@cache
def opened(smoothing, smooth_sd):
    """All recordings, smoothed in this way."""
    recordings = open_sessions("recorded")[0]
    return [load_session(s.name, s.area, smoothing=smoothing, smooth_sd=smooth_sd) for s in recordings]


def run(sessions, methods):
    records = experiments.run(sessions, methods, [SEED], cache=cache_folder() / "runs")
    kept = [r for r in records if r["split"] == "test" and r["protocol"] == "corrected"]
    return [{k: v for k, v in r.items() if k != "direction_over_time"} for r in kept]


def on_validation(title, form, tried):
    """Scores on validation trials of (settings, estimator) pairs."""
    records = []
    for width in sorted({settings["smooth_sd"] for settings, _ in tried}):
        # No test trial goes further than this line.
        training = [session.split()[0] for session in opened(SMOOTHING[form], width)]
        methods = {describe(s): method for s, method in tried if s["smooth_sd"] == width}
        records += run(training, methods)
    named = {"method": f"{title}, {form}", "split": "validation"}
    return [r | named | {"settings": r["method"]} for r in records]


def untried(name, form, candidates, records):
    """Candidates without a validation score, each with its estimator."""
    done = {r["settings"] for r in records if r["method"] == f"{name}, {form}"}
    return [(settings, build(name, settings)) for settings in candidates if describe(settings) not in done]


def choose(only=tuple(START)):
    """Validation scores of all candidates, kept; test scores by earlier ones go."""
    stale = tuple(START) if "NER" in only else only  # others take NER's label weights and number of fits
    records = [
        r for r in kept_records(PATH) if r["split"] == "validation" or r["method"].split(",")[0] not in stale
    ]
    for form in SMOOTHING:
        for name in (name for name in METHODS[form] if name in only):
            records += on_validation(name, form, untried(name, form, singles(name, form), records))
            more = together(name, form, records)
            records += on_validation(name, form, untried(name, form, more, records))
            print(form, name, describe(chosen(name, form, records)), flush=True)
            write(records)
    for name in (name for name in ("NER", *BOTTLENECKS) if name in only):
        best, title = chosen(name, "best", records), f"{name}, members"
        records = [r for r in records if r["method"] != f"{title}, best"]
        for members in MEMBERS:
            found = on_validation(title, "best", [(best, build(name, best, members))])
            records += [r | {"settings": f"members={members}"} for r in found]
    write(records)


def test(only=tuple(START)):
    """Scores on test trials with the settings that the kept validation scores choose, kept beside them."""
    records = kept_records(PATH)
    validated = [r for r in records if r["split"] == "validation"]
    done = {r["method"] for r in records if r["split"] == "test"}
    for form, smoothing in SMOOTHING.items():
        for name in (name for name in METHODS[form] if name in only):
            best = chosen(name, form, validated)
            settings = {f"{name}, {form}": best}
            if name in BOTTLENECKS:
                weights = chosen("NER", form, validated)["weights"]
                settings[f"{name}, NER's label weights, {form}"] = best | {"weights": weights}
            for title in (title for title in settings if title not in done):
                method = build(name, settings[title], n_members(name, validated))
                records += run(opened(smoothing, best["smooth_sd"]), {title: method})
                write(records)
            for r in records:
                if r["split"] == "test" and r["method"] in settings:
                    r["smooth_sd"] = best["smooth_sd"]
    write(records)


def write(records):
    recordings = open_sessions("recorded")[0]
    results.write_results(PATH, sessions=recordings, profile="fast", seeds=[SEED], records=records)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=["choose", "test"])
    parser.add_argument("--only", nargs="*", default=list(START), choices=list(START))
    asked = parser.parse_args()
    {"choose": choose, "test": test}[asked.task](asked.only)
