"""Choice of the settings of profile `fast`, on validation trials: the same candidates for alike methods.

    python benchmarks/validation.py

Test trials are not used: each session is reduced to its training trials, and the last fifth of these is the
validation set. Half an hour on two cores. Writes book/reference/validation.json, which chapter 3 quotes.
Finished runs are cached: a second call continues where the first one stopped.
"""

import json
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "book"))

from companion import paper, results
from companion.catalogue import cache_folder, open_sessions
from nerlib import experiments

PATH = Path(__file__).resolve().parent.parent / "book" / "reference" / "validation.json"
METHODS = ("NER", "CEBRA-velocity", "CEBRA-16", "MSE bottleneck")
SEEDS = (42,)
TRIED = [
    {"max_iter": 2400, "batch_size": 128, "learning_rate": 1e-3},
    {"max_iter": 2400, "batch_size": 128, "learning_rate": 2e-3},  # fast of CEBRA and CEBRA-velocity
    {"max_iter": 2400, "batch_size": 128, "learning_rate": 3e-3},
    {"max_iter": 2400, "batch_size": 64, "learning_rate": 2e-3},
    {"max_iter": 2400, "batch_size": 64, "learning_rate": 4e-3},
    {"max_iter": 1600, "batch_size": 64, "learning_rate": 6e-3},  # fast of the bottleneck
    {"max_iter": 1200, "batch_size": 128, "learning_rate": 4e-3},  # fast of NER
    {"max_iter": 1200, "batch_size": 128, "learning_rate": 6e-3},  # fast of CEBRA-16
]
TRIED_PIVAE = [
    {"max_iter": 150, "batch_size": 200, "learning_rate": 2.5e-4},
    {"max_iter": 60, "batch_size": 200, "learning_rate": 4e-4},  # fast
    {"max_iter": 50, "batch_size": 300, "learning_rate": 5e-4},
]
TRIED.append(TRIED[1] | {"weight_averaging": 0.0})


def describe(settings):
    """Settings as text, as they stand in the records: all that were tried, defaults among them."""
    return ", ".join(f"{name}={value!r}" for name, value in sorted(settings.items()))


def kept_records(path):
    """The records of a results file, none if there is no such file."""
    return json.loads(path.read_text())["records"] if path.exists() else []


def main():
    recordings, _ = open_sessions("recorded")
    training = [session.split()[0] for session in recordings]
    records = []
    for tried, names in [(tried, METHODS) for tried in TRIED] + [(tried, "piVAE") for tried in TRIED_PIVAE]:
        methods = paper.methods(names, "fast", **tried)
        scored = experiments.run(training, methods, SEEDS, cache=cache_folder() / "runs")
        records += [r | {"settings": describe(tried)} for r in scored]
    kept = [
        {**{name: value for name, value in r.items() if name != "direction_over_time"}, "split": "validation"}
        for r in records
        if r["split"] == "test" and r["protocol"] == "corrected"
    ]
    results.write_results(PATH, sessions=recordings, profile="fast", seeds=SEEDS, records=kept)


if __name__ == "__main__":
    main()
