"""The pages of the book: Jupyter Book builds them from staged notebooks, and what no page uses is dropped."""

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import yaml

from companion.results import BookError, write_text

BOOK = Path(__file__).resolve().parent
THEBE = re.compile(
    r"<script>const THEBE_JS_URL.*?</script>|<script[^>]*sphinx-thebe[^>]*></script>", re.DOTALL
)
MATHJAX = ("tex-chtml.js", "input/tex/extensions/", "output/chtml/fonts/")  # all that a page can load


def mark_simulated(config, output):
    """A copy of the settings with a banner for every page, so that no page can be taken for a result."""
    settings = yaml.safe_load(config.read_text())
    said = "SIMULATED data: this page shows that the code works, and nothing about the brain."
    settings.setdefault("html", {})["announcement"] = said
    write_text(output / "_config.yml", yaml.safe_dump(settings))
    return output / "_config.yml"


def build_site(source, config, output):
    """Build the pages of ``source`` into output/html; every warning is an error."""
    if not version("jupyter-book").startswith("1."):
        raise BookError(f"jupyter-book {version('jupyter-book')} is installed; this book needs version 1")
    for folder in ("html", "_build"):
        shutil.rmtree(output / folder, ignore_errors=True)
    find_companion = f"import sys; sys.path.append({str(BOOK)!r})"  # it has an extension of Sphinx
    build = f"{find_companion}; from jupyter_book.cli.main import main; main()"
    options = ["--config", config, "--path-output", output, "-q", "-W", "-n", "--keep-going"]
    command = [sys.executable, "-c", build, "build", source, *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    site = output / "_build" / "html"
    if done.returncode or not (site / "index.html").is_file():
        (output / "build.log").write_text(done.stdout)
        found = [line for line in done.stdout.splitlines() if "WARNING" in line or "ERROR" in line]
        told = "\n".join(found or done.stdout.splitlines()[-20:])
        raise BookError(f"{told}\nThe pages were not built; the whole log is {output / 'build.log'}")
    (output / "build.log").unlink(missing_ok=True)
    share_scripts(site)
    os.replace(site, output / "html")
    shutil.rmtree(output / "_build")


def share_scripts(site):
    """Put plotly beside the pages that use it, and drop what no page uses: Thebe, parts of MathJax."""
    pages = []
    for path in site.glob("*.html"):
        pages.append(THEBE.sub("", path.read_text()))
        path.write_text(pages[-1])
    if any("plotly.min.js" in page for page in pages):
        from plotly.offline import get_plotlyjs

        (site / "plotly.min.js").write_text(get_plotlyjs())
    mathjax = site / "_static" / "mathjax"
    wanted = MATHJAX if any("mathjax/tex-chtml.js" in page for page in pages) else ()
    for path in sorted(mathjax.rglob("*"), reverse=True):  # what a folder holds comes before it
        if path.is_file() and not path.relative_to(mathjax).as_posix().startswith(wanted):
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()
