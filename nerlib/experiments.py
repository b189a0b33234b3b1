"""Many runs: from sessions, methods and seeds to one tidy table.

`run` fits and scores, `embed` fits, `transfer` decodes sessions through one another. All use joblib, with the
processes of one machine, or a Dask cluster inside ``parallel_config(backend="dask")``. Results are cached by
content in a folder that must be trusted, since joblib stores pickles. In a script, call these below
``if __name__ == "__main__":``.
"""

import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from joblib import Parallel, delayed
from joblib import hash as content_hash
from tqdm import tqdm

from nerlib import runs as _runs
from nerlib._provenance import source_digest, versions
from nerlib.models import make_method
from nerlib.session import Session

fit_run, score_run, transfer_run = _runs.fit_run, _runs.score_run, _runs.transfer_run


def run(
    sessions: Session | Iterable[Session],
    methods: str | Iterable[str] | Mapping[str, Any] = ("NER",),
    seeds: int | Iterable[int] = (42,),
    *,
    decoders: str | Iterable[str] = ("linear",),
    n_jobs: int = -1,
    cache: _runs.Folder = None,
    verbose: bool = True,
) -> list[dict]:
    """Fit and score every combination of sessions, methods and seeds.

    Returns the rows of `score_run` in the order sessions, methods, seeds. Raises ValueError for an unknown
    method or decoder before anything is fitted, and RuntimeError after all other runs are finished, when some
    failed: it names session, method and seed of each. With a cache the others are kept, and the next call
    does only what is missing.

    Parameters
    ----------
    sessions : list of Session, or one
    methods : names in `models.METHODS`, or a dict from names to unfitted estimators
    seeds : ints, or one; deterministic methods (without ``random_state``) run with the first
    decoders : "linear", "kNN"
    n_jobs : int, processes as in joblib.Parallel; -1: one per core
    cache : folder for embeddings and scores, or None to compute them all
    verbose : bool, show a progress bar
    """
    jobs, decoders = _jobs(sessions, methods, seeds), _runs.check_decoders(decoders)
    keyed = [(_runs.job_key(job, cache), job) for job in jobs]
    calls = [(("scores", key, decoders), _scores, (job, decoders, cache, key)) for key, job in keyed]
    return [row for rows in _parallel(calls, jobs, cache, n_jobs, verbose) for row in rows]


def embed(
    sessions: Session | Iterable[Session],
    methods: str | Iterable[str] | Mapping[str, Any] = ("NER",),
    seeds: int | Iterable[int] = (42,),
    *,
    n_jobs: int = -1,
    cache: _runs.Folder = None,
    verbose: bool = True,
) -> list[_runs.Run]:
    """Fit every combination of sessions, methods and seeds; parameters, order and errors as in `run`."""
    jobs = _jobs(sessions, methods, seeds)
    calls = [(("fit", _runs.job_key(job, cache)), _runs.fit_job, (job,)) for job in jobs]
    fitted = _parallel(calls, jobs, cache, n_jobs, verbose)
    return [_runs.as_run(job, one) for job, one in zip(jobs, fitted, strict=True)]


def transfer(
    runs: list[_runs.Run],
    pairs: Callable[[Session, Session], bool],
    *,
    decoders: str | Iterable[str] = ("linear",),
    n_jobs: int = -1,
    cache: _runs.Folder = None,
    verbose: bool = True,
) -> list[dict]:
    """Decode sessions through other sessions.

    Returns the rows of `transfer_run` with each of the runs, which `embed` made, as the source. Its targets
    are the runs of the same method, seed and settings for which ``pairs(source, target)``, a function of two
    sessions, is true. Other parameters and errors are those of `run`.
    """
    runs, decoders = list(runs), _runs.check_decoders(decoders)
    # Transfer decodes embeddings: the rates, by far the largest part, need not be sent to every process.
    slim = [replace(r, session=replace(r.session, rates=r.session.rates[:, :1])) for r in runs]
    digests = [content_hash([r.about, r.session.digest, r.corrected, r.published]) for r in runs]
    alike = [[r.about[key] for key in ("method", "seed", "settings")] for r in runs]
    calls, sources = [], []
    for i, source in enumerate(runs):
        js = [j for j, r in enumerate(runs) if alike[j] == alike[i] and pairs(source.session, r.session)]
        if js:
            key = ("transfer", digests[i], [digests[j] for j in js], decoders, versions(), source_digest())
            calls.append((key, transfer_run, (slim[i], [slim[j] for j in js], decoders)))
            sources.append(_runs.Job(source.session, source.about["method"], source.about["seed"], None))
    return [row for rows in _parallel(calls, sources, cache, n_jobs, verbose) for row in rows]


def _scores(job, decoders, cache, key):
    fitted = _runs.cached(cache)(("fit", key), _runs.fit_job, (job,))
    return score_run(_runs.as_run(job, fitted), decoders)


def _jobs(sessions, methods, seeds):
    sessions, seeds = _runs.as_tuple(sessions), _runs.as_tuple(seeds)
    if not isinstance(methods, Mapping):
        methods = {name: make_method(name) for name in _runs.as_tuple(methods)}
    return [
        _runs.make_job(session, name, method, seed)
        for session in sessions
        for name, method in methods.items()
        for seed in (seeds if "random_state" in method.get_params() else seeds[:1])
    ]


def _parallel(calls, jobs, cache, n_jobs, verbose):
    """The results of cached calls, in order: stored ones are read, the others computed in parallel."""
    function = _runs.cached(cache)
    stored = [_stored(function, call) for call in calls]
    outcomes = {i: (found, None) for i, found in enumerate(stored) if found is not None}
    waiting = [i for i in range(len(calls)) if i not in outcomes]

    def compute(indices):
        work = (delayed(_attempt)(function, i, calls[i]) for i in indices)
        for i, outcome in Parallel(n_jobs=n_jobs, return_as="generator_unordered")(work):
            bar.update()
            outcomes[i] = outcome

    with tqdm(total=len(waiting), desc="runs", disable=not verbose) as bar:
        try:
            compute(waiting)
        except Exception:  # a killed worker, e.g. out of memory: one by one, to lose only the run that fails
            for i in [i for i in waiting if i not in outcomes]:
                try:
                    compute([i])
                except Exception:
                    outcomes[i] = (None, traceback.format_exc())
    told = []
    for i, (session, method, seed, _) in enumerate(jobs):
        if failure := outcomes[i][1]:
            told.append(f"{session.name} {session.area}, {method}, seed {seed}:\n{failure}")
    if told:
        raise RuntimeError(f"{len(told)} of {len(calls)} failed\n" + "\n".join(told))
    return [outcomes[i][0] for i in range(len(calls))]


def _stored(function, call):
    """The stored result of a call, or None when there is none or it is damaged."""
    if not function.check_call_in_cache(*call):
        return None
    try:
        return function.call_and_shelve(*call).get()
    except Exception:  # joblib raises many kinds for a damaged file
        return None


def _attempt(function, i, call):
    """In a worker: the result of a call and None, or None and why there is none."""
    try:
        return i, (function(*call), None)
    except Exception:
        return i, (None, traceback.format_exc())
