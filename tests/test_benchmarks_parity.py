"""Our fits beside the authors': agreement on embeddings whose relation is known."""

from dataclasses import fields, replace

import numpy as np
import parity_authors
import pytest
from toy import make_session, small

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
    return [parity_authors.fit(session, model, "NER", seed, None) for seed in (1, 2)]


def test_a_rotated_copy_agrees_fully(ours):
    turned = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    copy = {split: z @ turned for split, z in ours[0][0].corrected.items()}
    first, second = parity_authors.compare(as_authors(ours[0][0], copy), ours)
    assert first["consistency"] == pytest.approx(1) and first["rotated_r2"] == pytest.approx(1)
    assert first["ours"]["test"] == pytest.approx(first["theirs"]["test"])
    assert second["consistency"] == pytest.approx(first["consistency_seeds"])  # the copy is of the other seed
    assert second["rotated_r2"] == pytest.approx(parity_authors._rotated_r2(ours[1][0], ours[0][0]))
    assert second["consistency"] < 1 and (first["seed"], second["seed"]) == (1, 2)
    assert len(first["loss_ours"]) == parity_authors.N_BLOCKS and set(first["loss_theirs"]) == {1.0}
    assert first["loss_ours"][-1] == pytest.approx(ours[0][1][-2:].mean())


def test_other_movements_are_refused(ours):
    run, _ = ours[0]
    other = replace(run, session=replace(run.session, velocity=run.session.velocity + 1))
    with pytest.raises(ValueError, match="Toy: the authors' file has other movements"):
        parity_authors.compare(as_authors(other, run.corrected), ours)


def test_a_time_step_across_trials_costs_cebra_the_positives_that_it_leads_astray():
    direction = np.repeat([0.0, 180.0] * 5, 2)  # trials of two bins; the first eight train
    still = np.zeros((20, 2))
    session = Session(still, still, direction, np.repeat(np.arange(10), 2))
    units = np.column_stack([np.cos(np.deg2rad(direction)), np.zeros(20)])
    split = {"train": units[:16], "test": units[16:]}
    run = AuthorsRun({}, session, split, split, 0.0, 8)
    found = parity_authors.cebra_losses(run)
    # 7 of 15 steps turn by 180 degrees one way or the other; for half of the references this is the opposite
    # direction, whose similarity is -1 and not 1.
    assert found["across trials"] - found["within trials"] == pytest.approx(7 / 15 * (1 / 2) * 2, abs=0.01)
