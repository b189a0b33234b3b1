"""Scores at the paper's settings: NER on every recording, the other methods on those of Chewie.

    NERLIB_DATA=... python benchmarks/paper_settings.py

An hour on two cores. Writes book/reference/paper_settings.json, which chapters 3, 5, 6 and 7 and
benchmarks/speed.py quote. Finished runs are cached: a second call continues where the first one stopped.
Seeds of NER that an earlier call has run, and this one does not, keep their rows.
"""

import json
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "book"))

from companion import paper, results
from companion.catalogue import cache_folder, open_sessions
from nerlib import experiments

PATH = Path(__file__).resolve().parent.parent / "book" / "reference" / "paper_settings.json"
RIVALS = ("CEBRA", "CEBRA-velocity", "piVAE", "UMAP", "UMAP-label")
SEED = 42  # of the paper
SEEDS = [SEED]  # of NER within its sessions


def earlier_seeds():
    """Rows of the other seeds in the file; those whose decoder of direction has changed since, without it."""
    rows = json.loads(PATH.read_text())["records"] if PATH.is_file() else []
    return [
        {key: r[key] for key in r if key != "direction_accuracy" or r["protocol"] == "published"}
        for r in rows
        if r["seed"] not in SEEDS
    ]


def main():
    recordings, _ = open_sessions("recorded")
    chewie, han = ([s for s in recordings if s.monkey == name] for name in ("Chewie", "Han"))
    cache = {"cache": cache_folder() / "runs"}
    ner, pair = (paper.methods(names, "paper") for names in (["NER"], ["NER", "CEBRA"]))
    records = experiments.run(recordings, ner, SEEDS, **cache)
    records += experiments.run(chewie, paper.methods(RIVALS, "paper"), [SEED], **cache)
    runs = experiments.embed(chewie, pair, [SEED], **cache) + experiments.embed(han, ner, [SEED], **cache)
    records += experiments.transfer(runs, lambda a, b: a.monkey == b.monkey, **cache)
    kept = [{key: value for key, value in r.items() if key != "direction_over_time"} for r in records]
    kept += earlier_seeds()
    seeds = sorted({r["seed"] for r in kept})
    results.write_results(PATH, sessions=recordings, profile="paper", seeds=seeds, records=kept)


if __name__ == "__main__":
    main()
