"""Many runs: the same results on any backend, cached by content, named when they fail."""

import importlib.util
import inspect
import os
import sys
import threading

import joblib
import numpy as np
import pytest
from joblib import parallel_config
from sklearn.base import BaseEstimator, TransformerMixin
from toy import make_session, small

from nerlib import Ensemble, _provenance, experiments, runs
from nerlib.models import base

METRICS = ("velocity_r2", "position_r2", "direction_accuracy")
QUICK = small("NER")


def scores_of(rows):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


@pytest.fixture
def fits(monkeypatch):
    """The threads in which methods were fitted, one entry per fit."""
    where, real = [], base.train

    def train(*given):
        where.append(threading.current_thread())
        return real(*given)

    monkeypatch.setattr(base, "train", train)
    return where


def stored(folder):
    """Stored results: of fits, and of scores."""
    found = sorted(folder.rglob("output.pkl"))
    return [[path for path in found if isinstance(joblib.load(path), kind)] for kind in (dict, list)]


def test_rows_are_tidy_and_in_order(threads):
    sessions = [make_session(seed=s, name=f"S{s}") for s in (1, 0)]
    rows = experiments.run(sessions, QUICK, [3, 1], verbose=False)
    assert [(r["session"], r["seed"]) for r in rows[::4]] == [("S1", 3), ("S1", 1), ("S0", 3), ("S0", 1)]
    assert [(r["split"], r["protocol"]) for r in rows[:4]] == [
        ("train", "published"), ("train", "corrected"), ("test", "published"), ("test", "corrected"),
    ]  # fmt: skip
    assert all(np.isfinite([r[m] for m in METRICS]).all() for r in rows)


def test_processes_give_the_same(session, threads):
    here = experiments.run([session], QUICK, [0, 1], verbose=False)
    with parallel_config(backend="loky"):
        there = experiments.run([session], QUICK, [0, 1], verbose=False)
    for a, b in zip(scores_of(here), scores_of(there), strict=True):
        assert a.keys() == b.keys()
        assert [a[m] for m in METRICS] == pytest.approx([b[m] for m in METRICS], abs=1e-6)


def test_finished_runs_are_read_and_damaged_ones_done_again(session, threads, fits, tmp_path):
    arguments = {"cache": tmp_path, "verbose": False}
    first = experiments.run([session], QUICK, [0, 1], **arguments)
    fitted, scored = stored(tmp_path)
    assert len(fitted) == len(scored) == len(fits) == 2
    assert experiments.run([session], QUICK, [0, 1], **arguments) == first and len(fits) == 2
    scored[0].write_bytes(scored[0].read_bytes()[:50])
    assert experiments.run([session], QUICK, [0, 1], **arguments) == first and len(fits) == 2
    for path in (*scored, fitted[0]):
        path.write_bytes(path.read_bytes()[:200])
    again = experiments.run([session], QUICK, [0, 1], **arguments)
    assert len(fits) == 3 and scores_of(again) == scores_of(first)
    experiments.run([session], small("NER", max_iter=11), [0], **arguments)
    experiments.run([make_session(seed=5)], QUICK, [0], **arguments)
    assert len(fits) == 5
    experiments.run([session], QUICK, [0], decoders=["kNN"], **arguments)
    experiments.embed([session], QUICK, [0], **arguments)
    runs.fit_run(session, QUICK["NER"], 0, name="NER", cache=tmp_path)
    assert len(fits) == 5


def test_a_damaged_embedding_is_done_again_by_a_worker(session, threads, fits, tmp_path):
    (run,) = experiments.embed([session], QUICK, cache=tmp_path, verbose=False)
    ((path,), _) = stored(tmp_path)
    path.write_bytes(path.read_bytes()[:200])
    (again,) = experiments.embed([session], QUICK, cache=tmp_path, verbose=False)
    assert len(fits) == 2 and fits[1] is not threading.main_thread()
    assert np.array_equal(again.corrected["test"], run.corrected["test"])


def test_other_code_of_the_library_is_another_result(session, threads, fits, tmp_path, monkeypatch):
    for digest in ("one", "two", "two"):
        monkeypatch.setattr(runs, "source_digest", lambda digest=digest: digest)
        experiments.embed([session], QUICK, cache=tmp_path, verbose=False)
    assert len(fits) == 2


def test_the_cache_hangs_on_keys_and_on_no_source_that_is_edited_often(session, threads, tmp_path):
    """joblib drops the results of a function whose source changes, even a comment: it gets `_call` alone."""
    experiments.run([session], QUICK, cache=tmp_path, verbose=False)
    assert {path.parent.parent.name for path in tmp_path.rglob("output.pkl")} == {"_call"}
    assert len(inspect.getsource(runs._call).splitlines()) == 2


def test_a_method_without_source_runs_uncached(session, tmp_path):
    space = {}
    exec("class Plain(Mean):\n    pass", {"Mean": Mean}, space)
    assert runs.fit_run(session, space["Plain"]()).corrected["train"].shape[1] == 1
    with pytest.raises(ValueError, match="the source of Plain was not found"):
        runs.fit_run(session, space["Plain"](), cache=tmp_path)


THEIRS = """
from sklearn.base import BaseEstimator, TransformerMixin

class First(TransformerMixin, BaseEstimator):
    def __init__(self, random_state=None):
        self.random_state = random_state

    def fit(self, X, y, trial=None):
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X, trial=None):
        return SIGN * X[:, :1]

class Second(First):
    pass
"""


@pytest.mark.parametrize("wrap", [lambda method: method, Ensemble], ids=["alone", "in an ensemble"])
def test_other_code_of_a_base_class_from_outside_is_another_result(session, tmp_path, monkeypatch, wrap):
    embeddings = []
    for place, sign in enumerate(("1", "-1", "1")):
        path = tmp_path / f"theirs_{place}.py"
        path.write_text(THEIRS.replace("SIGN", sign))
        spec = importlib.util.spec_from_file_location("theirs", path)
        theirs = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "theirs", theirs)
        spec.loader.exec_module(theirs)
        run = runs.fit_run(session, wrap(theirs.Second()), name="theirs", cache=tmp_path / "cache")
        embeddings.append(run.corrected["test"])
    assert np.array_equal(embeddings[1], -embeddings[0]) and np.array_equal(embeddings[2], embeddings[0])
    assert embeddings[0].any() and len(stored(tmp_path)[0]) == 2


def test_the_digest_covers_code_and_not_prose(tmp_path):
    code = "def f(x):\n    '''One.'''\n    return x + 1"
    told = "def f(x):\n    '''Two.'''\n    # more\n    return (x\n    + 1)"
    assert _provenance.without_comments(code) == _provenance.without_comments(told)
    assert _provenance.without_comments(code) != _provenance.without_comments(code.replace("1", "2"))
    (tmp_path / "a.py").write_text(code)
    _provenance.source_digest.cache_clear()
    first = _provenance.source_digest(tmp_path)
    (tmp_path / "a.py").write_text(told)
    _provenance.source_digest.cache_clear()
    assert _provenance.source_digest(tmp_path) == first != _provenance.source_digest()
    (tmp_path / "b.py").write_text(code)
    _provenance.source_digest.cache_clear()
    assert _provenance.source_digest(tmp_path) != first


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_a_run_that_fails_is_named_and_the_others_are_kept(session, tmp_path, backend):
    sessions = [session.select([0]), session]
    with (
        parallel_config(backend=backend),
        pytest.raises(RuntimeError, match=r"1 of 2 failed\nToy M1, NER, seed 8:[\s\S]*cannot be split"),
    ):
        experiments.run(sessions, QUICK, [8], cache=tmp_path, verbose=False)
    assert [len(paths) for paths in stored(tmp_path)] == [1, 1]


class Mean(TransformerMixin, BaseEstimator):
    """The mean rate of all neurons."""

    def fit(self, X, y, trial=None):
        return self

    def transform(self, X, trial=None):
        return X.mean(axis=1, keepdims=True)


class Keyed(Mean, dict):
    """One of its bases is compiled, and has no source."""

    def __init__(self):
        super().__init__()


def test_a_base_without_source_does_not_matter():
    assert "class Keyed" in runs._own_source(Keyed()) and "class Mean" in runs._own_source(Keyed())


class Deadly(TransformerMixin, BaseEstimator):
    """A method that kills the process in which its second seed is fitted."""

    def __init__(self, random_state=None):
        self.random_state = random_state

    def fit(self, X, y, trial=None):
        if self.random_state == 1:
            os._exit(9)
        return self

    def transform(self, X, trial=None):
        return X[:, :3]


def test_a_killed_worker_loses_only_its_own_run(session, tmp_path):
    jobs = {"methods": {"deadly": Deadly()}, "seeds": range(5), "cache": tmp_path, "verbose": False}
    with pytest.raises(RuntimeError, match=r"^1 of 5 failed\nToy M1, deadly, seed 1:[\s\S]*TerminatedWorker"):
        experiments.run([session], **jobs)
    assert len(stored(tmp_path)[1]) == 4


def test_progress_is_shown_only_when_asked(session, threads, capsys):
    experiments.run([session], QUICK, verbose=False)
    assert capsys.readouterr().err == ""
    experiments.run([session], QUICK, verbose=True)
    assert "1/1" in capsys.readouterr().err


def test_one_session_method_and_seed_need_no_lists_and_iterators_lose_nothing(session, threads):
    one = experiments.run(session, "PCA", 3, verbose=False)
    many = experiments.run([session], ["PCA"], [3], verbose=False)
    assert scores_of(one) == scores_of(many)
    assert len(experiments.embed(session, QUICK, np.int64(3), verbose=False)) == 1
    sessions = [session, make_session(seed=3, name="Other")]
    names = ["PCA", "ridge"]
    rows = experiments.run(iter(sessions), iter(names), iter([0]), decoders=iter(["linear"]), verbose=False)
    assert scores_of(rows) == scores_of(experiments.run(sessions, names, [0], verbose=False))
    assert len(rows) == 16


def test_deterministic_methods_run_once(session, threads):
    rows = experiments.run(session, {**QUICK, **small("PCA")}, [0, 1], verbose=False)
    assert [(r["method"], r["seed"]) for r in rows[::4]] == [("NER", 0), ("NER", 1), ("PCA", 0)]


def test_unknown_names_are_refused(session):
    with pytest.raises(ValueError, match="unknown decoder 'lineal'; expected one of linear, kNN"):
        experiments.run([session], decoders="lineal")
    with pytest.raises(ValueError, match="unknown method 'NERD'"):
        experiments.run([session], "NERD")


def test_runs_come_in_order(runs):
    about = [(r.about["session"], r.about["method"]) for r in runs]
    assert about == [("S0", "NER"), ("S0", "PCA"), ("S1", "NER"), ("S1", "PCA")]
    assert all(len(r.corrected[split]) == len(r.splits[split].trial) for r in runs for split in r.splits)


def test_transfer_goes_through_chosen_pairs_of_one_method(runs, threads, tmp_path):
    arguments = {"cache": tmp_path, "verbose": False}
    rows = experiments.transfer(runs, lambda a, b: a.name != b.name, **arguments)
    assert [(r["session"], r["target"], r["method"], r["protocol"]) for r in rows] == [
        (source, target, method, protocol)
        for source, target in (("S0", "S1"), ("S1", "S0"))
        for method in ("NER", "PCA")
        for protocol in ("published", "corrected", "affine")
    ]
    assert experiments.transfer(iter(runs), lambda a, b: a.name != b.name, **arguments) == rows
    assert len(list(tmp_path.rglob("output.pkl"))) == 4
    expected = experiments.transfer_run(runs[0], [runs[2]]) + experiments.transfer_run(runs[2], [runs[0]])
    ner = [r for r in rows if r["method"] == "NER"]
    assert scores_of(ner[:3]) == scores_of(expected[:3])


def test_transfer_sends_no_rates(runs, threads, monkeypatch):
    seen = []
    real = experiments.transfer_run
    monkeypatch.setattr(experiments, "transfer_run", lambda *given: seen.append(given) or real(*given))
    experiments.transfer(runs, lambda a, b: True, verbose=False)
    assert len(seen) == 4
    assert all(run.session.rates.shape[1] == 1 for source, targets, _ in seen for run in (source, *targets))


def test_runs_of_other_settings_are_not_decoded_through_each_other(session, threads):
    made = [runs.fit_run(session, small("NER", n_components=n)["NER"], name="NER") for n in (2, 3)]
    assert [r.about["settings"] for r in made] == [
        "batch_size=32, max_iter=10, n_components=2",
        "batch_size=32, max_iter=10",
    ]
    rows = experiments.transfer(made, lambda a, b: True, verbose=False)
    assert [r["settings"] for r in rows[::3]] == [r.about["settings"] for r in made]


def test_dask_gives_the_same_in_the_same_order(session, threads):
    distributed = pytest.importorskip("distributed")
    sessions, seeds = [session, make_session(seed=3, name="Other")], [0, 1]
    here = experiments.run(sessions, QUICK, seeds, verbose=False)
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster):
        with parallel_config(backend="dask"):
            there = experiments.run(sessions, QUICK, seeds, verbose=False)
    for a, b in zip(scores_of(here), scores_of(there), strict=True):
        assert (a["session"], a["seed"], a["split"]) == (b["session"], b["seed"], b["split"])
        assert [a[m] for m in METRICS] == pytest.approx([b[m] for m in METRICS], abs=1e-6)
