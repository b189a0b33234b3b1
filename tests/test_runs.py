"""Runs: fitted and scored without a look at test trials, and transferred to other sessions."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from toy import make_session, small

from nerlib import NER
from nerlib.runs import PROTOCOLS, TRANSFER_PROTOCOLS, _align_test_embedding, fit_run, score_run, transfer_run

METRICS = ("velocity_r2", "position_r2", "direction_accuracy")
QUICK = small("NER")["NER"]


def test_test_trials_touch_nothing_before_the_score(session):
    train, test = session.split()
    other = make_session(seed=7)
    rates = np.concatenate([train.rates, other.rates[: len(test.rates)]])
    spoiled, clean = fit_run(replace(session, rates=rates), QUICK), fit_run(session, QUICK)
    assert np.array_equal(spoiled.corrected["train"], clean.corrected["train"])
    assert not np.array_equal(spoiled.corrected["test"], clean.corrected["test"])
    spoiled, clean = ([r for r in score_run(c) if r["split"] == "train"] for c in (spoiled, clean))
    assert [[r[m] for m in METRICS] for r in spoiled] == [[r[m] for m in METRICS] for r in clean]


def test_recorded_session_reaches_the_published_scores(chewie):
    """Chewie 20161007, M1, defaults, seed 42: held out 0.79 and 0.93; near the paper on training data."""
    scores = {(r["split"], r["protocol"]): r for r in score_run(fit_run(chewie, "NER", 42))}
    assert scores["test", "corrected"]["velocity_r2"] >= 0.79
    assert scores["test", "corrected"]["position_r2"] >= 0.93
    assert scores["train", "published"]["velocity_r2"] == pytest.approx(0.878, abs=0.03)
    assert scores["train", "published"]["position_r2"] == pytest.approx(0.979, abs=0.02)


def test_training_data_under_another_name_are_training_data(session):
    """What is held out is said by the caller: the name of a session does not matter."""
    first, second = (score_run(fit_run(replace(session, name=name), QUICK)) for name in ("one", "two"))
    assert [[r[m] for m in METRICS] for r in first] == [[r[m] for m in METRICS] for r in second]
    train = {r["protocol"]: r["velocity_r2"] for r in first if r["split"] == "train"}
    assert train["published"] == train["corrected"]


def test_periods_are_those_of_the_session_unless_given(session):
    by_session = fit_run(session, QUICK)
    explicit = fit_run(session, small("NER", periods=(None, None, 360.0))["NER"])
    linear = fit_run(session, small("NER", periods=(None, None, None))["NER"])
    assert np.array_equal(by_session.corrected["test"], explicit.corrected["test"])
    assert not np.array_equal(by_session.corrected["test"], linear.corrected["test"])


def test_about_says_what_was_run(session):
    run = fit_run(session, NER(max_iter=10, batch_size=32), seed=3, name="mine")
    assert run.about | {"settings": ""} == {
        "session": "Toy", "area": "M1", "monkey": "Toy", "date": "20200101", "simulated": False,
        "method": "mine", "seed": 3, "settings": "",
    }  # fmt: skip
    assert run.about["settings"] == "batch_size=32, max_iter=10"
    assert fit_run(session, "PCA").about["settings"] == ""


class Mean(TransformerMixin, BaseEstimator):
    """A method from outside of nerlib."""

    def fit(self, X, y, trial=None):
        return self

    def transform(self, X, trial=None):
        return X.mean(axis=1, keepdims=True)


def test_a_method_from_outside_runs_too(session):
    rows = score_run(fit_run(session, Mean()))
    assert {r["method"] for r in rows} == {"Mean"} and np.isfinite([r["velocity_r2"] for r in rows]).all()


@pytest.mark.parametrize("k", [1, 3])
def test_sessions_without_directions_have_no_direction_scores(session, k):
    velocity = np.column_stack([session.velocity, session.velocity[:, :1]])[:, :k]
    free = replace(session, velocity=velocity, direction=None)
    rows = score_run(fit_run(free, QUICK), ["linear", "kNN"])
    assert len(rows) == 8 and all(np.isfinite([r["velocity_r2"], r["position_r2"]]).all() for r in rows)
    assert not any("direction" in key for row in rows for key in row)


def test_transfer_to_itself_is_the_score_within(runs):
    """In double precision, which a rotation would bring anyway."""
    double = {p: {k: z.astype(float) for k, z in getattr(runs[0], p).items()} for p in PROTOCOLS}
    run = replace(runs[0], **double)
    within = score_run(run)
    for row in transfer_run(run, [run]):
        protocol = "published" if row["protocol"] == "published" else "corrected"
        same = next(r for r in within if r["split"] == "test" and r["protocol"] == protocol)
        assert [row[m] for m in METRICS] == pytest.approx([same[m] for m in METRICS], abs=1e-9)


def test_transfer_does_not_depend_on_the_rotation_of_the_source(runs):
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    turned = {p: {k: v @ turn for k, v in getattr(runs[0], p).items()} for p in PROTOCOLS}
    for decoder, tolerance in (("linear", 1e-4), ("kNN", 1e-9)):
        plain, rotated = (
            transfer_run(source, [runs[2]], [decoder]) for source in (runs[0], replace(runs[0], **turned))
        )
        for a, b in zip(plain, rotated, strict=True):
            assert [a[m] for m in METRICS] == pytest.approx([b[m] for m in METRICS], abs=tolerance)


def test_only_the_published_transfer_sees_the_tested_trials(runs):
    """With the tested bins in disorder its rotation changes; the other protocols map each bin as before."""
    target, source = runs[2], runs[0]
    order = np.random.default_rng(0).permutation(len(target.corrected["test"]))
    mixed = {"train": target.corrected["train"], "test": target.corrected["test"][order]}
    mixed = replace(target, corrected=mixed, published=mixed)
    same = {
        protocol: np.allclose(
            _align_test_embedding(target, source, protocol)[order],
            _align_test_embedding(mixed, source, protocol),
            atol=1e-9,
        )
        for protocol in TRANSFER_PROTOCOLS
    }
    assert same == {"published": False, "corrected": True, "affine": True}


def test_affine_transfer_compensates_what_a_rotation_cannot(runs):
    bent = {k: z @ np.diag([1.0, 2.0, 0.3]) + [5.0, 0.0, -1.0] for k, z in runs[0].corrected.items()}
    bent = replace(runs[0], corrected=bent, published=bent)
    plain, other = (
        {r["protocol"]: r["velocity_r2"] for r in transfer_run(runs[0], [run])} for run in (runs[0], bent)
    )
    assert other["affine"] == pytest.approx(plain["affine"], abs=1e-9)
    assert other["corrected"] < plain["corrected"] - 0.2
