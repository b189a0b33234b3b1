"""The kept fits beside the authors': what chapter 10 says of them."""

import pytest

from companion import parity


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
