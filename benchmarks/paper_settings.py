"""What the published settings give on every available recording of the first monkey: run once, and kept.

    NERLIB_DATA=... python benchmarks/paper_settings.py

20 000 steps of NER, for every recording, take an hour of two cores with the others; so chapters 3 and 5 quote
what this writes, book/reference/paper_settings.json. Finished cells are cached: it goes on where it stopped.
"""

from pathlib import Path

from nerlib import experiments, results
from nerlib.data import cache_folder, open_sessions

PATH = Path(__file__).resolve().parent.parent / "book" / "reference" / "paper_settings.json"
METHODS = ("NER", "CEBRA", "piVAE", "UMAP", "UMAP-label")
SEEDS = (42,)  # the seed of the paper


def main():
    recordings, _ = open_sessions("recorded")
    recordings = [session for session in recordings if session.monkey == recordings[0].monkey]
    cache = cache_folder() / "cells"
    records = experiments.run(recordings, METHODS, SEEDS, profile="paper", cache=cache)
    cells = experiments.embed(recordings, ["NER", "CEBRA"], SEEDS, profile="paper", cache=cache)
    records += experiments.transfer(cells, lambda a, b: a.area == b.area, cache=cache)
    kept = [{key: value for key, value in r.items() if key != "direction_over_time"} for r in records]
    results.write_results(PATH, sessions=recordings, profile="paper", seeds=SEEDS, records=kept)


if __name__ == "__main__":
    main()
