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
TRIED = (  # steps, bins a step, peak of the learning rate
    (800, 512, 3e-3),  # fast of CEBRA
    (2400, 512, 1.5e-3),
    (2400, 128, 1.5e-3),  # fast of NER
    (1600, 128, 3e-3),
    (1600, 64, 6e-3),  # fast of the bottleneck
)


def main():
    recordings, _ = open_sessions("recorded")
    training = [session.split()[0] for session in recordings]
    records = []
    for steps, bins, rate in TRIED:
        tried = {"max_iter": steps, "batch_size": bins, "learning_rate": rate}
        records += experiments.run(training, METHODS, SEEDS, cache=cache_folder() / "cells", **tried)
    kept = [
        {**{name: value for name, value in r.items() if name != "direction_over_time"}, "split": "validation"}
        for r in records
        if r["split"] == "test" and r["form"] == "standard"
    ]
    results.write_results(PATH, sessions=recordings, profile="fast", seeds=SEEDS, records=kept)


if __name__ == "__main__":
    main()
