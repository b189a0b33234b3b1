"""Cells: fitted and scored without a look at test trials, and carried to other sessions."""

from dataclasses import replace

import numpy as np
import pytest
from toy import make_session

from nerlib.cells import FORMS, TRANSFER_FORMS, _carried, fit_cell, records, transfer_records
from nerlib.comparison import METRICS

QUICK = {"profile": "quick", "max_iter": 10, "batch_size": 32}


def test_test_trials_touch_nothing_before_the_score(session):
    train, test = session.split()
    other = make_session(seed=7)
    rates = np.concatenate([train.rates, other.rates[: len(test.rates)]])
    spoiled = fit_cell(replace(session, rates=rates), **QUICK)
    clean = fit_cell(session, **QUICK)
    assert np.array_equal(spoiled.standard["train"], clean.standard["train"])
    assert not np.array_equal(spoiled.standard["test"], clean.standard["test"])
    spoiled, clean = ([r for r in records(c) if r["split"] == "train"] for c in (spoiled, clean))
    assert [[r[m] for m in METRICS] for r in spoiled] == [[r[m] for m in METRICS] for r in clean]


def test_recorded_session_reaches_the_published_scores(chewie):
    """Chewie 20161007, M1, profile fast, seed 42: held out 0.79 and 0.93; near the paper on training data."""
    scores = {(r["split"], r["form"]): r for r in records(fit_cell(chewie, "NER", 42, profile="fast"))}
    assert scores["test", "standard"]["velocity_r2"] >= 0.79
    assert scores["test", "standard"]["position_r2"] >= 0.93
    assert scores["train", "published"]["velocity_r2"] == pytest.approx(0.878, abs=0.03)
    assert scores["train", "published"]["position_r2"] == pytest.approx(0.979, abs=0.02)


def test_transfer_to_itself_is_the_score_within(cells):
    within = records(cells[0])
    across = transfer_records(cells[0], [cells[0]])
    for row in across:
        form = "published" if row["form"] == "published" else "standard"
        same = next(r for r in within if r["split"] == "test" and r["form"] == form)
        assert [row[m] for m in METRICS] == pytest.approx([same[m] for m in METRICS], abs=1e-9)


def test_transfer_does_not_depend_on_how_the_source_is_turned(cells):
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    forms = {form: {k: v @ turn for k, v in getattr(cells[0], form).items()} for form in FORMS}
    for decoder, tolerance in (("linear", 1e-4), ("kNN", 1e-9)):
        plain, turned = (
            transfer_records(source, [cells[2]], [decoder])
            for source in (cells[0], cells[0]._replace(**forms))
        )
        for a, b in zip(plain, turned, strict=True):
            assert [a[m] for m in METRICS] == pytest.approx([b[m] for m in METRICS], abs=tolerance)


def test_only_the_published_transfer_sees_the_tested_trials(cells):
    """With the tested bins in disorder its rotation is another; the other forms carry each bin as before."""
    target, source = cells[2], cells[0]
    order = np.random.default_rng(0).permutation(len(target.standard["test"]))
    mixed = {"train": target.standard["train"], "test": target.standard["test"][order]}
    mixed = target._replace(standard=mixed, published=mixed)
    same = {
        form: np.allclose(_carried(target, source, form)[order], _carried(mixed, source, form), atol=1e-9)
        for form in TRANSFER_FORMS
    }
    assert same == {"published": False, "standard": True, "affine": True}


def test_affine_transfer_forgives_what_a_rotation_cannot_mend(cells):
    bent = {part: z @ np.diag([1.0, 2.0, 0.3]) + [5.0, 0.0, -1.0] for part, z in cells[0].standard.items()}
    bent = cells[0]._replace(standard=bent, published=bent)
    plain, turned = (
        {r["form"]: r["velocity_r2"] for r in transfer_records(cells[0], [c])} for c in (cells[0], bent)
    )
    assert turned["affine"] == pytest.approx(plain["affine"], abs=1e-9)
    assert turned["standard"] < plain["standard"] - 0.2
