"""Results: what pages say of them, provenance, and files written whole."""

import json
import re

import numpy as np
import pytest
from toy import make_session

from nerlib import comparison, results


def test_simulated_sessions_are_marked():
    told = results.describe([make_session(simulated=True)], profile="quick")
    assert told.startswith("**SIMULATED**") and "reproduce nothing" in told


def test_absent_sessions_are_told(session):
    absent = [("A", "M1", "no network"), ("A", "PMd", "no network"), ("B", "S1", "too short")]
    told = results.describe([session], absent, profile="fast")
    assert "**Absent, and not replaced:** A M1, A PMd (no network); B S1 (too short)." in told
    told = results.describe([make_session(simulated=True)], absent[:1], profile="fast")
    assert "**Absent; simulated sessions stand in:** A M1 (no network)." in told


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


def test_verdicts_tell_where_they_come_from(session, tmp_path):
    rows = [comparison.claim("c", [session], "m", [0.5], at_least=0, reason=why) for why in ("", "so it is")]
    options = {"sessions": [session], "profile": "fast", "seeds": [3, 4]}
    told = results.verdicts(results.write_results(tmp_path / "r.json", headline=rows, **options))
    assert told.startswith("- c, m: 0.500; **holds (≥ 0)**.\n- c, m: 0.500; **holds (≥ 0)** (so it is).\n")
    assert "*Recorded data, 1 recording; profile fast; seeds 3, 4; nerlib" in told
    assert f"; {results.device()}; 20" in told


def test_device_is_told_in_words():
    assert re.match(r"\d+ cores, \S", results.device())


def test_kept_records_are_those_of_the_very_same_sessions(session, tmp_path):
    other, changed = make_session(name="Other"), session.select(session.trial_starts >= 0)
    pairs = [("Toy", "Toy"), ("Toy", "Other"), ("Other", "Toy")]
    records = [{"session": "Toy", "area": "M1"}, {"session": "Other", "area": "M1"}]
    records += [{"session": a, "area": "M1", "target": b, "target_area": "M1"} for a, b in pairs]
    path = tmp_path / "kept.json"
    results.write_results(path, sessions=[session, other], profile="paper", seeds=[1], records=records)
    assert results.kept_records(path, [session, other]) == records
    assert results.kept_records(path, [session]) == [records[0], records[2]]
    changed.rates[0] += 1
    assert results.kept_records(path, [changed]) == []
