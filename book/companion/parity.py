"""Our fits beside the embeddings that the authors published: shapes, scores and training loss."""

import json
from collections.abc import Sequence
from itertools import combinations, islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import r2_score

from companion.authors_embeddings import AuthorsRun
from companion.comparison import METRICS
from nerlib import runs
from nerlib.alignment import align, common_averages
from nerlib.losses import infonce_loss
from nerlib.metrics import consistency
from nerlib.sampling import pairs
from nerlib.session import Session

KEPT = Path(__file__).resolve().parents[1] / "reference" / "parity_authors.json"
N_BLOCKS = 100  # means of the loss that are kept
SCORES = ("velocity_r2", "position_r2")


def fit(
    session: Session, method: Any, name: str, seed: int, cache: str | Path | None
) -> tuple[runs.Run, np.ndarray]:
    """`nerlib.runs.fit_run`, and the training loss (steps,) of the fit, which a run does not keep."""
    job = runs.make_job(session, name, method, seed)
    key = ("fit and loss", runs.job_key(job, cache))
    fitted, curve = runs.cached(cache)(key, _fit_with_loss, (job,))
    return runs.as_run(job, fitted), curve


def _fit_with_loss(job):
    return runs.fit_job(job), job.model.loss_curve_


def compare(theirs: AuthorsRun, ours: list[tuple[runs.Run, np.ndarray]]) -> list[dict]:
    """Each of our fits of a recording (`fit`) beside the authors' one.

    Returns
    -------
    list of dict, one a fit, with the keys session, area, method, seed;
    consistency : `nerlib.metrics.consistency` of the trial averages, training trials
    consistency_seeds : its mean over pairs of our own seeds, None with one seed
    rotated_r2 : R² of the authors' embedding of the held-out bins from ours, of the total variance, after one
        rotation fitted on training trials
    rotated_r2_seeds : its mean over pairs of our own seeds, None with one seed
    ours, theirs : dict, "train" and "test" to R² of velocity and position, corrected protocol
    loss_ours, loss_theirs : list, the training loss, means over `N_BLOCKS` blocks of steps
    loss_by_steps : dict of `cebra_losses` of the authors' embedding, None for NER

    Raises
    ------
    ValueError : the two have not the same movements
    """
    runs_ = [run for run, _ in ours]
    for run in runs_:
        if not np.allclose(run.session.velocity, theirs.session.velocity, atol=1e-3):
            raise ValueError(f"{run.session.name}: the authors' file has other movements than the recording")
    pairs_ = list(combinations(runs_, 2))
    return [
        {
            **{key: theirs.about[key] for key in ("session", "area", "method")},
            "seed": run.about["seed"],
            "consistency": _consistency(run, theirs),
            "consistency_seeds": _mean(_consistency, pairs_),
            "rotated_r2": _rotated_r2(run, theirs),
            "rotated_r2_seeds": _mean(_rotated_r2, pairs_),
            "ours": _scores(run),
            "theirs": _scores(theirs),
            "loss_ours": _blocks(curve),
            "loss_theirs": _blocks(theirs.loss_curve),
            "loss_by_steps": cebra_losses(theirs) if theirs.about["method"] == "CEBRA" else None,
        }
        for run, curve in ours
    ]


def cebra_losses(run: runs.Run, *, n_batches: int = 400, batch_size: int = 512) -> dict[str, float]:
    """CEBRA's loss of an embedding, with the two ways to draw a positive: mean over batches, training trials.

    A positive is near the reference's label plus the change of label over one time step. "within trials": as
    `nerlib.CEBRA` draws it; "across trials": the change from one trial to the next counts as a time step,
    too, as in the published runs.
    """
    embedding, part = torch.as_tensor(run.published["train"]), run.splits["train"]
    losses = {}
    for name, trial in (("across trials", None), ("within trials", part.trial)):
        rng = np.random.default_rng(0)
        drawn = pairs(part.labels, batch_size=batch_size, rng=rng, trial=trial)
        total = 0.0
        for reference, positive in islice(drawn, n_batches):
            negative = rng.integers(len(embedding), size=batch_size)
            units = [embedding[bins] for bins in (reference, positive, negative)]
            total += float(infonce_loss(*units, normalized=True))
        losses[name] = total / n_batches
    return losses


def kept_records() -> list[dict]:
    """The records of the long fits that benchmarks/parity_authors.py kept."""
    return json.loads(KEPT.read_text())["records"]


def table(records: Sequence[dict]) -> pd.DataFrame:
    """The records of `compare` as a table, one row a fit: agreement, held-out scores, the loss at the end."""
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


def _mean(agreement, pairs_):
    return float(np.mean([agreement(*pair) for pair in pairs_])) if pairs_ else None


def _consistency(one, other):
    pair = [(run.corrected["train"], run.splits["train"]) for run in (one, other)]
    return consistency(*common_averages(*zip(*pair, strict=True))[1:])


def _rotated_r2(source, target):
    rotation = align(
        *(run.corrected["train"] for run in (source, target)), source.splits["train"], target.splits["train"]
    )
    return float(
        r2_score(
            target.corrected["test"], source.corrected["test"] @ rotation, multioutput="variance_weighted"
        )
    )


def _scores(run):
    rows = [row for row in runs.score_run(run) if row["protocol"] == "corrected"]
    return {row["split"]: {key: row[key] for key in SCORES} for row in rows}


def _blocks(curve):
    return [float(block.mean()) for block in np.array_split(np.asarray(curve, float), N_BLOCKS)]
