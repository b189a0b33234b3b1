"""Which settings validation trials prefer: the same few for every method that trains the network.

    NERLIB_DATA=... python benchmarks/validation.py

Test trials stay out of it: a session is its training trials here, and the last fifth of these validates.
Half an hour on two cores; chapter 3 quotes what it writes, book/reference/validation.json. Finished cells are
cached: it goes on where it stopped.
"""

from pathlib import Path

from nerlib import experiments, results
from nerlib.data import cache_folder, open_sessions

PATH = Path(__file__).resolve().parent.parent / "book" / "reference" / "validation.json"
METHODS = ("NER", "CEBRA-velocity", "CEBRA-16", "bottleneck")
SEEDS = (42,)
TRIED = [
    {"max_iter": 2400, "batch_size": 128, "learning_rate": 1e-3},
    {"max_iter": 2400, "batch_size": 128, "learning_rate": 2e-3},  # fast of NER and CEBRA
    {"max_iter": 2400, "batch_size": 128, "learning_rate": 3e-3},
    {"max_iter": 2400, "batch_size": 64, "learning_rate": 2e-3},
    {"max_iter": 2400, "batch_size": 64, "learning_rate": 4e-3},
    {"max_iter": 1600, "batch_size": 64, "learning_rate": 6e-3},  # fast of the bottleneck
]
TRIED.append(TRIED[1] | {"averaged": 0.0})


def main():
    recordings, _ = open_sessions("recorded")
    training = [session.split()[0] for session in recordings]
    records = []
    for tried in TRIED:
        records += experiments.run(training, METHODS, SEEDS, cache=cache_folder() / "cells", **tried)
    kept = [
        {**{name: value for name, value in r.items() if name != "direction_over_time"}, "split": "validation"}
        for r in records
        if r["split"] == "test" and r["form"] == "standard"
    ]
    results.write_results(PATH, sessions=recordings, profile="fast", seeds=SEEDS, records=kept)


if __name__ == "__main__":
    main()
