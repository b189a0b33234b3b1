"""A cell: one session, one method, one seed; fitted on training trials, decoded, scored, carried to others.

This is the one place where every score of the book is made; `nerlib.experiments` runs many cells.
"""

import inspect
import time
from functools import cache as remember
from numbers import Integral
from typing import NamedTuple

import numpy as np
import torch

from nerlib._kept import read_arrays, result_path, without_comments, write_arrays
from nerlib.alignment import align, align_affine
from nerlib.decoders import KNNDecoder, LinearDecoder
from nerlib.metrics import accuracy_over_time
from nerlib.models import make_method
from nerlib.session import Session

FORMS = ("published", "standard")
TRANSFER_FORMS = (*FORMS, "affine")
PARTS = ("train", "test")
DECODERS = {"linear": LinearDecoder, "kNN": KNNDecoder}


class Cell(NamedTuple):
    """One session, one method, one seed, fitted on the training trials.

    ``halves`` has the keys "train" and "test", a Session each; so have ``standard`` and ``published``, the
    embeddings of both, arrays (T, d). Standard is to be believed, published is as the paper did; for most
    methods they are the same, and only their scores differ. ``seconds`` is the processor time of fitting; in
    a pool of threads, of all that the process did meanwhile.
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

    Raises
    ------
    ValueError, TypeError : an unknown method or profile, or what the method's ``fit`` refuses
    """
    model = make_method(method, profile, random_state=seed, **overrides)
    path = embedding_path(cache, session, model)
    halves = dict(zip(PARTS, session.split(), strict=True))
    arrays = read_arrays(path)
    if arrays is None:
        arrays = _fit(model, halves)
        write_arrays(path, arrays)
    about = {
        "session": session.name,
        **{field: getattr(session, field) for field in ("area", "monkey", "date", "simulated")},
        **{"method": method, "profile": profile, "seed": seed},
        "settings": ", ".join(f"{name}={value!r}" for name, value in sorted(overrides.items())),
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
    keys session, area, monkey, date, simulated, method, profile, seed, settings (what differs from the
    profile), decoder, split, form, velocity_r2, position_r2, direction_accuracy, direction_over_time (list,
    one share a bin), seconds (fitting the method)

    Raises
    ------
    ValueError : an unknown decoder
    """
    found = []
    for decoder in check_decoders(decoders):
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
    fitting them anew. A third form, "affine", is the standard one with `alignment.align_affine` in place of
    the rotation: for what agrees only up to more than a rotation.

    Parameters
    ----------
    source : Cell
    targets : list of Cell of the same method, the source itself among them if wanted
    decoders : names of `DECODERS`

    Returns
    -------
    list of dict, one for each decoder, target and form: the keys of `records` less split for the source, and
    target, target_area, target_monkey, target_date

    Raises
    ------
    ValueError : an unknown decoder; embeddings of different dimensions; no direction in common
    """
    carried = [{form: _carried(target, source, form) for form in TRANSFER_FORMS} for target in targets]
    found = []
    for decoder in check_decoders(decoders):
        fitted = _fitted_decoders(source, decoder)
        fitted["affine"] = fitted["standard"]
        for target, embeddings in zip(targets, carried, strict=True):
            of_target = {"target": target.about["session"]}
            of_target |= {f"target_{field}": target.about[field] for field in ("area", "monkey", "date")}
            scored = _score(fitted, embeddings, target.halves["test"])
            found += [
                {**source.about, **of_target, "decoder": decoder, "form": form}
                | scored[form]
                | {"seconds": source.seconds}
                for form in TRANSFER_FORMS
            ]
    return found


def _carried(cell, onto, form):
    """The test trials of a cell laid over another; the maps see training trials, the published one all."""
    if form == "published":
        sides = [(np.concatenate([*c.published.values()]), c.session) for c in (onto, cell)]
    else:
        sides = [(c.standard["train"], c.halves["train"]) for c in (onto, cell)]
    embeddings, sessions = zip(*sides, strict=True)
    if form == "affine":
        matrix, offset = align_affine(*embeddings[::-1], *sessions[::-1])
        return cell.standard["test"] @ matrix + offset
    return getattr(cell, form)["test"] @ align(*embeddings, *sessions, form=form).T


def several(given):
    """What may be one or many, as a tuple."""
    return (given,) if isinstance(given, (Session, str, Integral)) else tuple(given)


def check_decoders(names):
    """The names as a tuple, or a ValueError."""
    names = several(names)
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
        scores = both.get(form, both["standard"])  # an affine map is scored as a rotation is
        scored[form], before = scores | {"direction_over_time": over_time}, now
    return scored


def embedding_path(cache, session, model):
    """Where the embeddings of a cell are kept."""
    about = [session.digest, type(model).__name__, model.get_params(), _how_it_is_fitted()]
    return result_path(cache, "npz", (type(model).__module__,), about, torch.cuda.is_available())


@remember
def _how_it_is_fitted():
    return without_comments(inspect.getsource(_fit))
