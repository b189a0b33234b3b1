"""The fits of controls.py: each kind of `Job` yields rows of its results file.

A row holds scores of `companion.controls.score` and whatever distinguishes it from the other rows of its job.
"""

from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import combinations
from typing import NamedTuple

import ceilings
import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score

from companion import control_runs, controls, paper
from companion.catalogue import PAPER_SD, load_session
from companion.control_runs import CONTROLS, UNTRAINED
from nerlib import NER, Bottleneck, losses, metrics, runs
from nerlib.alignment import common_averages
from nerlib.session import Session

LABELS = {  # name -> labels of a session, and their periods
    "both": (lambda s: s.labels, paper.PERIODS),
    "velocity": (lambda s: s.velocity, (None, None)),
    "direction": (lambda s: s.direction[:, None], (360.0,)),
    "position": (lambda s: metrics.position(s.velocity, s), (None, None)),
    "velocity, cosine, sine": (lambda s: _with_circle(s), (None,) * 4),
}
TRUE = "true movements"


class OwnLabels(NER):
    """NER whose positives carry the labels of their own bins, not those of their references."""

    def _objective(self, labels, *more):
        batches, loss, parameters = super()._objective(labels, *more)
        given = torch.as_tensor(labels, dtype=torch.float32)
        columns = {"periods": self.periods, "weights": self.weights, "threads": 1}
        labelled = ((bins, losses.sort_labels(given[bins], **columns)) for bins, _ in batches)
        return labelled, loss, parameters


SPECIAL = {
    "NER, own labels": OwnLabels,
    "MSE bottleneck, flat": partial(Bottleneck, sphere=False),
    "Kalman filter": ceilings.KalmanFilter,
    "GRU": ceilings.GRU,
    "PCA, 10 components": partial(paper.make_method, "PCA", "fast", n_components=10),
}


class Job(NamedTuple):
    """What is computed: by which function, of which recordings, filed under which table and value."""

    kind: str
    table: str
    value: str | float
    method: str
    recordings: tuple
    seed: int
    options: tuple = ()


def build(name, seed, periods=paper.PERIODS, **settings):
    """An unfitted estimator by the name that it has in the records."""
    model = SPECIAL[name](**settings) if name in SPECIAL else control_runs.build(name, seed, **settings)
    return control_runs.set_known(model, random_state=seed, periods=periods)


def embed(name, seed, train, *parts, labels="both", **settings):
    """A method fitted on a training session, and the embeddings of other sessions by it."""
    of, periods = LABELS[labels]
    model = build(name, seed, periods, **settings)
    return model, control_runs.embed(model, train, *parts, labels=of(train))


def _with_circle(session):
    """Velocity, and the direction's cosine and sine with the spread of velocity."""
    angle, scale = np.deg2rad(session.direction), session.velocity.std()
    return np.column_stack([session.velocity, scale * np.cos(angle), scale * np.sin(angle)])


@cache
def opened(name, area, smoothing="published", smooth_sd=PAPER_SD):
    return load_session(name, area, smoothing=smoothing, smooth_sd=smooth_sd)


def within(job, smoothing="published", smooth_sd=PAPER_SD, trials=None, control=None, **settings):
    """One fit, its scores on held-out trials."""
    session = opened(*job.recordings[0], smoothing, smooth_sd)
    if control in CONTROLS:
        session = CONTROLS[control](session, job.seed)
    train, test = session.split()
    if trials is not None and trials < train.n_trials:
        drawn = np.random.default_rng(job.seed).choice(train.n_trials, trials, replace=False)
        train = train.select(drawn)
    fitted = train
    if control == "encoder untrained":
        settings |= UNTRAINED
    elif control == "encoder on permuted movements":
        fitted = train.permute_movements(job.seed)
    model, embedded = embed(job.method, job.seed, fitted, train, test, **settings)
    yield controls.score(train, test, embedded)
    if job.table == "controls" and control in (None, "movements permuted"):
        about = control_runs.about(session, job.method, job.seed)
        published = corrected = dict(zip(runs.SPLITS, embedded, strict=True))
        if given := getattr(model, "published_embedding", None):
            parts = zip(runs.SPLITS, (train, test), strict=True)
            published = {split: given(part.rates, part.labels, part.trial) for split, part in parts}
        rows = runs.score_run(runs.Run(about, session, corrected, published, 0.0))
        told = next(row for row in rows if row["split"] == "test" and row["protocol"] == "published")
        yield told | about | {"table": "published protocol"}


def _scores_of(scores, job, **settings):
    """The rows of a function of `control_runs`, for a recording."""
    return scores(opened(*job.recordings[0]), job.method, job.seed, **settings)


def direction(job, **settings):
    """One direction left out of training at a time."""

    def both(train, test):
        return embed(job.method, job.seed, train, train, test, **settings)[1]

    yield leave_direction_out(opened(*job.recordings[0]), both)


def leave_direction_out(
    session: Session, embed: Callable[[Session, Session], Sequence[np.ndarray]]
) -> dict[str, float]:
    """Decode held-out trials with models that have never seen a trial to their target.

    Returns a dict: "velocity_r2" and "position_r2" over all test trials; "angle_error", the median angle
    (degrees) between the decoded and the true displacement at the end of a trial, 90 by chance.

    Parameters
    ----------
    session : Session with at least three directions
    embed : callable, (training Session, test Session) -> their embeddings (T, d) and (U, d); it is called
        once a direction, with training trials to the other targets and test trials to this one
    """
    train, test = session.split()
    velocity = np.empty(test.velocity.shape)
    for direction in np.unique(test.direction):
        of_trial = [part.direction[part.trial_starts] == direction for part in (train, test)]
        others, own = train.select(~of_trial[0]), test.select(of_trial[1])
        embedding, held = embed(others, own)
        decoder = LinearRegression().fit(embedding, others.velocity)
        velocity[test.direction == direction] = decoder.predict(held)
    true, decoded = (metrics.position(v, test) for v in (test.velocity, velocity))
    last = test.trial_starts + test.trial_lengths - 1
    ends = [np.arctan2(*position[last, :2].T[::-1]) for position in (true, decoded)]
    turned = np.abs((ends[1] - ends[0] + np.pi) % (2 * np.pi) - np.pi)
    return {
        "velocity_r2": float(r2_score(test.velocity, velocity)),
        "position_r2": float(r2_score(true, decoded)),
        "angle_error": float(np.rad2deg(np.median(turned))),
    }


def days(job, **settings):
    """Recordings of one monkey and area: transfer between days, and how well embeddings agree."""
    sessions = [opened(*recording) for recording in job.recordings]
    true = [_run(job, s, s.split()[0], **settings) for s in sessions]
    if job.method.startswith(("NER", "MSE", "PCA")):
        yield from _agreements(job, true, **settings)
    yield from _transfers(true, true, TRUE)
    if job.method in ("NER", "MSE bottleneck"):
        permuted = [s.permute_movements(job.seed) for s in sessions]
        blind = [_run(job, s, s.split()[0], **settings) for s in permuted]
        yield from _transfers(blind, true, "source permuted")
        unaware = [_run(job, s, p.split()[0], **settings) for s, p in zip(sessions, permuted, strict=True)]
        yield from _transfers(true, unaware, "encoder of the target permuted")


def _run(job, session, fitted, **settings):
    _, embedded = embed(job.method, job.seed, fitted, *session.split(), **settings)
    embedded = dict(zip(runs.SPLITS, embedded, strict=True))
    about = {name: getattr(session, name) for name in ("area", "monkey", "date", "simulated")}
    about |= {"session": session.name, "method": job.method, "seed": job.seed, "settings": ""}
    return runs.Run(about, session, embedded, embedded, 0.0)


def _transfers(sources, targets, kind):
    for i, source in enumerate(sources):
        others = [target for j, target in enumerate(targets) if j != i]
        for row in runs.transfer_run(source, others):
            how = {"corrected": "rotation", "affine": "affine"}.get(row["protocol"])
            if how == "rotation" or how and kind == TRUE:
                yield row | {"table": "transfer", "value": kind, "alignment": how}
        for target in others if kind == TRUE else ():
            (here, train), (there, target_train) = map(_trained, (source, target))
            of_source, of_target = align_cca(here, there, train, target_train)
            mapped = of_source(here), of_target(target.corrected["test"])
            about = {"session": source.session.name, "target": target.session.name}
            about |= {"table": "transfer", "value": kind, "alignment": "CCA"}
            yield about | controls.score(train, target.splits["test"], mapped)


def _trained(run):
    """The embedding of the training trials, and these."""
    return run.corrected["train"], run.splits["train"]


def align_cca(source: np.ndarray, target: np.ndarray, *sessions: Session) -> tuple[Callable, Callable]:
    """Maps of two embeddings into the space of their canonical variates, fitted to trial averages.

    So Gallego et al. (Nature Neuroscience 2020) and Safaie et al. (Nature 2023) align latent dynamics of days
    and animals. Unlike a rotation, both embeddings may be sheared and rescaled. Returns two callables,
    (bins, d) -> (bins, d), for the source and for the target.

    Parameters
    ----------
    source, target : arrays (T, d) and (U, d), of training trials
    *sessions : Session with T bins and Session with U bins, with directions in common
    """
    _, *averages = common_averages([source, target], sessions)
    flat = [average.reshape(-1, average.shape[-1]) for average in averages]
    means = [x.mean(axis=0) for x in flat]
    (q, r), (p, s) = (np.linalg.qr(x - mean) for x, mean in zip(flat, means, strict=True))
    u, _, v = np.linalg.svd(q.T @ p)
    scale = np.sqrt(len(flat[0]))  # variates of variance 1
    maps = [np.linalg.solve(r, u) * scale, np.linalg.solve(s, v.T) * scale]
    pairs = zip(means, maps, strict=True)
    of_source, of_target = (lambda z, mean=m, matrix=a: (z - mean) @ matrix for m, a in pairs)
    return of_source, of_target


def _agreements(job, true, **settings):
    for one, other in combinations(true, 2):
        about = {"session": one.session.name, "target": other.session.name}
        r2 = agreement(_trained(one), _trained(other))
        yield about | {"table": "agreement", "value": "two days", "r2": r2}
    for run in true:
        embedding, train = _trained(run)
        parts = halves(train)
        apart = [embed(job.method, job.seed, half, half, **settings)[1][0] for half in parts]
        together = [embedding[np.isin(train.trial, half.trial)] for half in parts]
        found = {"halves of a day, two fits": apart, "halves of a day, one fit": together}
        for value, embedded in found.items():
            r2 = agreement(*zip(embedded, parts, strict=True))
            yield {"session": run.session.name, "table": "agreement", "value": value, "r2": r2}


def halves(session: Session) -> tuple[Session, Session]:
    """Every other trial to each target, so that both halves hold all directions, early and late trials."""
    direction = pd.Series(session.direction[session.trial_starts])
    odd = direction.groupby(direction).cumcount().to_numpy() % 2 == 1
    return session.select(~odd), session.select(odd)


def agreement(first: tuple[np.ndarray, Session], second: tuple[np.ndarray, Session]) -> float:
    """`nerlib.metrics.consistency` of the trial averages of two embeddings (T, d) and their sessions."""
    _, *averages = common_averages([first[0], second[0]], [first[1], second[1]])
    return metrics.consistency(*averages)


def repeats(job, count=6, **settings):
    """One recording, fitted with several seeds: velocity of a fit by its own decoder, and by the others'."""
    session = opened(*job.recordings[0])
    train = session.split()[0]
    fits = [_run(job._replace(seed=job.seed + i), session, train, **settings) for i in range(count)]
    found: dict = {"own decoder": [], "rotation": [], "affine map": []}
    for i, source in enumerate(fits):
        rows = runs.transfer_run(source, fits)  # one a fit and protocol
        for target, row in zip(np.repeat(range(count), len(rows) // count), rows, strict=True):
            how = {"corrected": "rotation", "affine": "affine map"}.get(row["protocol"])
            if how and target != i:
                found[how].append(row["velocity_r2"])
            elif how == "rotation":
                found["own decoder"].append(row["velocity_r2"])
    for value, scores in found.items():
        yield {"value": value, "velocity_r2": float(np.mean(scores))}
    yield {"value": "rotation, worst pair", "velocity_r2": min(found["rotation"])}


KINDS = {
    "within": within,
    "folds": partial(_scores_of, control_runs.fold_scores),
    "drift": partial(_scores_of, control_runs.drift_scores),
    "direction": direction,
    "days": days,
    "repeats": repeats,
}
