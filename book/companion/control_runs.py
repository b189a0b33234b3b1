"""Fits for the chapter *Choices and controls*: each kind of `Job` yields rows of benchmarks/controls.py.

A row holds scores of `controls.score` and whatever distinguishes it from the other rows of its job.
"""

from functools import cache, partial
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from companion import ceilings, controls, paper
from companion.catalogue import load_session
from nerlib import NER, Bottleneck, losses, metrics, runs

UNTRAINED = {"max_iter": 1, "learning_rate": 1e-12, "weight_averaging": 0.0}
LABELS = {  # name -> labels of a session, and their periods
    "both": (lambda s: s.labels, paper.PERIODS),
    "velocity": (lambda s: s.velocity, (None, None)),
    "direction": (lambda s: s.direction[:, None], (360.0,)),
    "position": (lambda s: metrics.position(s.velocity, s), (None, None)),
    "velocity, cosine, sine": (lambda s: _with_circle(s), (None,) * 4),
}
TRUE = "true movements"
CONTROLS = {  # name -> what it does to a session
    "movements permuted": lambda s, seed: s.permute_movements(seed),
    "rates of other trials": lambda s, seed: controls.shift_by_trials(s),
    "rates of other times": controls.shift_within_trials,
    "neurons permuted in bins": partial(controls.permute_neurons, within="bin"),
    "neurons permuted in trials": partial(controls.permute_neurons, within="trial"),
}


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
    kind, _, more = name.partition(", ")
    if name in SPECIAL:
        model = SPECIAL[name](**settings)
    else:
        window = {"window": int(more.split()[0])} if more else {}
        model = paper.make_method(kind, "fast", **window, **settings)
    known = model.get_params()
    given = {"random_state": seed, "periods": periods}
    return model.set_params(**{key: value for key, value in given.items() if key in known})


def embed(name, seed, train, *parts, labels="both", **settings):
    """A method fitted on a training session, and the embeddings of other sessions by it."""
    of, periods = LABELS[labels]
    model = build(name, seed, periods, **settings).fit(train.rates, of(train), train.trial)
    return model, [model.transform(part.rates, part.trial) for part in parts]


def _with_circle(session):
    """Velocity, and the direction's cosine and sine with the spread of velocity."""
    angle, scale = np.deg2rad(session.direction), session.velocity.std()
    return np.column_stack([session.velocity, scale * np.cos(angle), scale * np.sin(angle)])


@cache
def opened(name, area, smoothing="published", smooth_sd=None):
    width = {} if smooth_sd is None else {"smooth_sd": smooth_sd}
    return load_session(name, area, smoothing=smoothing, **width)


def within(job, smoothing="published", smooth_sd=None, trials=None, control=None, **settings):
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
    yield {} | controls.score(train, test, embedded)
    if job.table == "controls" and control in (None, "movements permuted"):
        about = _about(session, job.method, job.seed)
        halves = dict(zip(runs.SPLITS, embedded, strict=True))
        given = getattr(model, "published_embedding", None)
        published = halves if given is None else {
            split: given(part.rates, part.labels, part.trial)
            for split, part in zip(runs.SPLITS, (train, test), strict=True)
        }  # fmt: skip
        rows = runs.score_run(runs.Run(about, session, halves, published, 0.0))
        told = next(row for row in rows if row["split"] == "test" and row["protocol"] == "published")
        yield told | about | {"table": "published protocol"}


def _about(session, method, seed):
    return {"session": session.name, "area": session.area, "method": method, "seed": seed}


def folds(job, **settings):
    """Five contiguous folds in time, each held out once."""
    yield from fold_scores(opened(*job.recordings[0]), job.method, job.seed, **settings)


def fold_scores(session, method, seed, **settings):
    """Scores of each of five folds of a session, ``value`` their number."""
    for k, (train, test) in enumerate(controls.folds(session)):
        with threadpool_limits(1):  # small matrices, for which threads cost more than they bring
            _, embedded = embed(method, seed, train, train, test, **settings)
            scores = controls.score(train, test, embedded)
        yield _about(session, method, seed) | {"value": k} | scores


def broken_scores(session, method, seed):
    """Scores of a session after each of the `CONTROLS`, which is their ``value``."""
    for control, destroy in CONTROLS.items():
        train, test = destroy(session, seed).split()
        with threadpool_limits(1):
            _, embedded = embed(method, seed, train, train, test)
            scores = controls.score(train, test, embedded)
        yield _about(session, method, seed) | {"value": control} | scores


def drift(job, **settings):
    """Fitted on the first two fifths of trials, scored on each of the later ones."""
    yield from drift_scores(opened(*job.recordings[0]), job.method, job.seed, **settings)


def drift_scores(session, method, seed, **settings):
    """Scores of the third, fourth and last fifth of a session; ``value`` is 0, 1, 2."""
    one, two, *later = [test for _, test in controls.folds(session)]
    first = session.select(slice(one.n_trials + two.n_trials))
    with threadpool_limits(1):
        _, (own, *embedded) = embed(method, seed, first, first, *later, **settings)
        scores = [controls.score(first, test, (own, z)) for test, z in zip(later, embedded, strict=True)]
    for k, found in enumerate(scores):
        yield _about(session, method, seed) | {"value": k} | found


def direction(job, **settings):
    """One direction left out of training at a time."""

    def both(train, test):
        return embed(job.method, job.seed, train, train, test, **settings)[1]

    yield controls.leave_direction_out(opened(*job.recordings[0]), both)


def days(job, **settings):
    """Recordings of one monkey and area: transfer between days, and how well embeddings agree."""
    sessions = [opened(*recording) for recording in job.recordings]
    true = [_run(job, s, s.split()[0], **settings) for s in sessions]
    if job.method.startswith(("NER", "MSE", "PCA")):
        yield from _agreements(job, sessions, true, **settings)
    yield from _transfers(true, true, TRUE)
    if job.method in ("NER", "MSE bottleneck"):
        permuted = [s.permute_movements(job.seed) for s in sessions]
        blind = [_run(job, s, s.split()[0], **settings) for s in permuted]
        yield from _transfers(blind, true, "source permuted")
        unaware = [_run(job, s, p.split()[0], **settings) for s, p in zip(sessions, permuted, strict=True)]
        yield from _transfers(true, unaware, "encoder of the target permuted")


def _run(job, session, fitted, **settings):
    halves = dict(zip(runs.SPLITS, session.split(), strict=True))
    _, embedded = embed(job.method, job.seed, fitted, *halves.values(), **settings)
    embedded = dict(zip(halves, embedded, strict=True))
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
            embeddings = [run.corrected for run in (source, target)]
            trained = [run.splits["train"] for run in (source, target)]
            there, here = controls.align_cca(*(z["train"] for z in embeddings), *trained)
            mapped = there(embeddings[0]["train"]), here(embeddings[1]["test"])
            about = {"session": source.session.name, "target": target.session.name}
            about |= {"table": "transfer", "value": kind, "alignment": "CCA"}
            yield about | controls.score(trained[0], target.splits["test"], mapped)


def _agreements(job, sessions, true, **settings):
    trained = [run.splits["train"] for run in true]
    for i, j in product(range(len(true)), repeat=2):
        if i < j:
            pair = [(true[k].corrected["train"], trained[k]) for k in (i, j)]
            about = {"session": sessions[i].name, "target": sessions[j].name}
            yield about | {"table": "agreement", "value": "two days", "r2": controls.agreement(*pair)}
    for session, train, run in zip(sessions, trained, true, strict=True):
        halves = controls.halves(train)
        apart = [embed(job.method, job.seed, half, half, **settings)[1][0] for half in halves]
        bins = [np.isin(train.trial, half.trial) for half in halves]
        one = [run.corrected["train"][mask] for mask in bins]
        for value, embedded in {"halves of a day, two fits": apart, "halves of a day, one fit": one}.items():
            found = controls.agreement(*zip(embedded, halves, strict=True))
            yield {"session": session.name, "table": "agreement", "value": value, "r2": found}


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


KINDS = {f.__name__: f for f in (within, folds, drift, direction, days, repeats)}
