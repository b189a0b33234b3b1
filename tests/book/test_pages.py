"""The quick simulated book, made as `make book` makes it: it is whole, says what it is, needs no network."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.book

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "build" / "simulated-quick"
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
    command = [sys.executable, ROOT / "book" / "run.py", "--data", "simulated", "--profile", "quick"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert content(ROOT / "book") == before, "the book's folder was written into"
    return OUTPUT / "html"


def pages(site):
    found = {page.name: page.read_text() for page in site.glob("*.html")}
    chapters = {f"{notebook.stem}.html" for notebook in (ROOT / "book").glob("*.ipynb")}
    assert {"index.html", "references.html"} | chapters <= set(found)
    return found


def test_front_page_says_simulated_and_how_it_was_made(site):
    front = pages(site)["index.html"]
    assert "SIMULATED" in front and "simulated</strong> sessions" in front
    headline = json.loads((OUTPUT / "source" / "results" / "headline.json").read_text())
    assert headline["data"] == "simulated" and headline["profile"] == "quick"


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


def test_second_run_makes_nothing_again(site):
    command = [sys.executable, ROOT / "book" / "run.py", "--data", "simulated", "--profile", "quick"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "running" not in done.stdout and "building" not in done.stdout
