"""Comparison: the paper's values beside ours, and verdicts with their reasons."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from toy import make_session

from nerlib import comparison, experiments

QUICK = {"profile": "quick", "max_iter": 10, "batch_size": 32}
PUBLISHED = Path(__file__).parents[1] / "book" / "reference" / "published_within_session.csv"
CROSS = PUBLISHED.with_name("published_cross_session.csv")
CURVED = PUBLISHED.with_name("published_curved_reaches.csv")


def test_paper_values_stand_beside_the_published_form_only():
    session = make_session(name="Chewie_20161007", monkey="Chewie", date="20161007")
    records = experiments.records(experiments.fit_cell(session, **QUICK))
    table = comparison.compare(records, PUBLISHED).set_index(["split", "form", "metric"])["paper"]
    assert table["train", "published", "velocity_r2"] == 0.8782
    assert table["train", "published", "position_r2"] == 0.9788
    assert table["test", "published", "direction_accuracy"] == 0.8824
    assert table.xs("standard", level="form").isna().all()
    unknown = comparison.compare([{**r, "session": "X", "monkey": "X"} for r in records], PUBLISHED)
    assert unknown["paper"].isna().all() and len(unknown) == 12


def test_published_averages_are_the_papers():
    """86 % and 97 % are the averages of sixteen Chewie rows (section 4.1)."""
    table = pd.read_csv(PUBLISHED).query("monkey == 'Chewie' and method == 'NER' and split == 'train'")
    assert len(table) == 16
    assert table["velocity_r2"].mean() == pytest.approx(0.86, abs=0.006)
    assert table["position_r2"].mean() == pytest.approx(0.97, abs=0.006)


@pytest.mark.parametrize(
    ("arguments", "verdict"),
    [
        ({"paper": 0.52, "tolerance": 0.03}, "reproduced"),
        ({"paper": 0.58, "tolerance": 0.03}, "lower by 0.080"),
        ({"paper": 0.40, "tolerance": 0.03}, "higher by 0.100"),
        ({"paper": float("nan"), "tolerance": 0.03}, "no published value"),
        ({"at_least": 0.5}, "holds (≥ 0.5)"),
        ({"at_least": 0.6}, "does not hold (< 0.6)"),
    ],
)
def test_verdicts(session, arguments, verdict):
    row = comparison.claim("c", [session, session], "m", [0.4, 0.6], **arguments, reason="why", seconds=1)
    assert (row["verdict"], row["sessions"], row["ours"]) == (verdict, "2 M1", 0.5)
    assert row["reason"] == ("0.020 apart" if verdict == "reproduced" else "why")
    assert row["sd"] == pytest.approx(0.1414, abs=1e-4)


def transferred(**changes):
    pair = {"session": "Chewie_20160929", "area": "M1", "monkey": "Chewie", "date": "20160929"}
    target = {"target": "Chewie_20161007", "target_area": "PMd", "target_monkey": "Chewie"}
    about = {"target_date": "20161007", "method": "NER", "decoder": "linear", "simulated": False, "seed": 0}
    record = pair | target | about | dict.fromkeys(comparison.METRICS, 0.5) | changes
    return [record | {"form": form} for form in ("published", "standard")]


def test_paper_values_across_sessions():
    table = comparison.compare_transfer(transferred(), CROSS).set_index(["form", "metric"])
    assert table.loc[("published", "velocity_r2"), "paper"] == 0.7253
    assert table.loc[("published", "position_r2"), "paper"] == 0.9346
    assert table.xs("standard")["paper"].isna().all()
    assert table["recording"].iloc[0] == "Chewie_20160929 M1 → Chewie_20161007 PMd"
    wide = comparison.compare_transfer(transferred(method="CEBRA-16", decoder="kNN"), CROSS)
    assert wide.query("form == 'published'")["paper"].notna().all()
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
    record |= {"form": "published", "decoder": "linear", "simulated": False} | dict.fromkeys(
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


def test_no_paper_value_stands_beside_a_simulated_claim():
    simulated = make_session(simulated=True)
    row = comparison.claim("c", [simulated], "m", [0.5], paper=0.7, tolerance=0.03, reason="why")
    assert (row["paper"], row["tolerance"], row["verdict"], row["reason"]) == (None, None, "simulated", "")


def scored(method, values, seconds=1.0):
    """Rows as `compare` makes them: two recordings, one a seed; a fit takes ``seconds``."""
    about = {"area": "M1", "method": method, "metric": "velocity_r2", "paper": 0.5, "seconds": seconds}
    rows = [about | {"seed": seed, "ours": value} for seed, value in enumerate(values)]
    return [row | {"session": name, "recording": name} for name in "ab" for row in rows]


def test_claims_of_means_have_spread_time_and_the_published_settings_as_reason(session):
    scores = pd.DataFrame(scored("NER", [0.60, 0.62]) * 2)
    kept = pd.DataFrame(scored("NER", [0.51]))
    [row] = comparison.claim_scores("c", [session], scores, tolerance=0.03, kept=kept)
    assert (row["metric"], row["verdict"]) == ("R² of velocity", "higher by 0.110")
    assert row["reason"] == "0.510 at the published settings"
    assert (row["seconds"], row["sd"]) == (4, pytest.approx(0.02 / np.sqrt(2)))
    [row] = comparison.claim_scores("c", [session], scores, tolerance=0.2)
    assert (row["verdict"], row["reason"]) == ("reproduced", "0.110 apart")
    [row] = comparison.claim_scores("c", [session], scores, tolerance=0.03, kept=kept.iloc[:0])
    assert row["reason"] == ""
    unknown = scores.assign(paper=np.nan, form="standard")
    [row] = comparison.claim_scores("c", [session], unknown, tolerance=0.03, kept=kept)
    assert (row["verdict"], row["reason"]) == (
        "no published value",
        "the paper has none in this form",
    )


def test_only_recordings_that_the_paper_has_values_for_stand_beside_its_mean(session):
    rows = scored("NER", [0.8]) + scored("bottleneck", [0.7])
    for row in rows:
        if row["session"] == "b":
            row |= {"ours": 0.2, "paper": np.nan}
        if row["method"] == "bottleneck":
            row["paper"] = np.nan
    scores = pd.DataFrame(rows)
    [row] = comparison.claim_scores("c", [session], scores.query("method == 'NER'"), tolerance=0.03)
    assert (row["ours"], row["paper"]) == (0.8, 0.5)
    table = comparison.summary(scores)["velocity_r2"]
    assert table["ours"].to_dict() == {"NER": "0.800", "bottleneck": "0.700"}
    unknown = comparison.summary(scores.assign(paper=np.nan))["velocity_r2"]
    assert unknown["ours"].to_dict() == {"NER": "0.500", "bottleneck": "0.450"}


def test_claims_of_leads_name_the_best_of_methods_and_of_controls(session):
    scores = scored("NER", [0.60, 0.70]) + scored("CEBRA", [0.50, 0.40]) + scored("PCA", [0.2])
    scores = pd.DataFrame(scores + scored("ridge", [0.68], seconds=3.0))
    methods, controls = comparison.claim_leads("here", [session], scores)
    assert methods["claim"] == "here: NER is ahead of the best of CEBRA; PCA"
    assert (methods["verdict"], methods["reason"]) == ("holds (≥ 0)", "the best is CEBRA, 0.450")
    assert methods["ours"] == pytest.approx(comparison.lead(scores)["velocity_r2"][["CEBRA", "PCA"]].min())
    assert (methods["sd"], methods["seconds"]) == (pytest.approx(0.2 / np.sqrt(2)), 10)
    assert controls["claim"] == "here: NER is ahead of ridge"
    assert (controls["verdict"], controls["reason"]) == ("does not hold (< 0)", "the best is ridge, 0.680")
    assert controls["seconds"] == 4 + 6 and controls["sd"] == pytest.approx(0.1 / np.sqrt(2))
    assert len(comparison.claim_leads("here", [session], scores.query("method != 'ridge'"))) == 1
