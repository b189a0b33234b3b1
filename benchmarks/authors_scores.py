"""Scores of the embeddings that the paper's authors published, in both protocols.

    python benchmarks/authors_scores.py

Needs their files (`make fetch`, or NERLIB_DATA), and scores those that are here; nothing is fitted but
decoders and rotations. A minute on two cores. Writes book/reference/authors_scores.json: the chapter *Audit*
shows the scores of these files, kept or computed again.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "book"))

from companion import audit, authors_embeddings, results

PUBLISHED = str(authors_embeddings.KEPT.with_name("published_cross_session.csv"))


def main():
    (runs, absent), (maze, absent_maze) = map(authors_embeddings.open_runs, ("M1", "M1+PMd"))
    if absent + absent_maze:
        print("not here, and so not scored:", *absent, *absent_maze, sep="\n")
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
