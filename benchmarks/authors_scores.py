"""Scores of the embeddings that the paper's authors published, in both protocols.

    python benchmarks/authors_scores.py

Needs their files (`make fetch`, or NERLIB_DATA); nothing is fitted but decoders and rotations. A minute on two
cores. Writes book/reference/authors_scores.json, which the chapter *Audit* shows where the files are absent.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "book"))

from companion import audit, authors_embeddings

PUBLISHED = str(authors_embeddings.KEPT.with_name("published_cross_session.csv"))
DROPPED = ("direction_over_time", "seconds", "settings", "simulated")


def kept(records):
    """Records as they are kept: without what depends on the machine, rounded to six digits."""
    return [
        {
            name: round(value, 6) if isinstance(value, float) else value
            for name, value in record.items()
            if name not in DROPPED
        }
        for record in records
    ]


def main():
    runs, absent = authors_embeddings.open_runs("M1")
    maze, absent_maze = authors_embeddings.open_runs("M1+PMd")
    if absent or absent_maze:
        sys.exit(f"{len(absent + absent_maze)} files are not here, {(absent + absent_maze)[0]} among them")
    within = authors_embeddings.score_runs([*runs, *maze])
    records = [r | {"table": "within"} for r in within]
    records += [r | {"table": "transfer"} for r in authors_embeddings.score_transfers(runs)]
    records += [r | {"table": "rotations"} for r in audit.single_rotations(runs, PUBLISHED)]
    everything = {f"{run.session.name}": run.session for run in [*runs, *maze]}
    authors_embeddings.write_scores(
        authors_embeddings.KEPT,
        [*runs, *maze],
        list(everything.values()),
        profile="paper",
        seeds=[42],
        records=kept(records),
    )


if __name__ == "__main__":
    main()
