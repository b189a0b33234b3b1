"""The quick recorded book, made as `make book` makes it: it is whole, says what it is, needs no network."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from check_pages import ARGUMENTS, browser_path, check
from playwright.sync_api import sync_playwright

pytestmark = pytest.mark.book

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "build" / "recorded-quick"
COMMAND = [sys.executable, ROOT / "book" / "run.py"]
NOWHERE = "http://127.0.0.1:9"
LOADED = re.compile(
    r"""<(?:script|link|img|iframe|source|video|audio|embed|object)\b[^>]*?\b(?:src|href|data)\s*=\s*["']?\s*"""
    r"""((?:https?:)?//[^\s"'>]+)""",
    re.IGNORECASE,
)
STYLED = re.compile(r"""(?:url\(|@import)\s*["']?\s*((?:https?:)?//[^\s"')]+)""", re.IGNORECASE)
SCRIPT = re.compile(r"<script\b(?![^>]*\bsrc=)[^>]*>(.*?)</script>", re.IGNORECASE | re.DOTALL)
IMPORTED = re.compile(
    r"""(?:\bimport\b|\bfrom\b|\bfetch\b|importScripts)\s*\(?\s*["']((?:https?:)?//[^"']+)"""
)


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def site():
    before = content(ROOT / "book")
    empty = {"NERLIB_DATA": "", "http_proxy": NOWHERE, "https_proxy": NOWHERE}
    done = subprocess.run(COMMAND, capture_output=True, text=True, env=os.environ | empty)
    assert done.returncode == 0, done.stdout + done.stderr
    assert content(ROOT / "book") == before, "the book's folder was written into"
    return OUTPUT / "html"


def pages(site):
    found = {page.name: page.read_text() for page in site.glob("*.html")}
    chapters = {f"{notebook.stem}.html" for notebook in (ROOT / "book").glob("*.ipynb")}
    assert {"index.html", "references.html"} | chapters <= set(found)
    return found


def test_front_page_says_recorded_and_how_it_was_made(site):
    front = pages(site)["index.html"]
    assert "11 <strong>recorded</strong> sessions" in front
    assert "`make book DATA=recorded PROFILE=quick`" in (OUTPUT / "source" / "headline.md").read_text()
    assert "SIMULATED" in pages(site)["08_curved_reaches.html"]  # MC_Maze is not bundled
    assert (
        "Quick: one seed; pi-VAE, UMAP (except in chapters 2 and 10)"
        in pages(site)["03_explained_variance.html"]
    )


def test_the_papers_training_scores_are_reproduced_on_13_recordings(site):
    headline = json.loads((OUTPUT / "source" / "results" / "headline.json").read_text())
    assert headline["data"] == "recorded" and headline["profile"] == "quick"
    rows = [row for row in headline["headline"] if "(train, published)" in row["claim"]]
    assert {row["sessions"] for row in rows} == {"4 M1 + 2 PMd", "4 M1", "3 S1"} and len(rows) == 9
    assert {row["verdict"] for row in rows} == {"reproduced"}
    assert all(abs(row["ours"] - row["paper"]) <= row["tolerance"] == 0.03 for row in rows)


def test_leads_are_those_of_the_published_book(site):
    """One seed against the mean of several: within 0.05, or within the interval of an uncertain lead.

    By a rotation NER may be further ahead of the controls. A fit of the MSE bottleneck can end in an
    embedding that differs from others by more than a rotation, and whether a seed does so depends on the
    processor's rounding; by an affine map it makes no difference, so there the bounds hold as they are.
    """
    made = json.loads((OUTPUT / "source" / "results" / "headline.json").read_text())["headline"]
    published = [
        row for c in json.loads((ROOT / "book" / "published.json").read_text()) for row in c["headline"]
    ]

    def leads(rows):
        rows = [
            row for row in rows if row["metric"] == "lead in R² of velocity" and row["verdict"] != "simulated"
        ]
        return {row["claim"]: row for row in rows}

    ours, kept = leads(made), leads(published)
    assert set(ours) == set(kept) and len(ours) >= 10
    for claim, row in kept.items():
        near = abs(ours[claim]["ours"] - row["ours"]) < 0.05
        uncertain = row["low"] is not None and row["low"] <= ours[claim]["ours"] <= row["high"]
        rotated = "by a rotation: NER against the best of the controls" in claim
        assert near or uncertain or rotated and ours[claim]["ours"] > row["ours"], claim


def test_simulated_book(tmp_path):
    """With one rival, to be short: marked on every page, and no value of the paper."""
    given = ["--data", "simulated", "--output", tmp_path, "-p", "methods", "['CEBRA-velocity']"]
    done = subprocess.run([*COMMAND, *given], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    for name, page in pages(tmp_path / "html").items():
        assert "SIMULATED data: this page shows that the code works" in page, name
        assert "output traceback" not in page and "output stderr" not in page, name
    headline = json.loads((tmp_path / "source" / "results" / "headline.json").read_text())["headline"]
    assert {row["verdict"] for row in headline} == {"simulated"} and all(r["paper"] is None for r in headline)


def test_no_cell_failed_or_complained(site):
    for name, page in pages(site).items():
        assert "output traceback" not in page and "output stderr" not in page, name


def test_pages_load_nothing_from_the_network(site):
    for name, page in pages(site).items():
        scripts = "\n".join(SCRIPT.findall(page))
        assert LOADED.findall(page) + STYLED.findall(page) + IMPORTED.findall(scripts) == [], name


def test_styles_load_nothing_from_the_network(site):
    styles = list(site.rglob("*.css"))
    assert styles
    for style in styles:
        assert STYLED.findall(style.read_text()) == [], style.name


def test_what_pages_load_is_there(site):
    local = re.compile(
        r"""<(?:script|link|img)\b[^>]*?\b(?:src|href)=["']([^"'#?:]+)[^"']*["']""", re.IGNORECASE
    )
    for name, page in pages(site).items():
        missing = {path for path in local.findall(page) if path and not (site / path).exists()}
        assert not missing, f"{name} asks for {missing}"


def test_pages_tell_no_path_of_this_machine(site):
    for name, page in pages(site).items():
        assert str(ROOT) not in page and str(Path.home()) not in page, name


def test_pages_and_site_are_small(site):
    """A page is its HTML and its own pictures; the drawing library is shared."""
    for name, page in pages(site).items():
        pictures = {site / path for path in re.findall(r'src="(_images/[^"]+)"', page)}
        assert len(page) + sum(path.stat().st_size for path in pictures) <= 3e6, name
    assert sum(path.stat().st_size for path in site.rglob("*") if path.is_file()) <= 25e6


@pytest.mark.skipif(browser_path() is None, reason="no browser is installed")
def test_pages_drawn_in_a_browser(site):
    """At the width of a desk and of a phone, light and dark; see check_pages.py."""
    assert check(site) == {}


@pytest.mark.skipif(browser_path() is None, reason="no browser is installed")
def test_results_can_be_filtered_without_a_network(site):
    with sync_playwright() as play:
        page = play.chromium.launch(executable_path=browser_path(), args=ARGUMENTS).new_page()
        page.goto((site / "all_results.html").as_uri())
        rows = page.locator("#every-result tbody tr:visible")
        everything = rows.count()
        page.fill("#filter", "consistency one shape")
        shown = rows.all_inner_texts()
        assert shown[0].strip() == "Sixteen recordings" and 1 < len(shown) < everything
        assert all("consistency" in text for text in shown[1:])
        assert page.inner_text("#filtered").startswith(f"{len(shown) - 1} of ")
        page.fill("#filter", "")
        assert rows.count() == everything


def test_second_run_makes_nothing_again(site):
    done = subprocess.run(COMMAND, capture_output=True, text=True, env=os.environ | {"NERLIB_DATA": ""})
    assert done.returncode == 0 and "running" not in done.stdout and "building" not in done.stdout
