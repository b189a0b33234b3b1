"""What the published settings give: NER on every recording, the others on those of the first monkey.

    NERLIB_DATA=... python benchmarks/paper_settings.py

This takes most of an hour of two cores, so chapters 3 and 5 and benchmarks/speed.py quote what it writes,
book/reference/paper_settings.json. Finished cells are cached: it goes on where it stopped.
"""

from pathlib import Path

from nerlib import experiments, results
from nerlib.data import cache_folder, open_sessions

PATH = Path(__file__).resolve().parent.parent / "book" / "reference" / "paper_settings.json"
RIVALS = ("CEBRA", "piVAE", "UMAP", "UMAP-label")
SEEDS = (42,)  # the seed of the paper


def main():
    recordings, _ = open_sessions("recorded")
    first = [session for session in recordings if session.monkey == recordings[0].monkey]
    settings = {"profile": "paper", "cache": cache_folder() / "cells"}
    records = experiments.run(recordings, ["NER"], SEEDS, **settings)
    records += experiments.run(first, RIVALS, SEEDS, **settings)
    cells = experiments.embed(first, ["NER", "CEBRA"], SEEDS, **settings)
    records += experiments.transfer(cells, lambda a, b: a.area == b.area, cache=settings["cache"])
    kept = [{key: value for key, value in r.items() if key != "direction_over_time"} for r in records]
    results.write_results(PATH, sessions=recordings, profile="paper", seeds=SEEDS, records=kept)


if __name__ == "__main__":
    main()
