"""The README quotes what was measured; the settings in use are among those tried. (Nothing is timed here.)"""

import importlib.util
import json
from pathlib import Path

import pytest

from companion import paper

ROOT = Path(__file__).parents[1]


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def speed():
    return script("speed")


def test_readme_quotes_the_results_file(speed):
    content = json.loads(speed.RESULTS.read_text())
    assert speed.table(content) in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("loop", ["loop_over_pairs", "loop_over_columns"])
def test_the_loops_are_the_library_loss(speed, loop):
    points, labels = speed.batch(40)
    distances = speed.losses.label_distances(labels, speed.PERIODS)
    found = speed.losses.ner_loss(points, labels, periods=speed.PERIODS)
    assert found.item() == pytest.approx(getattr(speed, loop)(points, distances).item(), abs=1e-5)


def test_profile_fast_is_among_the_settings_that_were_validated():
    validation = script("validation")
    records = json.loads(validation.PATH.read_text())["records"]
    tried = {(r["method"], r["settings"]) for r in records}
    for method in (*validation.METHODS, "piVAE"):
        fast = paper.make_method(method, "fast").get_params()
        used = {name: fast[name] for name in validation.TRIED[0]}
        assert (method, validation.describe(used)) in tried


@pytest.fixture(scope="module")
def equal_chances():
    return script("equal_chances")


def test_choosing_settings_sees_no_test_trial(equal_chances, session, monkeypatch):
    """Everything that is chosen comes from `on_validation`, which hands on training trials alone."""
    seen = []
    monkeypatch.setattr(equal_chances, "run", lambda sessions, *_: seen.extend(sessions) or [])
    equal_chances.on_validation([session], {("NER", ""): None})
    assert [s.digest for s in seen] == [session.split()[0].digest]
    asked = []

    def validate(sessions, methods):
        asked.append(sessions)
        return []

    monkeypatch.setattr(equal_chances, "on_validation", validate)
    monkeypatch.setattr(equal_chances, "run", None)  # nothing else runs
    equal_chances.search([session])
    equal_chances.search_best([session], "NER, best")
    monkeypatch.setattr(equal_chances, "chosen", lambda *_: {})
    equal_chances.search_members([session], [])
    assert asked == [[session]] * 3


@pytest.mark.parametrize("profile", ["best", "causal"])
def test_best_is_what_the_kept_validation_scores_choose(equal_chances, profile):
    records = json.loads(equal_chances.PATH.read_text())["records"]
    validated = [r for r in records if r["split"] == "validation"]
    chosen = equal_chances.chosen_best(validated, profile)
    assert repr(chosen.get_params()) == repr(paper.make_method("NER", profile).get_params())


def test_every_method_had_the_same_number_of_candidates_or_chooses_by_itself(equal_chances):
    counts = {name: len(candidates) for name, candidates in equal_chances.CANDIDATES.items()}
    assert {name for name, count in counts.items() if count == 1} == {"PCA", "dPCA", "ridge"}
    assert {count for count in counts.values() if count > 1} == {4}


def test_the_published_settings_are_those_of_the_paper():
    records = json.loads(script("paper_settings").PATH.read_text())["records"]
    assert {"NER", "CEBRA"} <= {r["method"] for r in records}
    ner = paper.make_method("NER", "paper").get_params()
    assert (ner["max_iter"], ner["batch_size"], ner["learning_rate"]) == (20_000, 512, 1e-4)
    assert ner["periods"] == (None, None, 360.0) and ner["weight_averaging"] == 0


def test_each_fit_of_the_book_is_counted_once(tmp_path):
    run = {"session": "a", "area": "M1", "method": "NER", "seed": 1, "settings": "", "seconds": 2.0}
    chapters = {
        "03_x": [run | {"split": "train"}, run | {"split": "test"}, run | {"seed": 2, "seconds": 4.0}],
        "04_y": [run, {"curve": "library", "seconds": [1, 2]}, run | {"method": "PCA", "seconds": 0.5}],
    }
    for name, records in chapters.items():
        (tmp_path / f"{name}.json").write_text(json.dumps({"records": records}))
    found = script("book_time").fitting_seconds(tmp_path)
    assert found.T.to_dict() == {
        "NER": {"count": 2, "mean": 3.0, "sum": 6.0},
        "PCA": {"count": 1, "mean": 0.5, "sum": 0.5},
    }
