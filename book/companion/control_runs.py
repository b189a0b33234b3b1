"""Fits for the chapter *Choices and controls*: folds in time, drift within a session, broken sessions.

A row holds scores of `controls.score` and what they are of; its ``value`` tells it from the other rows.
"""

from functools import partial

from threadpoolctl import threadpool_limits

from companion import controls, paper

UNTRAINED = {"max_iter": 1, "learning_rate": 1e-12, "weight_averaging": 0.0}
CONTROLS = {  # name -> what it does to a session
    "movements permuted": lambda s, seed: s.permute_movements(seed),
    "rates of other trials": lambda s, seed: controls.shift_by_trials(s),
    "rates of other times": controls.shift_within_trials,
    "neurons permuted in bins": partial(controls.permute_neurons, within="bin"),
    "neurons permuted in trials": partial(controls.permute_neurons, within="trial"),
}


def build(name, seed, **settings):
    """An unfitted estimator by the name that it has in the records, e.g. "NER, 10 bins"."""
    kind, _, more = name.partition(", ")
    window = {"window": int(more.split()[0])} if more else {}
    return set_known(paper.make_method(kind, "fast", **window, **settings), random_state=seed)


def set_known(model, **given):
    """Set those of some parameters that an estimator has; returns it."""
    known = model.get_params()
    return model.set_params(**{name: value for name, value in given.items() if name in known})


def embed(model, train, *parts, labels=None):
    """The embeddings of some sessions by a method fitted on another one, with its labels or those given."""
    model.fit(train.rates, train.labels if labels is None else labels, train.trial)
    return [model.transform(part.rates, part.trial) for part in parts]


def fold_scores(session, method, seed, **settings):
    """Scores of each of five contiguous folds in time of a session, ``value`` their number."""
    for k, (train, test) in enumerate(controls.folds(session)):
        (scores,) = _scores(method, seed, train, test, **settings)
        yield about(session, method, seed) | {"value": k} | scores


def broken_scores(session, method, seed):
    """Scores of a session after each of the `CONTROLS`, which is their ``value``."""
    for control, destroy in CONTROLS.items():
        (scores,) = _scores(method, seed, *destroy(session, seed).split())
        yield about(session, method, seed) | {"value": control} | scores


def drift_scores(session, method, seed, **settings):
    """Scores of the last three fifths of a session by a fit on the first two; ``value`` is 0, 1, 2."""
    one, two, *later = [test for _, test in controls.folds(session)]
    first = session.select(slice(one.n_trials + two.n_trials))
    for k, scores in enumerate(_scores(method, seed, first, *later, **settings)):
        yield about(session, method, seed) | {"value": k} | scores


def about(session, method, seed):
    return {"session": session.name, "area": session.area, "method": method, "seed": seed}


def _scores(method, seed, train, *tests, **settings):
    """Scores of some sessions by one fit."""
    with threadpool_limits(1):  # small matrices, for which threads cost more than they bring
        own, *embedded = embed(build(method, seed, **settings), train, train, *tests)
        return [controls.score(train, test, (own, z)) for test, z in zip(tests, embedded, strict=True)]
