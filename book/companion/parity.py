"""Our fits beside the embeddings that the authors published: shapes, scores and training loss.

Long fits that benchmarks/parity_authors.py compared and kept.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from companion.comparison import METRICS

KEPT = Path(__file__).resolve().parents[1] / "reference" / "parity_authors.json"
SCORES = ("velocity_r2", "position_r2")


def kept_records() -> list[dict]:
    """The records of `compare` in benchmarks/parity_authors.py, one a fit."""
    return json.loads(KEPT.read_text())["records"]


def table(records: Sequence[dict]) -> pd.DataFrame:
    """The kept records as a table, one row a fit: agreement, held-out scores, the loss at the end."""
    scores = [(score, who) for score in SCORES for who in ("ours", "theirs")]
    rows = [
        {
            ("", "recording"): record["session"],
            ("", "method"): record["method"],
            ("", "seed"): str(record["seed"]),
            ("consistency", "theirs"): record["consistency"],
            ("consistency", "our seeds"): record["consistency_seeds"],
            ("rotated R²", "theirs"): record["rotated_r2"],
            ("rotated R²", "our seeds"): record["rotated_r2_seeds"],
            **{(METRICS[score], who): record[who]["test"][score] for score, who in scores},
            **{("last loss", who): record[f"loss_{who}"][-1] for who in ("ours", "theirs")},
        }
        for record in records
    ]
    return pd.DataFrame(rows, columns=pd.MultiIndex.from_tuples(rows[0]) if rows else None)


def summary(records: Sequence[dict], method: str) -> str:
    """One sentence with the ranges over the fits of a method: agreement, scores and loss."""
    its = [record for record in records if record["method"] == method]

    def span(values, digits=3):
        return f"{min(values):.{digits}f} to {max(values):.{digits}f}"

    scores = [abs(r["ours"]["test"][score] - r["theirs"]["test"][score]) for r in its for score in SCORES]
    loss = [r["loss_ours"][-1] - r["loss_theirs"][-1] for r in its]
    said = (
        f"{method}, {len(its)} fits of {len({r['session'] for r in its})} recordings: trial averages agree "
        f"with the authors' with a consistency of {span([r['consistency'] for r in its])}"
    )
    between = {r["session"]: r["consistency_seeds"] for r in its if r["consistency_seeds"] is not None}
    if between:
        said += f" (two of our own seeds: {span(between.values())})"
    return (
        f"{said}, held-out scores differ by {max(scores):.3f} at most, and the loss at the end of training, "
        f"ours minus theirs, is {span(loss, 4)}."
    ).replace(" -", " −")
