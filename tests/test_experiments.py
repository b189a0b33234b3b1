"""Cells: same results on any executor, cached by content, told when they fail, written whole."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from pkgutil import resolve_name
from typing import NamedTuple

import numpy as np
import pytest
from toy import make_session

from nerlib import _kept, experiments
from nerlib.cells import _fit
from nerlib.comparison import METRICS

QUICK = {"profile": "quick", "max_iter": 10, "batch_size": 32}


def scores_of(records):
    return [{k: v for k, v in r.items() if k != "seconds"} for r in records]


@pytest.fixture
def threads():
    with ThreadPoolExecutor(2) as executor:
        yield executor


def test_records_are_tidy_and_in_order(threads):
    sessions = [make_session(seed=s, name=f"S{s}") for s in (1, 0)]
    records = experiments.run(sessions, seeds=[3, 1], executor=threads, verbose=False, **QUICK)
    cells = [(r["session"], r["seed"]) for r in records[::4]]
    assert cells == [("S1", 3), ("S1", 1), ("S0", 3), ("S0", 1)]
    assert [(r["split"], r["form"]) for r in records[:4]] == [
        ("train", "published"), ("train", "standard"), ("test", "published"), ("test", "standard"),
    ]  # fmt: skip
    assert all(np.isfinite([r[m] for m in METRICS]).all() for r in records)


def test_pool_of_processes_gives_the_same(session, threads):
    here = experiments.run([session], seeds=[0, 1], executor=threads, verbose=False, **QUICK)
    there = experiments.run([session], seeds=[0, 1], verbose=False, **QUICK)
    for a, b in zip(scores_of(here), scores_of(there), strict=True):
        assert a.keys() == b.keys()
        assert [a[m] for m in METRICS] == pytest.approx([b[m] for m in METRICS], abs=1e-6)


def test_finished_cells_are_read_and_damaged_ones_done_again(session, threads, tmp_path, monkeypatch):
    arguments = {"executor": threads, "cache": tmp_path, "verbose": False, **QUICK}
    first = experiments.run([session], seeds=[0, 1], **arguments)
    scores, embeddings = (sorted(tmp_path.glob(f"*.{kind}")) for kind in ("json", "npz"))
    assert len(scores) == len(embeddings) == 2
    scored, fitted = [], []
    for place, calls in (("nerlib.experiments.records", scored), ("nerlib.cells._fit", fitted)):
        real = resolve_name(place)
        monkeypatch.setattr(place, lambda *a, _r=real, _c=calls: _c.append(a) or _r(*a))
    assert experiments.run([session], seeds=[0, 1], **arguments) == first and not scored + fitted
    scores[0].write_text(scores[0].read_text()[:50])
    again = experiments.run([session], seeds=[0, 1], **arguments)
    assert (len(scored), len(fitted)) == (1, 0) and again == first
    for path in (*scores, embeddings[0]):
        path.write_bytes(path.read_bytes()[:200])
    again = experiments.run([session], seeds=[0, 1], **arguments)
    assert (len(scored), len(fitted)) == (3, 1) and scores_of(again) == scores_of(first)
    experiments.run([session], seeds=[0], **{**arguments, "max_iter": 11})
    experiments.run([make_session(seed=5)], seeds=[0], **arguments)
    assert len(fitted) == 3
    experiments.run([session], seeds=[0], **{**arguments, "decoders": ["kNN"]})
    assert len(fitted) == 3


def test_what_a_cell_rests_on_is_part_of_its_name():
    """The source of the method and of all it imports from the library, and not that of other methods."""
    source = _kept.sources("nerlib.models.ner")
    assert {"nerlib.models.ner", "nerlib.models.encoded", "nerlib._sweep", "nerlib.session"} <= source.keys()
    assert not {"nerlib.models.pivae", "nerlib.results", "nerlib.plots"} & source.keys()
    code = "def f(x):\n    '''One.'''\n    return x + 1"
    told = "def f(x):\n    '''Two.'''\n    # more\n    return (x\n    + 1)"
    assert _kept.without_comments(code) == _kept.without_comments(told)
    assert _kept.without_comments(code) != _kept.without_comments(code.replace("1", "2"))
    assert {"nerlib.metrics", "nerlib.alignment"} <= _kept.sources("nerlib.experiments").keys()


def test_a_damaged_embedding_is_done_again_by_the_executor(session, threads, tmp_path, monkeypatch):
    arguments = {"executor": threads, "cache": tmp_path, "verbose": False, **QUICK}
    (cell,) = experiments.embed([session], **arguments)
    (path,) = tmp_path.glob("*.npz")
    path.write_bytes(path.read_bytes()[:200])
    where = []

    def fit(*given):
        where.append(threading.current_thread())
        return _fit(*given)

    monkeypatch.setattr("nerlib.cells._fit", fit)
    (again,) = experiments.embed([session], **arguments)
    assert len(where) == 1 and where[0] is not threading.main_thread()
    assert np.array_equal(again.standard["test"], cell.standard["test"])


@pytest.mark.parametrize("pool", ["threads", "processes"])
def test_a_cell_that_fails_is_named_and_the_others_go_on(session, threads, tmp_path, pool):
    jobs = {"seeds": [8], "executor": threads if pool == "threads" else None, "cache": tmp_path}
    with pytest.raises(RuntimeError, match=r"1 of 2 failed\nToy M1, NER, seed 8:[\s\S]*cannot be split"):
        experiments.run([session.select([0]), session], verbose=False, **jobs, **QUICK)
    assert len(list(tmp_path.glob("*.json"))) == 1


class Deadly(NamedTuple):
    """A task of which one job kills the process that does it."""

    folder: Path

    def __call__(self, session, method, seed):
        if seed == 1:
            os._exit(9)
        (self.folder / str(seed)).touch()
        return seed

    def read(self, *job):
        return None


def test_a_worker_that_dies_takes_only_its_own_cell_with_it(session, tmp_path):
    jobs = [(session, "NER", seed) for seed in range(5)]
    with pytest.raises(RuntimeError, match=r"^1 of 5 failed\nToy M1, NER, seed 1:[\s\S]*BrokenProcessPool"):
        experiments._spread(Deadly(tmp_path), jobs, None, verbose=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "2", "3", "4"]


def test_progress_is_shown_only_when_asked(session, threads, capsys):
    experiments.run([session], executor=threads, verbose=False, **QUICK)
    assert capsys.readouterr().err == ""
    experiments.run([session], executor=threads, verbose=True, **QUICK)
    assert "1/1" in capsys.readouterr().err


def test_one_session_method_and_seed_need_no_lists(session, threads):
    settings = {"executor": threads, "verbose": False, **QUICK}
    one = experiments.run(session, "PCA", 3, executor=threads, verbose=False, profile="quick")
    many = experiments.run([session], ["PCA"], [3], executor=threads, verbose=False, profile="quick")
    assert scores_of(one) == scores_of(many)
    assert len(experiments.embed(session, "NER", np.int64(3), **settings)) == 1


def test_unknown_names_are_refused(session):
    with pytest.raises(ValueError, match="unknown decoder 'lineal'; expected one of linear, kNN"):
        experiments.run([session], decoders="lineal", **QUICK)
    with pytest.raises(TypeError, match="max_itr"):
        experiments.fit_cell(session, max_itr=3)


def test_cells_come_in_order(cells):
    about = [(c.about["session"], c.about["method"]) for c in cells]
    assert about == [("S0", "NER"), ("S0", "PCA"), ("S1", "NER"), ("S1", "PCA")]
    assert all(len(c.standard[part]) == len(c.halves[part].trial) for c in cells for part in c.halves)


def test_transfer_goes_through_chosen_pairs_of_one_method(cells, threads, tmp_path):
    arguments = {"executor": threads, "cache": tmp_path, "verbose": False}
    apart = experiments.transfer(cells, lambda a, b: a.name != b.name, **arguments)
    assert [(r["session"], r["target"], r["method"], r["form"]) for r in apart] == [
        (source, target, method, form)
        for source, target in (("S0", "S1"), ("S1", "S0"))
        for method in ("NER", "PCA")
        for form in ("published", "standard", "affine")
    ]
    assert experiments.transfer(cells, lambda a, b: a.name != b.name, **arguments) == apart
    assert len(list(tmp_path.iterdir())) == 4


def test_cells_of_other_settings_are_not_decoded_through_each_other(session, threads):
    cells = [experiments.fit_cell(session, **QUICK, n_components=n) for n in (2, 3)]
    assert [c.about["settings"] for c in cells] == [
        f"batch_size=32, max_iter=10, n_components={n}" for n in (2, 3)
    ]
    records = experiments.transfer(cells, lambda a, b: True, executor=threads, verbose=False)
    assert [r["settings"][-1] for r in records[::3]] == ["2", "3"]


def test_dask_gives_the_same_in_the_same_order(session, threads):
    distributed = pytest.importorskip("distributed")
    sessions, seeds = [session, make_session(seed=3, name="Other")], [0, 1]
    here = experiments.run(sessions, seeds=seeds, executor=threads, verbose=False, **QUICK)
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        there = experiments.run(sessions, seeds=seeds, executor=client.get_executor(), verbose=False, **QUICK)
    for a, b in zip(scores_of(here), scores_of(there), strict=True):
        assert (a["session"], a["seed"], a["split"]) == (b["session"], b["seed"], b["split"])
        assert [a[m] for m in METRICS] == pytest.approx([b[m] for m in METRICS], abs=1e-6)
