"""Fits of one recording, each without a block of its trials, which are then decoded."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone

from companion import paper
from companion.own_recording import parse_names
from companion.results import code
from nerlib import metrics, runs
from nerlib.decoders import LinearDecoder
from nerlib.session import Session

FIFTHS, ORDER = 5, (4, 2, 0, 3, 1)  # the blocks of trials that are held out, the last one first


def training_labels(session: Session, names: str) -> tuple[np.ndarray, tuple]:
    """The labels that methods are trained on, and their periods.

    Returns an array (T, columns), in the order velocity, position, direction, and one period or None a
    column. Raises ValueError for another name, and where nothing is left.

    Parameters
    ----------
    session : Session
    names : str, some of "velocity", "direction" and "position" (displacement since the trial's first bin, mm)
        with commas between; direction is left out where the session has none
    """
    k = session.velocity.shape[1]
    columns: dict[str, tuple] = {"velocity": (session.velocity, (None,) * k)}
    columns["position"] = (metrics.position(session.velocity, session), (None,) * k)
    columns["direction"] = (session.direction, (360.0,))
    chosen = parse_names(names)
    if not chosen or set(chosen) - set(columns):
        raise ValueError(f"labels must be some of {', '.join(columns)}; got {names!r}")
    there = [pair for name, pair in columns.items() if name in chosen and pair[0] is not None]
    if not there:
        raise ValueError(f"labels={names!r} leaves nothing to train on: {session.name} has no directions")
    values, periods = zip(*there, strict=True)
    return np.column_stack(values), sum(periods, ())


def make_models(methods, profile: str, session: Session, labels: str, history: int) -> dict[str, Any]:
    """Every method with one bin and with ``history`` bins: "NER, 10 bins" -> unfitted estimator.

    pi-VAE appears once, since its window is centered on the bin and no history.
    """
    models = {}
    periods = training_labels(session, labels)[1]
    velocity = range(session.velocity.shape[1]) if "velocity" in parse_names(labels) else None
    for name in parse_names(methods):
        model = paper.make_method(name, profile)
        known = model.get_params()
        if "periods" in known:
            model.set_params(periods=periods)
        if known.get("label_columns") is not None:
            model.set_params(label_columns=velocity and tuple(velocity))
        if "window" not in known or name == "piVAE":
            models[name] = model
        else:
            both = sorted({1, history})
            name = name.partition(",")[0]  # of "ridge, 10 bins"
            models |= {f"{name}, {n_bins(bins)}": clone(model).set_params(window=bins) for bins in both}
    return models


def longest(models: dict[str, Any]) -> list[str]:
    """Of each method in a dict of `make_models`, the name with the longest history, in order."""
    return list({name.partition(",")[0]: name for name in models}.values())


def first_method(models: dict[str, Any]) -> str:
    """The name of the first method with its longest history, whose embedding is drawn and saved.

    Raises ValueError where its embedding has not three dimensions, as that of ridge or UMAP.
    """
    name = longest(models)[0]
    if models[name].get_params().get("n_components") != 3:
        three = "NER, MSE bottleneck, CEBRA-velocity, PCA or dPCA"
        raise ValueError(f"the first of the methods is drawn in three dimensions: put {three} before {name}")
    return name


def n_bins(count: int) -> str:
    """ "1 bin", "10 bins"."""
    return f"{count} bin{'s' * (count != 1)}"


class Fit(NamedTuple):
    """A method, fitted without a block of trials and decoded on it.

    Attributes
    ----------
    name : str
    model : the fitted estimator
    held : bool array (n_trials,), the trials that were held out
    n_train : int, trials that it was trained on
    embedding : array (T, d) of all bins of the session
    velocity, direction : decoded, of the held-out bins: arrays (T', k) in mm/s, and (T',) in degrees or None
    peak_bin : int or None, the time bin at which direction was best in training trials
    """

    name: str
    model: Any
    held: np.ndarray
    n_train: int
    embedding: np.ndarray
    velocity: np.ndarray
    direction: np.ndarray | None
    peak_bin: int | None

    def held_bins(self, session: Session) -> np.ndarray:
        """Bool array (T,): the bins of the held-out trials."""
        return np.repeat(self.held, session.trial_lengths)


def held_out(session: Session, number: int) -> list[np.ndarray]:
    """Blocks of a fifth of the trials, uninterrupted in time: ``number`` bool arrays (n_trials,), at most 5.

    Raises ValueError for fewer than ten trials.
    """
    if session.n_trials < 2 * FIFTHS:
        raise ValueError(f"{session.name}: {session.n_trials} usable trials; folds need at least 10")
    block = np.arange(session.n_trials) * FIFTHS // session.n_trials
    return [block == which for which in ORDER[:number]]


def fit(
    session: Session, models: dict[str, Any], blocks: list[np.ndarray], labels: str, seed: int,
    *, share: float = 1.0, cache: str | Path | None = None, n_jobs: int = -1,
) -> list[Fit]:  # fmt: skip
    """Fit every method without each block of trials, and decode that block linearly.

    Parameters
    ----------
    session : Session
    models : dict of `make_models`
    blocks : list of `held_out`
    labels : str, as in `training_labels`
    seed : int
    share : float, only so many of the training trials, spread evenly over the session
    cache, n_jobs : as in `nerlib.experiments.run`
    """
    jobs = [
        (runs.make_job(session, name, model, seed), held) for held in blocks for name, model in models.items()
    ]
    keys = [("own", runs.job_key(job, cache), held.tolist(), labels, share, code()) for job, held in jobs]
    calls = [(key, _fit, (*job, labels, share)) for key, job in zip(keys, jobs, strict=True)]
    return Parallel(n_jobs=n_jobs)(delayed(runs.cached(cache))(*call) for call in calls)


def _fit(job, held, labels, share):
    session, name, _, model = job
    trials = np.flatnonzero(~held)
    spread = np.linspace(0, len(trials) - 1, max(2, round(share * len(trials)))).round().astype(int)
    train, held_bins = session.select(trials[spread]), np.repeat(held, session.trial_lengths)
    model.fit(train.rates, training_labels(train, labels)[0], train.trial)
    embedding = model.transform(session.rates, session.trial)
    decoder = LinearDecoder().fit(embedding[np.isin(session.trial, train.trial)], train)
    decoded = decoder.predict(embedding[held_bins])
    return Fit(name, model, held, train.n_trials, embedding, *decoded, decoder.peak_bin_)
