"""The README says what was measured; what is used is among what was tried. (Nothing is timed here.)"""

import importlib.util
import json
from pathlib import Path

import pytest

from nerlib import make_method

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


@pytest.mark.parametrize("form", ["pair_form", "column_form"])
def test_the_loops_are_the_library_loss(speed, form):
    points, labels = speed.batch(40)
    distances = speed.losses.label_distances(labels)
    found = speed.losses.ner_loss(points, labels)
    assert found.item() == pytest.approx(getattr(speed, form)(points, distances).item(), abs=1e-5)


def test_profile_fast_is_among_the_settings_that_were_validated():
    validation = script("validation")
    records = json.loads(validation.PATH.read_text())["records"]
    tried = {(r["method"], r["settings"]) for r in records}
    names = ("batch_size", "learning_rate", "max_iter")
    for method in validation.METHODS:
        fast = make_method(method, "fast").get_params()
        assert (method, ", ".join(f"{name}={fast[name]!r}" for name in names)) in tried
