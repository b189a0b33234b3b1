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
