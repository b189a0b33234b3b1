"""From sessions, methods and seeds to tidy records: one place where every score of the book is made.

A cell is one session, one method, one seed: split, fit on the training trials, embed both parts. `run`
decodes and scores cells within their session, `transfer` across sessions and areas. Both go through any
`concurrent.futures.Executor`; embeddings and scores are cached by their content.
"""

import hashlib
import os
import time
import traceback
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import NamedTuple

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from nerlib._kept import read_arrays, read_records, result_path, write_arrays, write_records
from nerlib.alignment import align
from nerlib.decoders import KNNDecoder, LinearDecoder
from nerlib.metrics import accuracy_over_time
from nerlib.models import DETERMINISTIC, make_method
from nerlib.session import Session

FORMS = ("published", "standard")
PARTS = ("train", "test")
DECODERS = {"linear": LinearDecoder, "kNN": KNNDecoder}


class Cell(NamedTuple):
    """One session, one method, one seed, fitted on the training trials.

    ``halves`` has the keys "train" and "test", a Session each; so have ``standard`` and ``published``, the
    embeddings of both, arrays (T, d). Standard is to be believed, published is as the paper did; for most
    methods they are the same, and only their scores differ. ``seconds`` is the processor time of fitting.
    """

    about: dict
    session: Session
    halves: dict
    standard: dict
    published: dict
    seconds: float


def fit_cell(session, method="NER", seed=42, *, profile="fast", cache=None, **overrides):
    """Split a session, fit a method on its training trials, embed both parts.

    Parameters
    ----------
    session : Session; its first 80 % of trials train, the rest is held out
    method, profile, **overrides : as in `models.make_method`
    seed : int
    cache : folder to read the embeddings from and to keep them in, or None

    Returns
    -------
    Cell
    """
    model = make_method(method, profile, random_state=seed, **overrides)
    path = _embedding_path(cache, session, model)
    halves = dict(zip(PARTS, session.split(), strict=True))
    arrays = read_arrays(path)
    if arrays is None:
        arrays = _fit(model, halves)
        write_arrays(path, arrays)
    about = {
        "session": session.name,
        **{field: getattr(session, field) for field in ("area", "monkey", "date", "simulated")},
        **{"method": method, "profile": profile, "seed": seed},
    }
    forms = ({part: arrays[f"{form}_{part}"] for part in PARTS} for form in ("standard", "published"))
    return Cell(about, session, halves, *forms, float(arrays["seconds"]))


def _fit(model, halves):
    """What there is to keep of a fitted method: the embeddings in both forms, and the time."""
    train = halves["train"]
    start = time.process_time()
    model.fit(train.rates, train.labels, train.trial)
    arrays = {"seconds": np.float64(time.process_time() - start)}
    for part, half in halves.items():
        arrays[f"standard_{part}"] = model.transform(half.rates, half.trial)
        arrays[f"published_{part}"] = arrays[f"standard_{part}"]
        if hasattr(model, "published_embedding"):
            arrays[f"published_{part}"] = model.published_embedding(half.rates, half.labels, half.trial)
    return arrays


def records(cell, decoders=("linear",)):
    """Fit decoders on the training trials of a cell, and score both parts.

    Parameters
    ----------
    cell : Cell
    decoders : names of `DECODERS`, "linear" and "kNN"

    Returns
    -------
    list of dict, one for each decoder, split ("train", "test") and form ("published", "standard"), with the
    keys session, area, monkey, date, simulated, method, profile, seed, decoder, split, form, velocity_r2,
    position_r2, direction_accuracy, direction_over_time (list, one share a bin), seconds (fitting the method)
    """
    found = []
    for decoder in _check_decoders(decoders):
        fitted = _fitted_decoders(cell, decoder)
        for part, half in cell.halves.items():
            scored = _score(fitted, {form: getattr(cell, form)[part] for form in FORMS}, half)
            found += [
                {**cell.about, "decoder": decoder, "split": part, "form": form}
                | scored[form]
                | {"seconds": cell.seconds}
                for form in FORMS
            ]
    return found


def transfer_records(source, targets, decoders=("linear",)):
    """Read the test trials of other cells with decoders fitted on the training trials of this one.

    An orthogonal map carries one embedding onto the other; see `alignment.align` for its two forms. The
    target is turned back onto the source, which for these decoders is the same as turning the source and
    fitting them anew.

    Parameters
    ----------
    source : Cell
    targets : list of Cell of the same method, the source itself among them if wanted
    decoders : names of `DECODERS`

    Returns
    -------
    list of dict, one for each decoder, target and form: the keys of `records` less split and seconds for the
    source, and target, target_area, target_monkey, target_date
    """
    rotations = [{form: _rotation(source, target, form) for form in FORMS} for target in targets]
    found = []
    for decoder in _check_decoders(decoders):
        fitted = _fitted_decoders(source, decoder)
        for target, rotation in zip(targets, rotations, strict=True):
            of_target = {"target": target.about["session"]}
            of_target |= {f"target_{field}": target.about[field] for field in ("area", "monkey", "date")}
            turned = {form: getattr(target, form)["test"] @ rotation[form].T for form in FORMS}
            scored = _score(fitted, turned, target.halves["test"])
            found += [
                {**source.about, **of_target, "decoder": decoder, "form": form} | scored[form]
                for form in FORMS
            ]
    return found


def _rotation(source, target, form):
    """The published form sees all trials, the standard form those that the embeddings were fitted on."""
    if form == "published":
        sides = [(np.concatenate([*c.published.values()]), c.session) for c in (source, target)]
    else:
        sides = [(c.standard["train"], c.halves["train"]) for c in (source, target)]
    embeddings, sessions = zip(*sides, strict=True)
    return align(*embeddings, *sessions, form=form)


def _check_decoders(names):
    for name in names:
        if name not in DECODERS:
            raise ValueError(f"unknown decoder {name!r}; expected one of {', '.join(DECODERS)}")
    return names


def _fitted_decoders(cell, name):
    """form -> decoder, fitted on the training trials; one for both where the embeddings are the same."""
    train = cell.halves["train"]
    standard = DECODERS[name]().fit(cell.standard["train"], train)
    same = np.array_equal(cell.standard["train"], cell.published["train"])
    published = standard if same else DECODERS[name]().fit(cell.published["train"], train)
    return {"published": published, "standard": standard}


def _score(decoders, embeddings, session):
    """form -> its three scores, and direction over time; what is the same in both forms is decoded once."""
    scored, before = {}, None
    for form, embedding in embeddings.items():
        now = decoders[form], embedding
        if before is None or now[0] is not before[0] or not np.array_equal(now[1], before[1]):
            decoded = now[0].predict(embedding)
            both = now[0].score(decoded, session)
            over_time = accuracy_over_time(decoded.direction, session).round(4).tolist()
        scored[form], before = both[form] | {"direction_over_time": over_time}, now
    return scored


# --- many of them ---------------------------------------------------------------------------------


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
    """Fit and score every cell of sessions × methods × seeds.

    Parameters
    ----------
    sessions : list of Session
    methods : names of `models.METHODS`
    seeds : ints; methods that no chance enters run with the first one
    profile, **overrides : as in `models.make_method`
    decoders : names of `DECODERS`
    executor : concurrent.futures.Executor, Dask's among them, or None for a pool of processes, one a core
    cache : folder for embeddings and scores, or None to compute them all
    verbose : bool, show a progress bar

    Returns
    -------
    list of dict, the `records` of every cell, in the order sessions, methods, seeds

    Raises
    ------
    RuntimeError : after all other cells are done, when some failed; names session, method and seed of each
    """
    jobs = _jobs(sessions, methods, seeds)
    settings = {"profile": profile, "cache": cache, **overrides}
    task = _Scoring(_check_decoders(tuple(decoders)), settings)
    return [record for scored in _spread(task, jobs, executor, verbose) for record in scored]


def embed(
    sessions,
    methods=("NER",),
    seeds=(42,),
    *,
    profile="fast",
    executor=None,
    cache=None,
    verbose=True,
    **overrides,
):
    """Fit every cell of sessions × methods × seeds; parameters, order and errors as in `run`.

    Returns
    -------
    list of Cell
    """
    jobs = _jobs(sessions, methods, seeds)
    return _spread(_Fitting({"profile": profile, "cache": cache, **overrides}), jobs, executor, verbose)


def transfer(cells, pairs, *, decoders=("linear",), executor=None, cache=None, verbose=True):
    """Decode sessions through other sessions.

    Parameters
    ----------
    cells : list of Cell of `embed`
    pairs : callable, (source Session, target Session) -> bool, whether to decode one through the other
    decoders, executor, cache, verbose : as in `run`

    Returns
    -------
    list of dict, the `transfer_records` of each cell as the source, its targets the cells of the same method,
    profile and seed

    Raises
    ------
    RuntimeError : as in `run`
    """

    def alike(cell):
        return [cell.about[key] for key in ("method", "profile", "seed")]

    jobs = [
        (source, [c for c in cells if alike(c) == alike(source) and pairs(source.session, c.session)])
        for source in cells
    ]
    task = _Transferring(_check_decoders(tuple(decoders)), cache)
    done = _spread(task, [job for job in jobs if job[1]], executor, verbose)
    return [record for scored in done for record in scored]


def _jobs(sessions, methods, seeds):
    return [
        (session, method, seed)
        for session in sessions
        for method in methods
        for seed in (seeds[:1] if method in DETERMINISTIC else seeds)
    ]


def _planned(settings, method, seed):
    """The cache, and the model that is not fitted yet."""
    others = {name: value for name, value in settings.items() if name != "cache"}
    return settings["cache"], make_method(method, random_state=seed, **others)


class _Fitting(NamedTuple):
    """A task for `_spread`: called in a worker; ``read`` finds what an earlier call has kept, or None."""

    settings: dict

    def __call__(self, session, method, seed):
        return fit_cell(session, method, seed, **self.settings)

    def read(self, session, method, seed):
        cache, model = _planned(self.settings, method, seed)
        stored = read_arrays(_embedding_path(cache, session, model)) is not None
        return self(session, method, seed) if stored else None


class _Scoring(NamedTuple):
    decoders: tuple
    settings: dict

    def _path(self, session, method, seed):
        cache, model = _planned(self.settings, method, seed)
        about = [session.digest, method, self.settings["profile"], model.get_params(), self.decoders]
        return result_path(cache, "json", (type(model).__module__, __name__), about)

    def __call__(self, *job):
        done = records(fit_cell(*job, **self.settings), self.decoders)
        write_records(self._path(*job), done)
        return done

    def read(self, *job):
        return read_records(self._path(*job))


class _Transferring(NamedTuple):
    decoders: tuple
    cache: object

    def _path(self, source, targets):
        about = [[c.about, c.session.digest, _digest_arrays(c)] for c in (source, *targets)]
        return result_path(self.cache, "json", (__name__,), about, self.decoders)

    def __call__(self, *job):
        done = transfer_records(*job, self.decoders)
        write_records(self._path(*job), done)
        return done

    def read(self, *job):
        return read_records(self._path(*job))


def _spread(task, jobs, executor, verbose):
    """The results of all jobs, in order: those that are kept, and the others through the executor."""
    done = [task.read(*job) for job in jobs]
    missing = [i for i, result in enumerate(done) if result is None]
    failures = []
    own = None
    if executor is None and missing:
        own = executor = _process_pool(len(missing))
    try:
        futures = {executor.submit(task, *jobs[i]): i for i in missing}
        for future in tqdm(as_completed(futures), total=len(futures), desc="cells", disable=not verbose):
            i = futures[future]
            try:
                done[i] = future.result()
            except Exception:
                failures.append(f"{_name(*jobs[i])}:\n{traceback.format_exc()}")
    finally:
        if own is not None:
            own.shutdown(cancel_futures=True)
    if failures:
        raise RuntimeError(f"{len(failures)} of {len(jobs)} failed\n" + "\n".join(failures))
    return done


def _name(session, method, seed=None):
    if seed is None:  # a source and its targets
        session, method, seed = session.session, session.about["method"], session.about["seed"]
    return f"{session.name} {session.area}, {method}, seed {seed}"


def _process_pool(n_jobs):
    """One process a core, each with one thread: cells are many, and do not wait for one another."""
    workers = min(
        n_jobs, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    )
    threads = max(1, torch.get_num_threads() // workers)
    return ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_limit_threads, initargs=(threads,)
    )


def _limit_threads(threads):
    """Torch and the linear algebra under numpy each start threads of their own, and they get in the way."""
    torch.set_num_threads(threads)
    threadpool_limits(threads)


def _embedding_path(cache, session, model):
    about = [session.digest, type(model).__name__, model.get_params()]
    return result_path(cache, "npz", (type(model).__module__,), about)


def _digest_arrays(cell):
    arrays = [*cell.standard.values(), *cell.published.values()]
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).data for a in arrays)).hexdigest()
