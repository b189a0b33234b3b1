"""From sessions, methods and seeds to tidy records: one place where every score of the book is made.

A cell is one session, one method, one seed: split, fit on the training trials, embed, decode, score.
Cells run through any `concurrent.futures.Executor`; each is cached by its content.
"""

import hashlib
import json
import os
import time
import traceback
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache as remember
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import torch
from threadpoolctl import threadpool_limits
from tqdm import tqdm

import nerlib
from nerlib.decoders import KNNDecoder, LinearDecoder
from nerlib.metrics import accuracy_over_time
from nerlib.models import make_method
from nerlib.results import versions, write_json

FORMS = ("published", "standard")
DECODERS = {"linear": LinearDecoder, "kNN": KNNDecoder}


class Form(NamedTuple):
    """One way to embed and decode a session: "standard", to be believed, or "published", as the paper did.

    ``embedding`` has the keys "train" and "test", arrays (T, d); ``decoders`` the names asked for.
    """

    embedding: dict
    decoders: dict


class Cell(NamedTuple):
    """One session, one method, one seed, fitted: what `fit_cell` returns and `records` scores.

    ``halves`` has the keys "train" and "test", a Session each; ``seconds`` is what fitting the method took.
    For most methods both forms are the same embedding, and only their scores differ.
    """

    about: dict
    halves: dict
    model: object
    standard: Form
    published: Form
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

    def read(embedding):
        return Form(embedding, {name: DECODERS[name]().fit(embedding["train"], train) for name in decoders})

    standard = read({part: model.transform(half.rates, half.trial) for part, half in halves.items()})
    published = standard
    if hasattr(model, "published_embedding"):
        published = read(
            {
                part: model.published_embedding(half.rates, half.labels, half.trial)
                for part, half in halves.items()
            }
        )
    about = {
        "session": session.name,
        **{field: getattr(session, field) for field in ("area", "monkey", "date", "simulated")},
        **{"method": method, "profile": profile, "seed": seed},
    }
    return Cell(about, halves, model, standard, published, seconds)


def records(cell):
    """The scores of a fitted cell, tidy.

    Returns
    -------
    list of dict, one for each decoder, split ("train", "test") and form ("published", "standard"), with the
    keys session, area, monkey, date, simulated, method, profile, seed, decoder, split, form, velocity_r2,
    position_r2, direction_accuracy, direction_over_time (list, one share a bin), seconds (fitting the method)
    """
    return [
        {**cell.about, "decoder": decoder, "split": part, "form": kind}
        | _score(getattr(cell, kind), decoder, part, half, kind)
        | {"seconds": cell.seconds}
        for decoder in cell.standard.decoders
        for part, half in cell.halves.items()
        for kind in FORMS
    ]


def _score(form, decoder, part, half, kind):
    """The three scores of one form, and direction over time."""
    decoder, embedding = form.decoders[decoder], form.embedding[part]
    over_time = accuracy_over_time(decoder.predict(embedding).direction, half)
    return decoder.score(embedding, half)[kind] | {"direction_over_time": over_time.round(4).tolist()}


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
        workers, mp_context=get_context("spawn"), initializer=_limit_threads, initargs=(threads,)
    )


def _limit_threads(threads):
    """Torch and the linear algebra under numpy each start threads of their own, and they get in the way."""
    torch.set_num_threads(threads)
    threadpool_limits(threads)


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
