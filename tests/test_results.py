"""Results: the paper's values beside ours, verdicts, provenance, and files written whole."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from toy import make_session

from nerlib import experiments, results

QUICK = {"profile": "quick", "max_iter": 10, "batch_size": 32}
PUBLISHED = Path(__file__).parents[1] / "book" / "reference" / "published_within_session.csv"


def test_paper_values_stand_beside_the_published_form_only():
    session = make_session(name="Chewie_20161007", monkey="Chewie", date="20161007")
    records = experiments.records(experiments.fit_cell(session, **QUICK))
    table = results.compare(records, PUBLISHED).set_index(["split", "form", "metric"])["paper"]
    assert table["train", "published", "velocity_r2"] == 0.8782
    assert table["train", "published", "position_r2"] == 0.9788
    assert table["test", "published", "direction_accuracy"] == 0.8824
    assert table.xs("standard", level="form").isna().all()
    unknown = results.compare([{**r, "session": "X", "monkey": "X"} for r in records], PUBLISHED)
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
    row = results.claim("c", [session, session], "m", [0.4, 0.6], **arguments)
    assert (row["verdict"], row["sessions"], row["ours"]) == (verdict, "2 M1", 0.5)
    assert row["sd"] == pytest.approx(0.1414, abs=1e-4)


def test_simulated_results_stand_beside_no_paper_value():
    simulated = make_session(simulated=True)
    row = results.claim("c", [simulated], "m", [0.5], paper=0.5, tolerance=0.03)
    assert (row["paper"], row["tolerance"], row["verdict"]) == (None, None, "simulated")
    told = results.describe([simulated], profile="quick")
    assert told.startswith("**SIMULATED**") and "reproduce nothing" in told


def test_absent_sessions_are_told(session):
    absent = [("A", "M1", "no network"), ("A", "PMd", "no network"), ("B", "S1", "too short")]
    told = results.describe([session], absent, profile="fast")
    assert "**Absent, and not replaced:** A M1, A PMd (no network); B S1 (too short)." in told


def test_results_say_where_they_come_from(session, tmp_path):
    path = tmp_path / "results" / "09_test.json"
    results.write_results(
        path, sessions=[session], profile="fast", seeds=np.array([1, 2]), records=[{"a": np.float32(0.5)}]
    )
    read = json.loads(path.read_text())
    assert read["chapter"] == "09_test" and read["records"] == [{"a": 0.5}]
    origin = read["provenance"]
    assert (origin["data"], origin["profile"], origin["seeds"]) == ("recorded", "fast", [1, 2])
    assert origin["sessions"] == {"Toy/M1": session.digest}
    assert {"nerlib", "python", "torch", "numpy"} <= origin["versions"].keys()


def test_simulated_and_recorded_are_never_mixed(session, tmp_path):
    with pytest.raises(ValueError, match="never from both"):
        results.write_results(
            tmp_path / "x.json", sessions=[session, make_session(simulated=True)], profile="fast", seeds=[1]
        )
    assert not list(tmp_path.iterdir())


def test_nothing_half_written(tmp_path):
    results.write_json(tmp_path / "x.json", {"old": 1})
    with pytest.raises(TypeError, match="cannot be written as JSON"):
        results.write_json(tmp_path / "x.json", {"new": object()})
    assert json.loads((tmp_path / "x.json").read_text()) == {"old": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


CROSS = PUBLISHED.with_name("published_cross_session.csv")
CURVED = PUBLISHED.with_name("published_curved_reaches.csv")


def transferred(**changes):
    pair = {"session": "Chewie_20160929", "area": "M1", "monkey": "Chewie", "date": "20160929"}
    target = {"target": "Chewie_20161007", "target_area": "PMd", "target_monkey": "Chewie"}
    about = {"target_date": "20161007", "method": "NER", "decoder": "linear", "simulated": False, "seed": 0}
    record = pair | target | about | dict.fromkeys(results.METRICS, 0.5) | changes
    return [record | {"form": form} for form in ("published", "standard")]


def test_paper_values_across_sessions():
    table = results.compare_transfer(transferred(), CROSS).set_index(["form", "metric"])
    assert table.loc[("published", "velocity_r2"), "paper"] == 0.7253
    assert table.loc[("published", "position_r2"), "paper"] == 0.9346
    assert table.xs("standard")["paper"].isna().all()
    assert table["recording"].iloc[0] == "Chewie_20160929 M1 → Chewie_20161007 PMd"
    wide = results.compare_transfer(transferred(method="CEBRA-16", decoder="kNN"), CROSS)
    assert wide.query("form == 'published'")["paper"].notna().all()
    assert results.compare_transfer(transferred(method="CEBRA", decoder="kNN"), CROSS)["paper"].isna().all()
    assert results.compare_transfer(transferred(target_monkey="Mihili"), CROSS)["paper"].isna().all()


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
        results.METRICS, 0.5
    )
    table = results.compare_curved([record, record | {"method": "CEBRA-velocity"}], CURVED)
    values = table.set_index(["method", "metric"])["paper"]
    assert values["NER", "velocity_r2"] == 0.8666 and values["CEBRA-velocity", "position_r2"] == 0.9346
    assert np.isnan(values["NER", "direction_accuracy"])
    assert table["recording"].iloc[0] == "curve-up-down, types 31 38"


@pytest.mark.parametrize("compare", [results.compare_transfer, results.compare_curved])
def test_no_paper_value_stands_beside_a_simulated_score(compare):
    path = CROSS if compare is results.compare_transfer else CURVED
    records = transferred(simulated=True, session="SimMaze curve-up-down 31 38", split="train")
    assert compare(records, path)["paper"].isna().all()


def test_verdicts_tell_where_they_come_from(session, tmp_path):
    row = results.claim("c", [session], "m", [0.5], at_least=0)
    options = {"sessions": [session], "profile": "fast", "seeds": [3]}
    told = results.verdicts(results.write_results(tmp_path / "r.json", headline=[row], **options))
    assert told.startswith("- c, m: 0.500; **holds (≥ 0)**.")
    assert "*Recorded data, 1 recordings; profile fast; seeds 3; nerlib" in told
