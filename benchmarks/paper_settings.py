"""What the published settings give: NER on every recording, the others on those of Chewie.

    NERLIB_DATA=... python benchmarks/paper_settings.py

Five hours on two cores; chapters 3, 5, 6 and 7 and benchmarks/speed.py quote what it writes,
book/reference/paper_settings.json. Finished cells are cached: it goes on where it stopped.
"""

from pathlib import Path

from nerlib import experiments, results
from nerlib.data import cache_folder, open_sessions

PATH = Path(__file__).resolve().parent.parent / "book" / "reference" / "paper_settings.json"
RIVALS = ("CEBRA", "CEBRA-velocity", "piVAE", "UMAP", "UMAP-label")
SEED = 42  # of the paper
SEEDS = range(SEED, SEED + 8)  # of NER within its sessions


def main():
    recordings, _ = open_sessions("recorded")
    chewie, han = ([s for s in recordings if s.monkey == name] for name in ("Chewie", "Han"))
    settings = {"profile": "paper", "cache": cache_folder() / "cells"}
    records = experiments.run(recordings, ["NER"], SEEDS, **settings)
    records += experiments.run(chewie, RIVALS, [SEED], **settings)
    cells = experiments.embed(chewie, ["NER", "CEBRA"], [SEED], **settings)
    cells += experiments.embed(han, ["NER"], [SEED], **settings)
    records += experiments.transfer(cells, lambda a, b: a.monkey == b.monkey, cache=settings["cache"])
    kept = [{key: value for key, value in r.items() if key != "direction_over_time"} for r in records]
    results.write_results(PATH, sessions=recordings, profile="paper", seeds=SEEDS, records=kept)


if __name__ == "__main__":
    main()
