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
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import UTC, datetime
from functools import cache as remember
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

import nerlib
from nerlib.decoders import KNNDecoder, LinearDecoder
from nerlib.models import make_method

DECODERS = {"linear": LinearDecoder, "kNN": KNNDecoder}


def evaluate(session, method="NER", seed=42, *, profile="fast", decoder="linear", **overrides):
    """Run one cell.

    Parameters
    ----------
    session : Session; its first 80 % of trials train, the rest is held out
    method, profile, **overrides : as in `models.make_method`
    seed : int
    decoder : "linear" or "kNN"

    Returns
    -------
    list of dict, one for each split ("train", "test") and form ("published", "standard"), with the keys
    session, area, monkey, date, simulated, method, profile, seed, decoder, split, form, velocity_r2,
    position_r2, direction_accuracy, seconds (fitting the method)
    """
    train, test = session.split()
    model = make_method(method, profile, random_state=seed, **overrides)
    start = time.perf_counter()
    model.fit(train.rates, train.labels, train.trial)
    seconds = time.perf_counter() - start
    embedded = {"train": model.transform(train.rates, train.trial), "test": model.transform(test.rates, test.trial)}
    reader = DECODERS[decoder]().fit(embedded["train"], train)
    about = {
        "session": session.name,
        **{field: getattr(session, field) for field in ("area", "monkey", "date", "simulated")},
        **{"method": method, "profile": profile, "seed": seed, "decoder": decoder},
    }
    return [
        {**about, "split": part, "form": form, **scores, "seconds": seconds}
        for part, half in (("train", train), ("test", test))
        for form, scores in reader.score(embedded[part], half).items()
    ]


def run(
    sessions,
    methods=("NER",),
    seeds=(42,),
    *,
    profile="fast",
    decoder="linear",
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
    profile, decoder, **overrides : as in `evaluate`
    executor : concurrent.futures.Executor or None for a pool of processes, one a core
    cache : folder for finished cells, or None to compute them all
    verbose : bool, show a progress bar

    Returns
    -------
    list of dict, the records of `evaluate`, in the order sessions, methods, seeds

    Raises
    ------
    RuntimeError : after all other cells are done, when some failed; names session, method and seed of each
    """
    cells = [(session, method, seed) for session in sessions for method in methods for seed in seeds]
    settings = {"profile": profile, "decoder": decoder, **overrides}
    paths = [_cache_path(cache, *cell, settings) for cell in cells]
    found = [_read_cell(path) for path in paths]
    missing = [i for i, records in enumerate(found) if records is None]
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
                failures.append(f"{session.name} {session.area}, {method}, seed {seed}:\n{traceback.format_exc()}")
                continue
            if paths[i] is not None:
                write_json(paths[i], {"key": paths[i].stem, "records": found[i]})
    finally:
        if own is not None:
            own.shutdown(cancel_futures=True)
    if failures:
        raise RuntimeError(f"{len(failures)} of {len(cells)} cells failed\n" + "\n".join(failures))
    return [record for records in found for record in records]


def _process_pool(n_cells):
    """One process a core, each with one thread: cells are many, and do not wait for one another."""
    workers = min(n_cells, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
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
    """What the scores rest on: the source of this library, without readers (sessions have a digest) and plots."""
    root = Path(nerlib.__file__).parent
    sources = [p for p in sorted([*root.glob("*.py"), *root.glob("models/*.py")]) if p.name != "plots.py"]
    return hashlib.sha256(b"".join(p.read_bytes() for p in sources)).hexdigest()


def versions():
    """Versions of what the numbers rest on: name -> version."""
    packages = {name: version(name) for name in ("torch", "numpy", "scipy", "scikit-learn")}
    return {"nerlib": nerlib.__version__, "python": platform.python_version(), **packages}


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
