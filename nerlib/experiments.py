"""From sessions, methods and seeds to tidy records, many cells at a time.

`run` decodes and scores cells within their session, `transfer` across sessions and areas. Both go through any
`concurrent.futures.Executor`; embeddings and scores are cached by their content.
"""

import hashlib
import os
import traceback
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import NamedTuple

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from nerlib._kept import read_arrays, read_records, result_path, write_records
from nerlib.cells import check_decoders, embedding_path, fit_cell, records, several, transfer_records
from nerlib.models import DETERMINISTIC, make_method


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

    The processes of the default pool import the script that calls this: in a script, do so below
    ``if __name__ == "__main__":``.

    Parameters
    ----------
    sessions : list of Session, or one
    methods : names of `models.METHODS`, or one
    seeds : ints, or one; methods that no chance enters run with the first
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
    ValueError : an unknown method, profile or decoder, before anything is fitted
    RuntimeError : after all other cells are done, when some failed; names session, method and seed of each.
        With a cache the others are kept, and the next call does only what is missing.
    """
    jobs = _jobs(sessions, methods, seeds)
    settings = {"profile": profile, "cache": cache, **overrides}
    task = _Scoring(check_decoders(decoders), settings)
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
    profile, seed and settings

    Raises
    ------
    RuntimeError : as in `run`
    """

    def alike(cell):
        return [cell.about[key] for key in ("method", "profile", "seed", "settings")]

    jobs = [
        (source, [c for c in cells if alike(c) == alike(source) and pairs(source.session, c.session)])
        for source in cells
    ]
    task = _Transferring(check_decoders(decoders), cache)
    done = _spread(task, [job for job in jobs if job[1]], executor, verbose)
    return [record for scored in done for record in scored]


def _jobs(sessions, methods, seeds):
    seeds = several(seeds)
    return [
        (session, method, seed)
        for session in several(sessions)
        for method in several(methods)
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
        stored = read_arrays(embedding_path(cache, session, model)) is not None
        return self(session, method, seed) if stored else None


class _Scoring(NamedTuple):
    decoders: tuple
    settings: dict

    def _path(self, session, method, seed):
        cache, model = _planned(self.settings, method, seed)
        embedding = embedding_path(cache, session, model)
        about = [embedding and embedding.stem, method, {**self.settings, "cache": None}, self.decoders]
        return result_path(cache, "json", (__name__,), about)

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
    missing = {i: job for i, job in enumerate(jobs) if done[i] is None}
    failures = []
    finished = _in_processes(task, missing) if executor is None else _finished(executor, task, missing)
    for i, future in tqdm(finished, total=len(missing), desc="cells", disable=not verbose):
        try:
            done[i] = future.result()
        except Exception:
            failures.append(f"{_name(*jobs[i])}:\n{traceback.format_exc()}")
    if failures:
        raise RuntimeError(f"{len(failures)} of {len(jobs)} failed\n" + "\n".join(failures))
    return done


def _finished(executor, task, jobs):
    """(place, future) of each job, as they end."""
    futures = {executor.submit(task, *job): i for i, job in jobs.items()}
    for future in as_completed(futures):
        yield futures[future], future


def _in_processes(task, jobs):
    """`_finished` in a pool of processes.

    A worker that dies, for want of memory for example, takes its pool with it. What that leaves undone is
    done one by one, so that only the job that kills its worker is lost.
    """
    left = {}
    if jobs:
        with _process_pool(len(jobs)) as pool:
            for i, future in _finished(pool, task, jobs):
                if isinstance(future.exception(), BrokenProcessPool):
                    left[i] = jobs[i]
                else:
                    yield i, future
    for i, job in left.items():
        with _process_pool(1) as pool:
            yield from _finished(pool, task, {i: job})


def _name(session, method, seed=None):
    if seed is None:  # a source and its targets
        session, method, seed = session.session, session.about["method"], session.about["seed"]
    return f"{session.name} {session.area}, {method}, seed {seed}"


@contextmanager
def _process_pool(n_jobs):
    """One process a core, torch's threads shared out: cells are many, and do not wait for one another."""
    workers = min(
        n_jobs, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    )
    threads = max(1, torch.get_num_threads() // workers)
    pool = ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_limit_threads, initargs=(threads,)
    )
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _limit_threads(threads):
    """Torch and the linear algebra under numpy each start threads of their own, and they get in the way."""
    torch.set_num_threads(threads)
    threadpool_limits(threads)


def _digest_arrays(cell):
    arrays = [*cell.standard.values(), *cell.published.values()]
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).data for a in arrays)).hexdigest()
