"""Comparison: the paper's values next to ours."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from toy import make_session

from companion import comparison
from nerlib import experiments, make_method

PUBLISHED = Path(__file__).parents[2] / "book" / "reference" / "published_within_session.csv"
CROSS = PUBLISHED.with_name("published_cross_session.csv")
CURVED = PUBLISHED.with_name("published_curved_reaches.csv")


def test_what_was_searched_and_chosen_is_told():
    """A method without validation scores, or without a test score, has no row."""
    settings = ["a=1, weights=(1, 1, 0.5)", "a=2, weights=(1, 1, 0.5)", "a=2, weights=(1, 1, 1), b=x"]
    rows = [{"method": "one", "split": "validation", "settings": s} for s in settings for _ in range(2)]
    chosen = "estimator=NER(a=2,\n   periods=(None, None, 360.0), weights=(1, 1, 1))"
    rows += [{"method": "one", "split": "test", "settings": chosen, "smooth_sd": 0.11}]
    rows += [{"method": "two", "split": split, "settings": ""} for split in ("validation", "test")]
    rows += [{"method": "members", "split": "validation", "settings": "members=5"}]
    rows += [{"method": "one, NER's label weights", "split": "test", "settings": chosen}]
    told = comparison.searched(pd.DataFrame(rows))
    assert list(told.index) == ["one", "two"]
    assert told.loc["one"].tolist() == [3, "a, weights, b", "NER(a=2, weights=(1, 1, 1))", "110", "yes"]
    assert told.loc["two"].tolist() == [1, "—", "the settings of fast", "as published", "no"]


def test_paper_values_are_in_the_published_protocol_only():
    session = make_session(name="Chewie_20161007", monkey="Chewie", date="20161007")
    method = make_method("NER", max_iter=10, batch_size=32)
    records = experiments.score_run(experiments.fit_run(session, method, name="NER"))
    table = comparison.compare(records, PUBLISHED).set_index(["split", "protocol", "metric"])["paper"]
    assert table["train", "published", "velocity_r2"] == 0.8782
    assert table["train", "published", "position_r2"] == 0.9788
    assert table["test", "published", "direction_accuracy"] == 0.8824
    assert table.xs("corrected", level="protocol").isna().all()
    unknown = comparison.compare([{**r, "session": "X", "monkey": "X"} for r in records], PUBLISHED)
    assert unknown["paper"].isna().all() and len(unknown) == 12


def test_published_averages_are_the_papers():
    """86 % and 97 % are the averages of sixteen Chewie rows (section 4.1)."""
    table = pd.read_csv(PUBLISHED).query("monkey == 'Chewie' and method == 'NER' and split == 'train'")
    assert len(table) == 16
    assert table["velocity_r2"].mean() == pytest.approx(0.86, abs=0.006)
    assert table["position_r2"].mean() == pytest.approx(0.97, abs=0.006)


def transferred(**changes):
    pair = {"session": "Chewie_20160929", "area": "M1", "monkey": "Chewie", "date": "20160929"}
    target = {"target": "Chewie_20161007", "target_area": "PMd", "target_monkey": "Chewie"}
    about = {"target_date": "20161007", "method": "NER", "decoder": "linear", "simulated": False, "seed": 0}
    record = pair | target | about | dict.fromkeys(comparison.METRICS, 0.5) | changes
    return [record | {"protocol": protocol} for protocol in ("published", "corrected")]


def test_paper_values_across_sessions():
    table = comparison.compare_transfer(transferred(), CROSS).set_index(["protocol", "metric"])
    assert table.loc[("published", "velocity_r2"), "paper"] == 0.7253
    assert table.loc[("published", "position_r2"), "paper"] == 0.9346
    assert table.xs("corrected")["paper"].isna().all()
    assert table["recording"].iloc[0] == "Chewie_20160929 M1 → Chewie_20161007 PMd"
    wide = comparison.compare_transfer(transferred(method="CEBRA-16", decoder="kNN"), CROSS)
    assert wide.query("protocol == 'published'")["paper"].notna().all()
    assert (
        comparison.compare_transfer(transferred(method="CEBRA", decoder="kNN"), CROSS)["paper"].isna().all()
    )
    assert comparison.compare_transfer(transferred(target_monkey="Mihili"), CROSS)["paper"].isna().all()


def test_published_averages_across_sessions_are_the_papers():
    """64 %, 88 % (not rounded up), 90 % are the averages of the ninety pairs of Figure 5."""
    table = pd.read_csv(CROSS).query("figure == 5 and method == 'NER' and decoder == 'linear'")
    pairs = table[table["source_date"] != table["target_date"]]
    assert len(pairs) == 90
    means = pairs[["velocity_r2_swapped", "position_r2", "direction_accuracy_peak"]].mean()
    assert means.tolist() == pytest.approx([0.64, 0.88, 0.90], abs=0.01)


def test_paper_values_of_curved_reaches():
    record = {"session": "MC_Maze curve-up-down 31 38", "area": "M1+PMd", "method": "NER", "split": "train"}
    record |= {"protocol": "published", "decoder": "linear", "simulated": False} | dict.fromkeys(
        comparison.METRICS, 0.5
    )
    table = comparison.compare_curved([record, record | {"method": "CEBRA-velocity"}], CURVED)
    values = table.set_index(["method", "metric"])["paper"]
    assert values["NER", "velocity_r2"] == 0.8666 and values["CEBRA-velocity", "position_r2"] == 0.9346
    assert np.isnan(values["NER", "direction_accuracy"])
    assert table["recording"].iloc[0] == "curve-up-down, types 31 38"


@pytest.mark.parametrize("compare", [comparison.compare_transfer, comparison.compare_curved])
def test_no_paper_value_stands_beside_a_simulated_score(compare):
    path = CROSS if compare is comparison.compare_transfer else CURVED
    records = transferred(simulated=True, session="SimMaze curve-up-down 31 38", split="train")
    assert compare(records, path)["paper"].isna().all()


def test_scores_without_directions_are_compared_all_the_same():
    records = [{key: r[key] for key in r if key != "direction_accuracy"} for r in transferred()]
    table = comparison.compare_transfer(records, CROSS)
    assert set(table["metric"]) == {"velocity_r2", "position_r2"} and table["paper"].notna().sum() == 2
