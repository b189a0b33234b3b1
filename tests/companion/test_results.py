"""Results files: their provenance, what pages say of them, and writing them whole."""

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from toy import make_session

from companion import claims, results
from companion.intervals import Estimate
from nerlib._provenance import source_digest


def test_simulated_sessions_are_marked():
    told = results.describe([make_session(simulated=True)], profile="quick")
    assert told.startswith("**SIMULATED**") and "reproduce nothing" in told


def test_absent_sessions_are_told(session):
    absent = [("A", "M1", "no network"), ("A", "PMd", "no network"), ("B", "S1", "too short")]
    told = results.describe([session], absent, profile="fast")
    assert "<details><summary>Which recordings, and the 3 that are absent, not replaced</summary>" in told
    assert "**Absent, not replaced:** A M1, A PMd (no network); B S1 (too short)." in told
    told = results.describe([make_session(simulated=True)], absent[:1], profile="fast")
    assert "**Absent, replaced by simulated sessions:** A M1 (no network)." in told


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


def test_results_carry_the_code_and_the_commit(session, tmp_path):
    companion = Path(results.__file__).parent
    path = tmp_path / "chapter.json"
    written = results.write_results(path, sessions=[session], profile="fast", seeds=[1])
    origin = results.check_results(path, "recorded", "fast")["provenance"]
    assert origin == written["provenance"] and origin["commit"] == results.commit()
    assert origin["code"] == source_digest(companion.parents[1] / "nerlib", companion)
    for key in ("code", "commit"):
        results.write_json(path, written | {"provenance": {k: origin[k] for k in origin if k != key}})
        with pytest.raises(results.BookError, match=f"provenance lacks '{key}'"):
            results.check_results(path, "recorded", "fast")


def test_commit_is_that_of_the_checkout_and_changes_are_marked(tmp_path, monkeypatch):
    def git(*command):
        about = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *about, *command], cwd=tmp_path, check=True, capture_output=True)

    monkeypatch.setattr(results, "ROOT", tmp_path)
    assert results.commit() is None
    git("init")
    (tmp_path / "code.py").write_text("")
    git("add", "code.py")
    git("commit", "-m", "first")
    clean = results.commit()
    assert re.fullmatch("[0-9a-f]{7,}", clean)
    (tmp_path / "code.py").write_text("x = 1")
    assert results.commit() == f"{clean}+changes"
    (tmp_path / "copy").mkdir()
    monkeypatch.setattr(results, "ROOT", tmp_path / "copy")  # unpacked inside another project
    assert results.commit() is None
    monkeypatch.setenv("PATH", "")
    assert results.commit() is None


@pytest.mark.parametrize("simulated", [[], [False, True]])
def test_simulated_and_recorded_are_never_mixed(simulated, tmp_path):
    sessions = [make_session(simulated=value) for value in simulated]
    with pytest.raises(ValueError, match="all simulated or all recorded"):
        results.write_results(tmp_path / "x.json", sessions=sessions, profile="fast", seeds=[1])
    assert not list(tmp_path.iterdir())


def test_no_session_is_refused():
    with pytest.raises(ValueError, match="no session is available"):
        results.describe([], [("A", "M1", "no network")], profile="fast")


def test_nothing_half_written(tmp_path):
    results.write_json(tmp_path / "x.json", {"old": 1})
    with pytest.raises(TypeError, match="cannot be written as JSON"):
        results.write_json(tmp_path / "x.json", {"new": object()})
    assert json.loads((tmp_path / "x.json").read_text()) == {"old": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_verdicts_tell_where_they_come_from(session, tmp_path):
    ours = Estimate(0.5, 0.4, 0.6, 9, 9, 9)
    rows = [claims.claim("c", [session], "m", ours, lead=True, reason=why) for why in ("", "so it is")]
    options = {"sessions": [session], "profile": "fast", "seeds": [3, 4]}
    told = results.verdicts(results.write_results(tmp_path / "r.json", headline=rows, **options))
    assert told.startswith(
        "- c, m: 0.500 [0.400, 0.600]; **ahead**.\n- c, m: 0.500 [0.400, 0.600]; **ahead** (so it is).\n"
    )
    assert "*Recorded data, 1 recording; profile fast; seeds 3, 4; nerlib" in told
    assert f"; {results.device()}; 20" in told


def test_many_verdicts_are_counted_and_folded(session, tmp_path):
    ours = [Estimate(mean, mean - 0.1, mean + 0.1, 9, 9, 9) for mean in (0.5, -0.2)]
    rows = [claims.claim("c", [session], "m", ours[i < 4], lead=True) for i in range(11)]
    written = results.write_results(
        tmp_path / "r.json", headline=rows, sessions=[session], profile="fast", seeds=[3]
    )
    told = results.verdicts(written)
    assert told.startswith("<details><summary>11 verdicts: 7 ahead, 4 behind</summary>\n\n- c, m: ")
    assert "- c, m: −0.200 [−0.300, −0.100]; **behind**.\n" in told


def test_device_is_told_in_words():
    assert re.match(r"\d+ cores, \S", results.device())


def test_kept_records_are_those_of_the_very_same_sessions(session, tmp_path):
    other, changed = make_session(name="Other"), make_session(noise=0.2)
    pairs = [("Toy", "Toy"), ("Toy", "Other"), ("Other", "Toy")]
    records = [{"session": "Toy", "area": "M1"}, {"session": "Other", "area": "M1"}]
    records += [{"session": a, "area": "M1", "target": b, "target_area": "M1"} for a, b in pairs]
    path = tmp_path / "kept.json"
    kept = results.write_results(path, sessions=[session, other], profile="paper", seeds=[1], records=records)
    assert results.kept_records(path, [session, other]) == records
    assert results.kept_records(path, [session]) == [records[0], records[2]]
    assert results.kept_records(path, [changed]) == []
    for key in ("code", "commit"):  # older files lack them
        del kept["provenance"][key]
    results.write_json(path, kept)
    assert results.kept_records(path, [session, other]) == records
