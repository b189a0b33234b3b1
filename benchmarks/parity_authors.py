"""Our fits at the paper's settings beside the embeddings that the authors published, on the same trials.

    NERLIB_DATA=... python benchmarks/parity_authors.py

Half an hour on one core. Writes book/reference/parity_authors.json, which chapter 10 quotes. It needs the
authors' files (`make fetch`, or NERLIB_DATA). Finished fits are cached: a second call continues where the
first one stopped.
"""

import sys
from itertools import combinations, islice
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent / "book"))

import numpy as np
import torch
from control_jobs import agreement
from sklearn.metrics import r2_score

from companion import authors_embeddings, paper, parity, results
from companion.authors_embeddings import AuthorsRun
from companion.catalogue import cache_folder, open_sessions
from nerlib import runs
from nerlib.alignment import align
from nerlib.losses import infonce_loss
from nerlib.sampling import pairs
from nerlib.session import Session

SEEDS = {"NER": (42, 43), "CEBRA": (42,)}
N_BLOCKS = 100  # means of the loss that are kept


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

    Raises ValueError where the two have not the same movements. Returns a list of dict, one a fit, with the
    keys session, area, method, seed, and

    - consistency: `nerlib.metrics.consistency` of the trial averages, training trials
    - consistency_seeds: its mean over pairs of our own seeds, None with one seed
    - rotated_r2: R² of the authors' embedding of the held-out bins from ours, of the total variance, after
      one rotation fitted on training trials
    - rotated_r2_seeds: its mean over pairs of our own seeds, None with one seed
    - ours, theirs: dict, "train" and "test" to R² of velocity and position, corrected protocol
    - loss_ours, loss_theirs: list, the training loss, means over `N_BLOCKS` blocks of steps
    - loss_by_steps: dict of `cebra_losses` of the authors' embedding, None for NER
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


def _mean(measure, pairs_):
    return float(np.mean([measure(*pair) for pair in pairs_])) if pairs_ else None


def _consistency(one, other):
    return agreement(*((run.corrected["train"], run.splits["train"]) for run in (one, other)))


def _rotated_r2(source, target):
    train = [run.corrected["train"] for run in (source, target)]
    turned = source.corrected["test"] @ align(*train, source.splits["train"], target.splits["train"])
    return float(r2_score(target.corrected["test"], turned, multioutput="variance_weighted"))


def _scores(run):
    rows = [row for row in runs.score_run(run) if row["protocol"] == "corrected"]
    return {row["split"]: {key: row[key] for key in parity.SCORES} for row in rows}


def _blocks(curve):
    return [float(block.mean()) for block in np.array_split(np.asarray(curve, float), N_BLOCKS)]


def main():
    theirs = authors_embeddings.open_runs(methods=SEEDS)[0]
    recorded = {s.name: s for s in open_sessions("recorded", areas="M1")[0]}
    shared = [run for run in theirs if run.session.name in recorded]
    records, used = [], {}
    for run in sorted(shared, key=lambda run: run.about["method"], reverse=True):  # NER first
        session, method = recorded[run.session.name], run.about["method"]
        model = paper.make_method(method, "paper")
        ours = [fit(session, model, method, s, cache_folder() / "runs") for s in SEEDS[method]]
        records += compare(run, ours)
        used[session.name] = session
        seeds = sorted({record["seed"] for record in records})
        # After every recording, so that an interrupted run leaves what it has.
        results.write_results(
            parity.KEPT, sessions=list(used.values()), profile="paper", seeds=seeds, records=records
        )
        print(session.name, method, f"{records[-1]['consistency']:.4f}", flush=True)


if __name__ == "__main__":
    main()
