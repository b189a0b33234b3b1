"""The outputs that the chapters carry: they are those of one recorded run, and fit the code beside them."""

import base64
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import plotly.graph_objects as go
import pytest
from PIL import Image

from companion.headline import older_than_code
from companion.publishing import (
    RESULTS,
    check,
    code_digest,
    compact_pictures,
    differences,
    read_published,
    settled,
    strip_outputs,
)
from companion.results import BookError
from run import read_toc

BOOK = Path(__file__).resolve().parents[2] / "book"
CHAPTERS = read_toc(BOOK)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.stem)
def test_outputs_are_those_of_this_code(chapter):
    notebook = nbformat.read(chapter, as_version=4)
    assert notebook.metadata["nerlib"]["code"] == code_digest(chapter), "run `make publish-run`"
    origin = notebook.metadata["nerlib"]["provenance"]
    assert origin["profile"] in ("fast", "paper")
    assert all(origin[key] for key in ("versions", "sessions", "date", "code"))
    assert "commit" in origin
    assert origin["data"] == "recorded" or all("Sim" in name for name in origin["sessions"])
    assert any(cell.get("outputs") for cell in notebook.cells)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"]
    assert chapter.stat().st_size <= 1.5e6
    assert str(Path.home()) not in chapter.read_text() and "/tmp/" not in chapter.read_text()


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.stem)
def test_every_figure_has_a_caption_that_stands_alone(chapter):
    cells = nbformat.read(chapter, as_version=4).cells
    captions = []
    for cell, below in zip(cells, [*cells[1:], None], strict=True):
        shown = [output.get("data", {}) for output in cell.get("outputs", [])]
        if any("image/png" in its or "plotly" in its.get("text/html", "") for its in shown):
            if "front-figure" in cell.metadata.get("tags", []):  # two outputs, one figure
                assert below.source.startswith("```{figure} front.png")
            else:
                captions.append(cell.metadata.get("mystnb", {}).get("figure", {}).get("caption", ""))
    assert all(len(caption) > 40 and not caption.startswith("The same") for caption in captions), captions
    assert len(set(captions)) == len(captions)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.stem)
def test_cells_are_short(chapter):
    for cell in nbformat.read(chapter, as_version=4).cells:
        if cell.cell_type == "code" and "parameters" not in cell.metadata.get("tags", []):
            assert cell.source.count("\n") < 15, cell.source


def test_outputs_of_all_chapters_are_small():
    cells = [cell for chapter in CHAPTERS for cell in nbformat.read(chapter, as_version=4).cells]
    assert len(json.dumps([cell.get("outputs") for cell in cells])) <= 6e6


def test_pictures_get_a_palette_and_keep_what_they_show():
    image = Image.new("RGB", (300, 200), "white")
    image.paste((209, 73, 91), (20, 30, 120, 90))
    saved = io.BytesIO()
    image.save(saved, "PNG")
    data = {"image/png": base64.b64encode(saved.getvalue()).decode()}
    outputs = [nbformat.v4.new_output("display_data", data)]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("", outputs=outputs)])
    compact_pictures(notebook)
    after = Image.open(io.BytesIO(base64.b64decode(notebook.cells[0].outputs[0].data["image/png"])))
    assert after.mode == "P" and after.convert("RGB").tobytes() == image.tobytes()


def test_front_page_has_what_the_chapters_found():
    results = read_published(BOOK, CHAPTERS)
    assert [result["chapter"] for result in results] == [chapter.stem for chapter in CHAPTERS]
    simulated = [r for result in results for r in result["headline"] if r["verdict"] == "simulated"]
    assert all(row["paper"] is None for row in simulated)


@pytest.fixture
def copy(tmp_path):
    return Path(shutil.copytree(BOOK, tmp_path / "book"))


def test_changed_code_or_provenance_is_noticed_and_prose_is_free(copy):
    chapters = read_toc(copy)
    notebook = nbformat.read(chapters[0], as_version=4)
    notebook.cells[0].source += "\n\nMore prose."
    nbformat.write(notebook, chapters[0])
    read_published(copy, chapters)
    next(cell for cell in notebook.cells if cell.cell_type == "code").source += "\n# more code"
    nbformat.write(notebook, chapters[0])
    with pytest.raises(BookError, match="outputs come from other code"):
        read_published(copy, chapters)
    shutil.copy(BOOK / chapters[0].name, chapters[0])
    results = json.loads((copy / RESULTS).read_text())
    results[1]["provenance"]["date"] = "1999-01-01"
    (copy / RESULTS).write_text(json.dumps(results))
    with pytest.raises(BookError, match="outputs come from other provenance"):
        read_published(copy, chapters)
    (copy / RESULTS).unlink()
    with pytest.raises(BookError, match="make publish-run"):
        read_published(copy, chapters)


def random_ids():
    """Outputs of two tables and a figure: pandas and plotly give each a random id."""
    tables = [pd.DataFrame({"deadbeef": [0.12345]}).style for _ in range(2)]
    figure = go.Figure(go.Scatter(y=[1, 2])).to_html(full_html=False, include_plotlyjs=False)
    return [[{"text/html": t.to_html(), "text/plain": repr(t)} for t in tables], [{"text/html": figure}]]


def test_runs_that_find_the_same_publish_the_same():
    first, second = random_ids(), random_ids()
    assert first != second and settled(first) == settled(second)
    tables, (figure,) = settled(first)
    ids = [re.search(r'<table id="(\w+)"', table["text/html"])[1] for table in tables]
    assert ids[0] != ids[1] and all(t["text/html"].count(i) > 3 for t, i in zip(tables, ids, strict=True))
    assert "deadbeef" in tables[0]["text/html"] and "0.123450" in tables[0]["text/html"]
    name = re.search(r'<div id="([^"]+)" class="plotly', figure["text/html"])[1]
    assert figure["text/html"].count(name) > 1


def test_published_outputs_are_settled():
    for chapter in CHAPTERS:
        outputs = [cell.get("outputs") for cell in nbformat.read(chapter, as_version=4).cells]
        assert settled(outputs) == outputs


def test_stripped_chapters_have_no_outputs():
    notebook = strip_outputs(CHAPTERS[1])
    assert "nerlib" not in notebook.metadata
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)


def test_older_outputs_are_told_with_date_and_commit():
    made = {"code": "new", "date": "2026-01-02", "commit": "abc1234"}
    changes = [{}, {"code": "old", "date": "2026-01-01", "commit": "def5678+changes"}, {"code": "older"}]
    results = [{"provenance": made | change} for change in changes]
    assert older_than_code(results[:1], "new") == ""
    told = older_than_code(results, "new")
    assert "2026-01-01 (commit def5678+changes), 2026-01-02 (commit abc1234)" in told
    del made["code"], made["commit"]  # published before these were kept
    assert "2026-01-02 (commit unknown)" in older_than_code([{"provenance": made}], "new")


def test_read_builds_the_pages_and_runs_nothing(tmp_path):
    command = [sys.executable, BOOK / "run.py", "--read", "--output", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    front = (tmp_path / "html" / "index.html").read_text()
    assert "Recorded data" in front and "publish-run" in front
    assert (
        'class="verdict verdict-reproduced"' in front and "plotly" in front and "_images/front.png" in front
    )
    assert "NER embeddings, training trials" in (tmp_path / "html" / "all_results.html").read_text()
    pages = [(tmp_path / "html" / f"{chapter.stem}.html").read_text() for chapter in CHAPTERS]
    assert all("cell_output" in page for page in pages)


def test_headlines_that_differ_by_more_than_their_tolerance():
    row = {"claim": "c", "metric": "R²", "ours": 0.5, "tolerance": 0.03}
    row["verdict"] = "reproduced"
    lead, simulated = row | {"claim": "lead", "tolerance": None, "verdict": "ahead"}, row | {"claim": "s"}
    kept = [row, lead, simulated | {"verdict": "simulated"}]
    assert differences(kept, [row | {"ours": 0.52}, lead | {"ours": 0.46}]) == []
    found = differences(kept, [row | {"verdict": "lower by 0.031"}, lead | {"ours": 0.44}])
    assert found == [
        "c R²: was 0.500 (reproduced), is 0.500 (lower by 0.031)",
        "lead R²: was 0.500 (ahead), is 0.440 (ahead)",
    ]
    assert differences(kept, [row]) == ["lead R²: in one run alone"]


def test_check_compares_a_run_with_what_is_published(tmp_path):
    kept = [row for result in json.loads((BOOK / RESULTS).read_text()) for row in result["headline"]]
    path = tmp_path / "headline.json"
    path.write_text(json.dumps({"headline": kept}))
    with pytest.raises(SystemExit) as same:
        check(path)
    assert same.value.code == 0
    path.write_text(json.dumps({"headline": [kept[0] | {"ours": kept[0]["ours"] + 0.2}, *kept[1:]]}))
    with pytest.raises(SystemExit, match="1 headline rows differ"):
        check(path)
