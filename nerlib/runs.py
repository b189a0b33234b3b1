"""A run: one session, one method, one seed; fitted on training trials, decoded, scored, transferred.

This is the one place where scores are made; `nerlib.experiments` does many runs.
"""

import inspect
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from joblib import Memory
from joblib import hash as content_hash
from sklearn.base import BaseEstimator, clone

from nerlib._provenance import source_digest, versions
from nerlib.alignment import align, align_affine
from nerlib.decoders import KNNDecoder, LinearDecoder
from nerlib.metrics import accuracy_over_time
from nerlib.models import make_method
from nerlib.session import Session

PROTOCOLS = ("published", "corrected")
TRANSFER_PROTOCOLS = (*PROTOCOLS, "affine")
SPLITS = ("train", "test")
DECODERS = {"linear": LinearDecoder, "kNN": KNNDecoder}
Folder = str | Path | None  # where to keep results; None: nowhere
_NOT_SETTINGS = ("random_state", "device", "verbose")
# Packages whose code `source_digest` and `versions` tell. Classes made by exec claim to be builtins.
_DIGESTED = {"nerlib", "sklearn", *sys.stdlib_module_names} - {"builtins"}


@dataclass(frozen=True, eq=False)
class Run:
    """One session, one method, one seed, fitted on the training trials.

    ``about`` has the keys session, area, monkey, date, simulated, method, seed and settings, which are the
    parameters that differ from the estimator's defaults, as text. ``corrected`` and ``published`` map "train"
    and "test" to the embedding (T, d), leak-free and as in the paper; for most methods the two are the same,
    and only their scores differ.
    """

    about: dict
    session: Session
    corrected: dict
    published: dict
    seconds: float  # processor time of fitting

    @cached_property
    def splits(self) -> dict[str, Session]:
        """The training and the test part of the session."""
        return dict(zip(SPLITS, self.session.split(), strict=True))


def fit_run(
    session: Session, method: Any = "NER", seed: int = 42, *, name: str | None = None, cache: Folder = None
) -> Run:
    """Split a session, fit a method on its training trials, embed both parts.

    Raises ValueError for an unknown method, and what the method's ``fit`` raises.

    Parameters
    ----------
    session : Session; its first 80 % of trials train, the rest is held out
    method : name in `models.METHODS`, or an unfitted estimator whose ``fit`` takes (rates, labels, trial).
        If it has a parameter ``periods`` and that is None, `Session.periods` is used
    seed : int, the estimator's ``random_state``
    name : str or None, name of the method in tables; None: as given, or the estimator's class
    cache : folder to keep embeddings in, or None. An estimator from outside of nerlib is known by the source
        of its class and bases; after a change in functions that they call, take another folder
    """
    job = make_job(session, name, method, seed)
    return as_run(job, cached(cache)(("fit", job_key(job, cache)), fit_job, (job,)))


class Job(NamedTuple):
    """What is to be run: the model is not fitted yet."""

    session: Session
    method: str
    seed: int
    model: Any


def make_job(session, name, method, seed):
    named = isinstance(method, str)
    model = make_method(method) if named else clone(method)
    known = model.get_params()
    for periods in ("periods", "estimator__periods"):  # the latter of an ensemble
        if known.get(periods, 0) is None:
            model.set_params(**{periods: session.periods})
    if "random_state" in known:
        model.set_params(random_state=seed)
    return Job(session, name or (method if named else type(method).__name__), seed, model)


def job_key(job, cache):
    """A digest of all that the result of a job depends on; needed only for a cache."""
    if cache is None:
        return ""
    about = [job.session.digest, job.method, job.model, _own_source(job.model), torch.cuda.is_available()]
    return content_hash([*about, versions(), source_digest()])


def _own_source(model):
    """The source of a model's class, of estimators within and of all bases, but for what is `_DIGESTED`."""
    within = [value for value in model.get_params().values() if isinstance(value, BaseEstimator)]
    kinds = [kind for one in (model, *within) for kind in type(one).__mro__[:-1]]  # the last one is object
    source = ""
    for kind in kinds:
        if kind.__module__.partition(".")[0] not in _DIGESTED:
            try:
                source += inspect.getsource(kind)
            except (OSError, TypeError):
                if kind in map(type, (model, *within)):  # a base may be compiled, as dict is
                    problem = f"the source of {kind.__name__} was not found, so nothing can be cached"
                    raise ValueError(f"{problem}; use cache=None") from None
    return source


def cached(cache):
    """A function (key, function, arguments) -> function(*arguments) that keeps results by key in a folder."""
    return Memory(cache, verbose=0).cache(_call, ignore=["function", "arguments"])


# joblib drops stored results when the source of a cached function changes, so this one stays as it is.
def _call(key, function, arguments):
    return function(*arguments)


def fit_job(job):
    """Fit a method; its embeddings in both protocols, and the processor time of fitting."""
    splits, model = dict(zip(SPLITS, job.session.split(), strict=True)), job.model
    train = splits["train"]
    start = time.process_time()
    model.fit(train.rates, train.labels, train.trial)
    seconds = time.process_time() - start
    corrected = published = {split: model.transform(s.rates, s.trial) for split, s in splits.items()}
    if embed := getattr(model, "published_embedding", None):
        published = {split: embed(s.rates, s.labels, s.trial) for split, s in splits.items()}
    return {"corrected": corrected, "published": published, "seconds": seconds}


def as_run(job, fitted):
    """The Run of a job and the result of `fit_job`."""
    session, model = job.session, job.model
    defaults = {k: p.default for k, p in inspect.signature(type(model)).parameters.items()}
    defaults["periods"] = session.periods
    own = {k: v for k, v in sorted(model.get_params(deep=False).items()) if k not in _NOT_SETTINGS}
    settings = ", ".join(f"{k}={v!r}" for k, v in own.items() if repr(v) != repr(defaults[k]))
    about = {field: getattr(session, field) for field in ("area", "monkey", "date", "simulated")}
    about = {"session": session.name} | about | {"method": job.method, "seed": job.seed, "settings": settings}
    return Run(about, session, **fitted)


def score_run(run: Run, decoders: str | Iterable[str] = ("linear",)) -> list[dict]:
    """Fit decoders, "linear" or "kNN", on the training trials of a run, and score both parts.

    Returns a list of dict, one for each decoder, split ("train", "test") and protocol ("published",
    "corrected"), with the keys of `Run.about`, decoder, split, protocol, the scores of `metrics.score`,
    seconds (of fitting) and, for sessions with directions, direction_over_time (list, one share per bin).
    Raises ValueError for an unknown decoder.
    """
    rows = []
    for decoder in check_decoders(decoders):
        fitted = _fit_decoders(run, decoder)
        for split, part in run.splits.items():
            embeddings = {protocol: getattr(run, protocol)[split] for protocol in PROTOCOLS}
            about = {"decoder": decoder, "split": split}
            rows += _score(run, about, fitted, embeddings, part, held_out=split == "test")
    return rows


def transfer_run(source: Run, targets: list[Run], decoders: str | Iterable[str] = ("linear",)) -> list[dict]:
    """Decode the test trials of other runs with decoders fitted on the training trials of this one.

    An orthogonal map aligns the embeddings; see `alignment.align` for its two protocols. The target is
    rotated back onto the source, which for these decoders is the same as rotating the source and fitting them
    again. A third protocol, "affine", is the corrected one with `alignment.align_affine` in place of the
    rotation: for embeddings that agree only up to more than a rotation.

    Targets are runs of the same method, the source may be among them. Returns a list of dict, one for each
    decoder, target and protocol: the keys of `score_run` without split, for the source, and target,
    target_area, target_monkey, target_date. Raises ValueError for an unknown decoder, embeddings of different
    dimensions, and where no direction is common.
    """
    rows = []
    aligned = [{p: _align_test_embedding(t, source, p) for p in TRANSFER_PROTOCOLS} for t in targets]
    for decoder in check_decoders(decoders):
        fitted = _fit_decoders(source, decoder)
        for target, embeddings in zip(targets, aligned, strict=True):
            own = {f"target_{field}": target.about[field] for field in ("area", "monkey", "date")}
            about = {"target": target.about["session"], **own, "decoder": decoder}
            rows += _score(source, about, fitted, embeddings, target.splits["test"], held_out=True)
    return rows


def _align_test_embedding(run, onto, protocol):
    """The test trials of a run in the space of another; maps see training trials, the published one all."""
    if protocol == "published":
        embeddings = [np.concatenate([*r.published.values()]) for r in (onto, run)]
        return run.published["test"] @ align(*embeddings, onto.session, run.session, protocol=protocol).T
    there, here = ((r.corrected["train"], r.splits["train"]) for r in (onto, run))
    if protocol == "affine":
        matrix, offset = align_affine(here[0], there[0], here[1], there[1])
        return run.corrected["test"] @ matrix + offset
    return run.corrected["test"] @ align(there[0], here[0], there[1], here[1]).T


def check_decoders(names):
    """The names as a tuple, or a ValueError."""
    names = as_tuple(names)
    for name in names:
        if name not in DECODERS:
            raise ValueError(f"unknown decoder {name!r}; expected one of {', '.join(DECODERS)}")
    return names


def _fit_decoders(run, name):
    """protocol -> decoder, fitted on the training trials; one for all where they would be the same."""
    kind, train = DECODERS[name], run.splits["train"]
    options = {"standardize": False} if name == "linear" else {}
    corrected = published = kind().fit(run.corrected["train"], train)
    if options or not np.array_equal(run.corrected["train"], run.published["train"]):
        published = kind(**options).fit(run.published["train"], train)
    return {"published": published, "corrected": corrected, "affine": corrected}


def _score(run, about, decoders, embeddings, session, *, held_out):
    """One row a protocol; what is the same in two of them is decoded once."""
    rows, last = [], (None, None)
    for protocol, embedding in embeddings.items():
        decoder = decoders[protocol]
        if decoder is not last[0] or not np.array_equal(embedding, last[1]):
            last, decoded = (decoder, embedding), decoder.predict(embedding)
            both = decoder.score(decoded, session, held_out=held_out)
        scores = both.get(protocol, both["corrected"])  # an affine map is scored as corrected
        row = run.about | about | {"protocol": protocol} | scores
        if decoded.direction is not None:
            row["direction_over_time"] = accuracy_over_time(decoded.direction, session).round(4).tolist()
        rows.append(row | {"seconds": run.seconds})
    return rows


def as_tuple(given):
    """One or many, as a tuple."""
    return (given,) if isinstance(given, (Session, str, Integral)) else tuple(given)
