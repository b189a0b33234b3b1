"""A recording of the reader's own: read, looked at, embedded and scored over folds of its trials.

With one recording there are no sessions to draw from, so intervals here are over its held-out trials: they
say how sure a score is for this recording, and nothing about another day or animal.
"""

import ast
import warnings
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.base import clone

from companion import catalogue, paper
from companion.results import code
from nerlib import metrics, runs
from nerlib.data import TrialsLeftOut, describe_nwb, read_nwb
from nerlib.data.nwb import open_nwb
from nerlib.decoders import LinearDecoder
from nerlib.session import Session

BUNDLED, SIMULATED = "Mihili_20140303", "Sim_M1_day000"
FIFTHS, ORDER = 5, (4, 2, 0, 3, 1)  # the blocks of trials that are held out, the last one first
ALIKE = 0.9  # correlation of two units' rates from which they look like one unit, sorted twice


def find_recording(data: str, path: str = "") -> Path | None:
    """The NWB file to read: the reader's, or one that comes with the book; None for simulated data.

    Raises
    ------
    FileNotFoundError : no such file, with the whole path that was looked for
    """
    if data == "simulated":
        return None
    if not path:
        return catalogue.find_file(BUNDLED)
    found = Path(path).expanduser()
    if not found.is_file():
        where = "a relative path starts in the folder in which the notebook runs, so give a whole one"
        raise FileNotFoundError(f"{found.absolute()}: no such file; {where}")
    return found


def contents(path: Path | None) -> pd.DataFrame:
    """`nerlib.data.describe_nwb` of the file; empty for simulated data, which have none."""
    if path is None:
        return pd.DataFrame(columns=["part", "name", "size", "holds"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the readers, about old files' cached schemas
        return describe_nwb(path)


def parse_keep(text: str) -> dict:
    """ "result=R,I; block=2" as the argument ``keep`` of `nerlib.read_nwb`; "" keeps all trials."""
    keep = {}
    for part in filter(None, map(str.strip, text.split(";"))):
        name, equals, values = part.partition("=")
        if not equals:
            raise ValueError(f'keep must read "column=value" or "column=a,b; other=c", got {text!r}')
        keep[name.strip()] = [_literal(value.strip()) for value in values.split(",")]
    return keep


def _literal(text):
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text
    return value if isinstance(value, (bool, int, float)) else text


def parse_names(given: str | Iterable[str]) -> list[str]:
    """A list of names, also as the text "['a', 'b']" or "a, b" that papermill's -p hands on."""
    if isinstance(given, str):
        given = [name.strip(" []'\"") for name in given.split(",")]
    return list(dict.fromkeys(filter(None, given)))


def read(path: Path | None, *, keep: str, counts: str, **options) -> tuple[Session, pd.DataFrame]:
    """Read the recording, and count the trials that are not used.

    Parameters
    ----------
    path : as of `find_recording`
    keep : str, as in `parse_keep`
    counts : str, as in `nerlib.read_nwb`; "" is spike times, or the counts of the bundled recording
    **options : the other parameters of `nerlib.read_nwb`; "" stands for None

    Returns
    -------
    Session, and a DataFrame with the columns trials and why, one row a reason

    Raises
    ------
    as `nerlib.read_nwb`
    """
    if path is None:
        session = catalogue.load_session(SIMULATED, smoothing=options["smoothing"])
        return session, pd.DataFrame([(session.n_trials, "used")], columns=["trials", "why"])
    if path.parent == catalogue.RECORDINGS and not counts:
        counts = f"ecephys/counts_{options['area']}"
    given = {name: None if value == "" else value for name, value in options.items()}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        session = read_nwb(path, keep=parse_keep(keep), counts=counts or None, **given)
        with open_nwb(path) as nwb:
            n_trials = len(nwb.trials)
    found = [w.message.counts for w in caught if isinstance(w.message, TrialsLeftOut)]
    rows = [(session.n_trials, "used")] + [(n, why) for reasons in found for why, n in reasons.items()]
    unasked = n_trials - sum(n for n, _ in rows)
    rows += [(unasked, f"not selected by keep={keep}")] * bool(unasked)
    return session, pd.DataFrame(rows, columns=["trials", "why"])


def check_units(session: Session) -> pd.DataFrame:
    """Units that are silent, or there twice, or suspiciously alike.

    Returns
    -------
    DataFrame, one row a unit: unit (from 0, in the order of the file), rate (spikes/s, in the trials),
    problem (text, "" for none) and dropped (bool: silent, or equal to an earlier unit in every bin)
    """
    rates = np.round(session.rates, 9)
    silent = ~rates.any(axis=0)
    _, first, which = np.unique(rates.T, axis=0, return_index=True, return_inverse=True)
    first = first[which.ravel()]
    problem = [""] * rates.shape[1]
    kept = ~silent & (first == np.arange(len(first)))
    for unit in np.flatnonzero(~kept):
        problem[unit] = "silent" if silent[unit] else f"equal to unit {first[unit]}"
    own = np.flatnonzero(kept)
    if len(own) > 1:
        pairs = np.argwhere(np.triu(np.corrcoef(rates[:, own].T) > ALIKE, 1))
        for earlier, later in own[pairs]:
            problem[later] = f"like unit {earlier}"
    rate = rates.mean(axis=0) / session.bin_width
    return pd.DataFrame({"unit": np.arange(len(first)), "rate": rate, "problem": problem, "dropped": ~kept})


def check_trials(session: Session, still: float) -> pd.DataFrame:
    """The peak speed of each trial.

    Returns
    -------
    DataFrame, one row a trial: trial (its id), peak_speed (mm/s) and dropped (bool: below the share ``still``
    of the median trial's peak)

    Raises
    ------
    ValueError : nothing moves in any trial
    """
    peak = np.maximum.reduceat(np.linalg.norm(session.velocity, axis=1), session.trial_starts)
    if not peak.any():
        raise ValueError(f"{session.name}: velocity is 0 in all {len(peak)} trials; is it the right series?")
    ids = session.trial[session.trial_starts]
    return pd.DataFrame({"trial": ids, "peak_speed": peak, "dropped": peak < still * np.median(peak)})


def clean(session: Session, units: pd.DataFrame, trials: pd.DataFrame) -> Session:
    """The session without the units and trials that are marked ``dropped``."""
    kept = session.select(~trials["dropped"].to_numpy())
    return replace(kept, rates=kept.rates[:, ~units["dropped"].to_numpy()])


def training_labels(session: Session, names: str) -> tuple[np.ndarray, tuple]:
    """The labels that methods are trained on, and their periods.

    Parameters
    ----------
    session : Session
    names : str, some of "velocity", "direction" and "position" (displacement since the trial's first bin, mm)
        with commas between; direction is left out where the session has none

    Returns
    -------
    array (T, columns), in the order velocity, position, direction, and one period or None a column

    Raises
    ------
    ValueError : another name, or nothing left
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
            models |= {f"{name}, {n_bins(bins)}": clone(model).set_params(window=bins) for bins in both}
    return models


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


def held_out(session: Session, number: int) -> list[np.ndarray]:
    """Blocks of a fifth of the trials, uninterrupted in time: ``number`` bool arrays (n_trials,), at most 5.

    Raises
    ------
    ValueError : fewer than ten trials
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
