"""Every kind of job gives finite scores, and fits what it says it fits."""

from itertools import pairwise

import control_jobs
import numpy as np
import pytest
import torch
from control_jobs import CONTROLS, KINDS, LABELS, SPECIAL, UNTRAINED, Job
from toy import make_session

from nerlib.losses import label_distances

FEW = {"max_iter": 4, "batch_size": 16}


@pytest.fixture(autouse=True)
def sessions(monkeypatch):
    """Two small days in place of the recordings."""
    made = {f"S{i}": make_session(n_trials=80, n_bins=40, seed=i, name=f"S{i}") for i in (0, 1)}
    monkeypatch.setattr(control_jobs, "opened", lambda name, *_: made[name])
    return made


def rows_of(kind, method, recordings=(("S0", "M1"),), table="t", **options):
    return list(KINDS[kind](Job(kind, table, "", method, recordings, 0), **options))


@pytest.mark.parametrize("method", ["NER", "NER, 10 bins", "ridge, 10 bins", "PCA", *SPECIAL])
def test_within(method):
    kind, _, rest = method.partition(", ")
    options = FEW if kind in ("NER", "MSE bottleneck") else {}
    options = {"max_epochs": 2} if method == "GRU" else options
    (row,) = rows_of("within", method, **options)
    assert all(np.isfinite(value) for name, value in row.items() if name != "direction_over_time")


@pytest.mark.parametrize("labels", LABELS)
def test_labels(labels):
    (row,) = rows_of("within", "CEBRA" if "cosine" in labels else "NER", labels=labels, **FEW)
    assert np.isfinite(row["velocity_r2"])
    of, periods = LABELS[labels]
    assert of(make_session()).shape[1] == len(periods)


@pytest.mark.parametrize("control", [None, *CONTROLS, "encoder untrained", "encoder on permuted movements"])
def test_controls(control):
    rows = rows_of("within", "NER", table="controls", control=control, **FEW)
    assert len(rows) == 1 + (control in (None, "movements permuted"))


def test_an_untrained_encoder_is_that_of_the_seed():
    session = make_session()
    model, _ = control_jobs.embed("NER", 3, session, session, **UNTRAINED)
    other, _ = control_jobs.embed("NER", 3, session.permute_movements(0), session, **UNTRAINED)
    pairs = zip(model.encoder_.parameters(), other.encoder_.parameters(), strict=True)
    assert all(torch.allclose(a, b, atol=1e-8) for a, b in pairs)


def test_few_trials_are_drawn_from_training(monkeypatch):
    seen = []
    real = control_jobs.embed
    monkeypatch.setattr(
        control_jobs, "embed", lambda n, s, t, *p, **k: seen.append(t) or real(n, s, t, *p, **k)
    )
    rows_of("within", "ridge", trials=16)
    assert seen[0].n_trials == 16 and seen[0].trial.max() < 64


@pytest.mark.parametrize(("kind", "values"), [("folds", [0, 1, 2, 3, 4]), ("drift", [0, 1, 2])])
def test_folds_and_drift(kind, values):
    rows = rows_of(kind, "ridge")
    assert [row["value"] for row in rows] == values
    assert all(row["velocity_r2"] > 0.9 for row in rows)


def test_directions():
    (row,) = rows_of("direction", "ridge")
    assert row["velocity_r2"] > 0.9 and row["angle_error"] < 20


def test_days():
    rows = rows_of("days", "MSE bottleneck", (("S0", "M1"), ("S1", "M1")), max_iter=150)
    found = {(row["value"], row.get("alignment")): row for row in rows}
    assert {"two days", "halves of a day, two fits", "halves of a day, one fit"} <= {v for v, _ in found}
    assert {a for _, a in found if a} == {"rotation", "affine", "CCA"}
    real, null = (found[v, "rotation"]["velocity_r2"] for v in ("true movements", "source permuted"))
    assert real > 0.8 > 0.2 > null
    assert ("source permuted", "affine") not in found


def test_own_labels_are_those_of_the_bins():
    session = make_session()
    model = control_jobs.build("NER, own labels", 0, **FEW)
    rng = np.random.default_rng(0)
    batches, _, _ = model._objective(session.labels, session.trial, rng, torch.device("cpu"))
    bins, labels = next(batches)
    expected = label_distances(torch.as_tensor(session.labels[bins]), session.periods)
    assert len(bins) == 32
    assert np.allclose(labels.distances().numpy(), expected, atol=1e-3)


def test_repeats_compare_the_seeds_of_one_recording():
    """A method without chance repeats itself: another fit's decoder is as good as its own."""
    found = {row["value"]: row["velocity_r2"] for row in rows_of("repeats", "PCA", count=3)}
    assert set(found) == {"own decoder", "rotation", "affine map", "rotation, worst pair"}
    assert np.ptp(list(found.values())) < 1e-6
    found = {row["value"]: row["velocity_r2"] for row in rows_of("repeats", "NER", count=2, **FEW)}
    assert found["rotation, worst pair"] <= found["rotation"] < found["own decoder"]


def test_a_direction_that_is_left_out_is_not_in_training():
    session, seen = make_session(n_trials=80, noise=0), []

    def embed(train, test):
        seen.append((set(train.direction), set(test.direction)))
        return train.velocity, test.velocity

    found = control_jobs.leave_direction_out(session, embed)
    assert found == {"velocity_r2": pytest.approx(1), "position_r2": pytest.approx(1),
                     "angle_error": pytest.approx(0, abs=1e-5)}  # fmt: skip
    everything = set(session.direction)
    assert all(len(own) == 1 and train == everything - own for train, own in seen) and len(seen) == 8
    opposite = control_jobs.leave_direction_out(session, lambda train, test: (train.velocity, -test.velocity))
    assert opposite["angle_error"] == pytest.approx(180)


def test_halves_share_every_direction_and_no_trial():
    first, second = control_jobs.halves(make_session(n_trials=40))
    assert not set(first.trial) & set(second.trial) and first.n_trials + second.n_trials == 40
    for half in (first, second):
        counts = np.unique(half.direction[half.trial_starts], return_counts=True)[1]
        assert len(counts) == 8 and np.ptp(counts) <= 1
        assert all(b > a for a, b in pairwise(half.trial[half.trial_starts]))


def test_agreement_is_blind_to_rotations_and_cca_to_linear_maps():
    session = make_session(n_trials=40)
    rng = np.random.default_rng(0)
    z = np.column_stack([session.velocity, session.rates[:, :1]])
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    assert control_jobs.agreement((z, session), (z @ turn, session)) == pytest.approx(1)
    sheared = z @ rng.normal(size=(3, 3)) + 5
    assert control_jobs.agreement((z, session), (sheared, session)) < 0.99
    there, here = control_jobs.align_cca(z, sheared, session, session)
    assert np.allclose(there(z), here(sheared), atol=1e-6)
