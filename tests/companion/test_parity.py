"""Our fits beside the authors': agreement on embeddings whose relation is known."""

from dataclasses import fields, replace

import numpy as np
import pytest
from toy import make_session, small

from companion import parity
from companion.authors_embeddings import AuthorsRun
from nerlib import Session


def as_authors(run, embedding):
    given = {field.name: getattr(run, field.name) for field in fields(run)}
    given |= {"corrected": embedding, "published": embedding}
    return AuthorsRun(**given, n_train=run.splits["train"].n_trials, versions=None, loss_curve=np.ones(200))


@pytest.fixture(scope="module")
def ours():
    session = make_session()
    model = small("NER", max_iter=200, batch_size=64)["NER"]
    return [parity.fit(session, model, "NER", seed, None) for seed in (1, 2)]


def test_a_rotated_copy_agrees_fully(ours):
    turned = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    copy = {split: z @ turned for split, z in ours[0][0].corrected.items()}
    first, second = parity.compare(as_authors(ours[0][0], copy), ours)
    assert first["consistency"] == pytest.approx(1) and first["rotated_r2"] == pytest.approx(1)
    assert first["ours"]["test"] == pytest.approx(first["theirs"]["test"])
    assert second["consistency"] == pytest.approx(first["consistency_seeds"])  # the copy is of the other seed
    assert second["rotated_r2"] == pytest.approx(parity._rotated_r2(ours[1][0], ours[0][0]))
    assert second["consistency"] < 1 and (first["seed"], second["seed"]) == (1, 2)
    assert len(first["loss_ours"]) == parity.N_BLOCKS and set(first["loss_theirs"]) == {1.0}
    assert first["loss_ours"][-1] == pytest.approx(ours[0][1][-2:].mean())


def test_other_movements_are_refused(ours):
    run, _ = ours[0]
    other = replace(run, session=replace(run.session, velocity=run.session.velocity + 1))
    with pytest.raises(ValueError, match="Toy: the authors' file has other movements"):
        parity.compare(as_authors(other, run.corrected), ours)


def test_a_time_step_across_trials_costs_cebra_the_positives_that_it_leads_astray():
    direction = np.repeat([0.0, 180.0] * 5, 2)  # trials of two bins; the first eight train
    still = np.zeros((20, 2))
    session = Session(still, still, direction, np.repeat(np.arange(10), 2))
    units = np.column_stack([np.cos(np.deg2rad(direction)), np.zeros(20)])
    split = {"train": units[:16], "test": units[16:]}
    run = AuthorsRun({}, session, split, split, 0.0, 8)
    found = parity.cebra_losses(run)
    # 7 of 15 steps turn by 180 degrees one way or the other; for half of the references this is the opposite
    # direction, whose similarity is -1 and not 1.
    assert found["across trials"] - found["within trials"] == pytest.approx(7 / 15 * (1 / 2) * 2, abs=0.01)


def test_our_ner_is_the_authors_as_much_as_it_is_its_own():
    kept = parity.kept_records()
    ner = [record for record in kept if record["method"] == "NER"]
    assert len(ner) == 6
    for record in ner:
        assert record["consistency"] > record["consistency_seeds"] - 0.005
        assert abs(record["loss_ours"][-1] - record["loss_theirs"][-1]) < 0.003
        assert abs(record["ours"]["test"]["velocity_r2"] - record["theirs"]["test"]["velocity_r2"]) < 0.04
    for record in [record for record in kept if record["method"] == "CEBRA"]:
        by_steps, tolerance = record["loss_by_steps"], {"abs": 0.005}
        assert by_steps["across trials"] == pytest.approx(record["loss_theirs"][-1], **tolerance)
        assert by_steps["within trials"] == pytest.approx(record["loss_ours"][-1], **tolerance)
    assert len(parity.table(kept)) == len(kept)
    assert "NER, 6 fits of 3 recordings" in parity.summary(kept, "NER")


def test_the_summary_gives_ranges_over_fits():
    record = {"session": "a", "method": "NER", "consistency": 0.9, "consistency_seeds": 0.8}
    record |= {who: {"test": {"velocity_r2": 0.5, "position_r2": 0.5}} for who in ("ours", "theirs")}
    record |= {"loss_ours": [5.0], "loss_theirs": [5.5]}
    other = record | {"session": "b", "consistency": 0.95, "loss_ours": [5.75]}
    other["ours"] = {"test": {"velocity_r2": 0.25, "position_r2": 0.625}}
    assert parity.summary([record, other], "NER") == (
        "NER, 2 fits of 2 recordings: trial averages agree with the authors' with a consistency of 0.900 to "
        "0.950 (two of our own seeds: 0.800 to 0.800), held-out scores differ by 0.250 at most, and the loss "
        "at the end of training, ours minus theirs, is −0.5000 to 0.2500."
    )
