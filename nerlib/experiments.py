"""From sessions, methods and seeds to tidy records: one place where every score of the book is made.

A cell is one session, one method, one seed: split, fit on the training trials, embed, decode, score.
Cells run through any `concurrent.futures.Executor`; each is cached by its content.
"""

import hashlib
import json
import os
import platform
import tempfile
import time
import traceback
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import UTC, datetime
from functools import cache as remember
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

import nerlib
from nerlib.decoders import KNNDecoder, LinearDecoder
from nerlib.metrics import accuracy_over_time
from nerlib.models import make_method

METRICS = {
    "velocity_r2": "R² of velocity",
    "position_r2": "R² of position",
    "direction_accuracy": "direction, share right",
}
DECODERS = {"linear": LinearDecoder, "kNN": KNNDecoder}


class Cell(NamedTuple):
    """One session, one method, one seed, fitted: what `fit_cell` returns and `records` scores.

    ``halves`` and ``embedding`` have the keys "train" and "test": a Session each, and an array (T, d).
    ``decoders`` has the names that were asked for, ``seconds`` is what fitting the method took.
    """

    about: dict
    halves: dict
    embedding: dict
    model: object
    decoders: dict
    seconds: float


def fit_cell(session, method="NER", seed=42, *, profile="fast", decoders=("linear",), **overrides):
    """Split a session, fit a method on its training trials, embed both parts, fit decoders on the first.

    Parameters
    ----------
    session : Session; its first 80 % of trials train, the rest is held out
    method, profile, **overrides : as in `models.make_method`
    seed : int
    decoders : names of `DECODERS`, "linear" and "kNN"

    Returns
    -------
    Cell
    """
    for name in decoders:
        if name not in DECODERS:
            raise ValueError(f"unknown decoder {name!r}; expected one of {', '.join(DECODERS)}")
    halves = dict(zip(("train", "test"), session.split(), strict=True))
    train = halves["train"]
    model = make_method(method, profile, random_state=seed, **overrides)
    start = time.perf_counter()
    model.fit(train.rates, train.labels, train.trial)
    seconds = time.perf_counter() - start
    embedding = {part: model.transform(half.rates, half.trial) for part, half in halves.items()}
    about = {
        "session": session.name,
        **{field: getattr(session, field) for field in ("area", "monkey", "date", "simulated")},
        **{"method": method, "profile": profile, "seed": seed},
    }
    fitted = {name: DECODERS[name]().fit(embedding["train"], train) for name in decoders}
    return Cell(about, halves, embedding, model, fitted, seconds)


def records(cell):
    """The scores of a fitted cell, tidy.

    Returns
    -------
    list of dict, one for each decoder, split ("train", "test") and form ("published", "standard"), with the
    keys session, area, monkey, date, simulated, method, profile, seed, decoder, split, form, velocity_r2,
    position_r2, direction_accuracy, seconds (fitting the method), direction_over_time (list, one share a bin)
    """
    return [
        {
            **cell.about,
            **{"decoder": name, "split": part, "form": form, **scores, "seconds": cell.seconds},
            "direction_over_time": accuracy_over_time(decoder.predict(cell.embedding[part]).direction, half)
            .round(4)
            .tolist(),
        }
        for name, decoder in cell.decoders.items()
        for part, half in cell.halves.items()
        for form, scores in decoder.score(cell.embedding[part], half).items()
    ]


def evaluate(*session_method_seed, **settings):
    """Fit a cell and score it: `records` of `fit_cell`, which see."""
    return records(fit_cell(*session_method_seed, **settings))


def run(
    sessions,
    methods=("NER",),
    seeds=(42,),
    *,
    profile="fast",
    decoders=("linear",),
    executor=None,
    cache=None,
    verbose=True,
    **overrides,
):
    """Run every cell of sessions × methods × seeds.

    Parameters
    ----------
    sessions : list of Session
    methods : names of `models.METHODS`
    seeds : ints
    profile, decoders, **overrides : as in `fit_cell`
    executor : concurrent.futures.Executor or None for a pool of processes, one a core
    cache : folder for finished cells, or None to compute them all
    verbose : bool, show a progress bar

    Returns
    -------
    list of dict, the `records` of every cell, in the order sessions, methods, seeds

    Raises
    ------
    RuntimeError : after all other cells are done, when some failed; names session, method and seed of each
    """
    cells = [(session, method, seed) for session in sessions for method in methods for seed in seeds]
    settings = {"profile": profile, "decoders": tuple(decoders), **overrides}
    paths = [_cache_path(cache, *cell, settings) for cell in cells]
    found = [_read_cell(path) for path in paths]
    missing = [i for i, done in enumerate(found) if done is None]
    failures = []
    own = None
    if executor is None and missing:
        own = executor = _process_pool(len(missing))
    try:
        futures = {executor.submit(evaluate, *cells[i], **settings): i for i in missing}
        for future in tqdm(as_completed(futures), total=len(futures), desc="cells", disable=not verbose):
            i = futures[future]
            try:
                found[i] = future.result()
            except Exception:
                session, method, seed = cells[i]
                failures.append(
                    f"{session.name} {session.area}, {method}, seed {seed}:\n{traceback.format_exc()}"
                )
                continue
            if paths[i] is not None:
                write_json(paths[i], {"key": paths[i].stem, "records": found[i]})
    finally:
        if own is not None:
            own.shutdown(cancel_futures=True)
    if failures:
        raise RuntimeError(f"{len(failures)} of {len(cells)} cells failed\n" + "\n".join(failures))
    return [record for done in found for record in done]


def _process_pool(n_cells):
    """One process a core, each with one thread: cells are many, and do not wait for one another."""
    workers = min(
        n_cells, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    )
    threads = max(1, torch.get_num_threads() // workers)
    return ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=torch.set_num_threads, initargs=(threads,)
    )


def _cache_path(cache, session, method, seed, settings):
    if cache is None:
        return None
    key = json.dumps([session.digest, method, seed, settings, _code_digest(), versions()], sort_keys=True)
    return Path(cache) / f"{hashlib.sha256(key.encode()).hexdigest()}.json"


def _read_cell(path):
    """The records of a finished cell, or None when there is none or its file is not what was written."""
    if path is None:
        return None
    try:
        content = json.loads(path.read_text())
        return content["records"] if content["key"] == path.stem else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


@remember
def _code_digest():
    """What the scores rest on: this library's source, but for readers (sessions have a digest) and plots."""
    root = Path(nerlib.__file__).parent
    sources = [p for p in sorted([*root.glob("*.py"), *root.glob("models/*.py")]) if p.name != "plots.py"]
    return hashlib.sha256(b"".join(p.read_bytes() for p in sources)).hexdigest()


def versions():
    """Versions of what the numbers rest on: name -> version."""
    packages = {name: version(name) for name in ("torch", "numpy", "scipy", "scikit-learn")}
    return {"nerlib": nerlib.__version__, "python": platform.python_version(), **packages}


def describe(sessions, absent=(), *, profile):
    """What a chapter shows, as Markdown for its first lines.

    Parameters
    ----------
    sessions : list of Session
    absent : list of (name, area, reason)
    profile : str
    """
    simulated = any(session.simulated for session in sessions)
    names = ", ".join(f"{session.name} {session.area}" for session in sessions)
    lines = [
        f"**{'SIMULATED' if simulated else 'Recorded'}** · profile `{profile}` · "
        f"{len(sessions)} recording{'s' if len(sessions) > 1 else ''}: {names}."
    ]
    if simulated:
        lines.append("These numbers test the code. They say nothing about the brain, and reproduce nothing.")
    if absent:
        by_reason = {}
        for name, area, reason in absent:
            by_reason.setdefault(reason, []).append(f"{name} {area}")
        missing = "; ".join(f"{', '.join(names)} ({reason})" for reason, names in by_reason.items())
        lines.append(f"**Absent, and not replaced:** {missing}.")
    return "\n\n".join(lines)


def compare(records, published):
    """Our scores beside the paper's, one row a score.

    Parameters
    ----------
    records : list of dict of `run`
    published : path of published_within_session.csv, the scores that the authors published

    Returns
    -------
    DataFrame: the columns of the records with "recording" (session and area), "metric", "ours" and "paper".
        The paper's value stands in the rows of the form "published", and is NaN where it has none.
    """
    table = pd.read_csv(published, dtype={"date": str}).rename(
        columns={"direction_accuracy_peak": "direction_accuracy"}
    )
    key = ["monkey", "date", "area", "method", "split", "form", "metric"]
    paper = table.assign(form="published").melt(key[:6], list(METRICS), "metric", "paper")
    ours = pd.DataFrame(records)
    ours = ours.melt([c for c in ours if c not in METRICS], list(METRICS), "metric", "ours")
    ours["recording"] = ours["session"] + " " + ours["area"]
    return ours.merge(paper, on=key, how="left")


def summary(scores):
    """One row a method: means over recordings, and their spread over seeds.

    Parameters
    ----------
    scores : DataFrame of `compare`, of one split, form and decoder

    Returns
    -------
    DataFrame of text, index method, columns (metric, "ours" or "paper")
    """
    by_seed = scores.groupby(["method", "metric", "seed"], sort=False)[["ours", "paper"]].mean()
    by_method = by_seed.groupby(["method", "metric"], sort=False)
    mean, spread = by_method.mean(), by_method["ours"].std().fillna(0)
    ours = [
        f"{m:.3f}" + (f" ± {s:.3f}" if s > 5e-4 else "") for m, s in zip(mean["ours"], spread, strict=True)
    ]
    paper = ["—" if np.isnan(m) else f"{m:.3f}" for m in mean["paper"]]
    table = pd.DataFrame({"ours": ours, "paper": paper}, index=mean.index)
    table = table if mean["paper"].notna().any() else table[["ours"]]
    return table.unstack("metric").swaplevel(axis=1).sort_index(axis=1).loc[scores["method"].unique()]


def claim(text, sessions, metric, values, *, paper=None, tolerance=None, at_least=None, seconds=None):
    """One row of the headline table: a claim of the paper, what was measured, and the verdict.

    Parameters
    ----------
    text : str, the claim
    sessions : list of Session that it was tested on
    metric : str
    values : our values, one a seed
    paper : float or None (or NaN), the paper's value for the same sessions; simulated sessions have none
    tolerance : float or None, how far ours may be from the paper's, set before the run
    at_least : float or None, what ours must reach where the paper gives no value, set before the run
    seconds : float or None, time spent

    Returns
    -------
    dict, a row for `write_results`
    """
    ours = float(np.mean(values))
    paper = None if paper is None or np.isnan(paper) else float(paper)
    simulated = any(session.simulated for session in sessions)
    if simulated:
        paper, verdict = None, "simulated"
    elif at_least is not None:
        verdict = f"holds (≥ {at_least:g})" if ours >= at_least else f"does not hold (< {at_least:g})"
    elif paper is None:
        verdict = "no published value"
    elif abs(ours - paper) <= tolerance:
        verdict = "reproduced"
    else:
        verdict = f"{'higher' if ours > paper else 'lower'} by {abs(ours - paper):.3f}"
    areas = Counter(session.area for session in sessions)
    return {
        "claim": text,
        "sessions": " + ".join(f"{n} {area}" for area, n in areas.items()),
        "metric": metric,
        "paper": paper,
        "ours": ours,
        "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        "tolerance": None if simulated else tolerance,
        "verdict": verdict,
        "seconds": seconds,
    }


def verdicts(results):
    """The headline of `write_results` as a list in Markdown."""
    rows = results["headline"]
    return "\n".join(f"- {r['claim']}, {r['metric']}: {r['ours']:.3f}; **{r['verdict']}**." for r in rows)


def write_results(path, *, sessions, profile, seeds, records=(), headline=()):
    """Write what a chapter found, with all that is needed to find it again; atomically.

    Parameters
    ----------
    path : file name ending in .json; its stem is the chapter
    sessions : list of Session that the numbers come from, either all simulated or all recorded
    profile : str
    seeds : ints
    records : list of dict, tidy
    headline : list of dict for the front page, with the keys claim, sessions, metric, paper, ours, sd,
        tolerance, verdict, seconds

    Returns
    -------
    dict, what was written

    Raises
    ------
    ValueError : simulated and recorded sessions together
    """
    if len({session.simulated for session in sessions}) != 1:
        raise ValueError("results come from simulated or from recorded sessions, never from both or none")
    content = {
        "chapter": Path(path).stem,
        "provenance": {
            "data": "simulated" if sessions[0].simulated else "recorded",
            "profile": profile,
            "seeds": [int(seed) for seed in seeds],
            "versions": versions(),
            "sessions": {f"{s.name}/{s.area}": s.digest for s in sessions},
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        },
        "headline": list(headline),
        "records": list(records),
    }
    write_json(Path(path), content)
    return content


def write_json(path, content):
    """Write JSON so that a reader sees the old file or the whole new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=path.parent, suffix=".partial")
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(content, file, indent=1, default=_plain)
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise


def _plain(value):
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
