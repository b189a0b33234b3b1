"""What the README says of speed is what was measured. (Nothing is timed here.)"""

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def speed():
    spec = importlib.util.spec_from_file_location("speed", ROOT / "benchmarks" / "speed.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_readme_quotes_the_results_file(speed):
    content = json.loads(speed.RESULTS.read_text())
    assert speed.table(content) in (ROOT / "README.md").read_text()
    assert all(row["date"] for row in content["rows"])


@pytest.mark.parametrize("form", ["pair_form", "column_form"])
def test_the_loops_are_the_library_loss(speed, form):
    points, labels = speed.batch(20)
    distances = speed.losses.label_distances(speed.torch.cat([labels, labels]))
    found = speed.losses.rank_loss(points, speed.losses.order_labels(labels))
    assert found.item() == pytest.approx(getattr(speed, form)(points, distances).item(), abs=1e-5)
