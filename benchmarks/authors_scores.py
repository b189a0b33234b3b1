"""Scores of the embeddings that the paper's authors published, in both protocols.

    python benchmarks/authors_scores.py

Needs their files (`make fetch`, or NERLIB_DATA); nothing is fitted but decoders and rotations. A minute on
two cores. Writes book/reference/authors_scores.json, which the chapter *Audit* shows where they are absent.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "book"))

from companion import audit, authors_embeddings, results

PUBLISHED = str(authors_embeddings.KEPT.with_name("published_cross_session.csv"))


def main():
    (runs, absent), (maze, absent_maze) = map(authors_embeddings.open_runs, ("M1", "M1+PMd"))
    missing = absent + absent_maze
    if missing:
        sys.exit(f"{len(missing)} files are not here, {missing[0]} among them; `make fetch` downloads them")
    results.write_results(
        authors_embeddings.KEPT,
        files={run.file: run.blob for run in [*runs, *maze]},
        sessions=[run.session for run in [*runs, *maze]],
        profile="paper",
        seeds=[42],
        records=audit.score_all(runs, maze, PUBLISHED),
    )


if __name__ == "__main__":
    main()
