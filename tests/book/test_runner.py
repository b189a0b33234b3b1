"""The runner, on a book of two tiny chapters: what it refuses, what it makes, what it does not make twice."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from companion import catalogue
from companion import results as checker

ROOT = Path(__file__).resolve().parents[2]
PARAMETERS = """\
data: str = "simulated"  # where sessions come from
profile: str = "quick"  # how long to train
out: str = "results"  # where results go
"""
WRITE = """\
import json, os, sys
import companion.results
row = dict(claim="a | claim", sessions="10 M1 + 6 PMd", metric="velocity R²", paper=0.8642, ours=0.853,
           low=0.84, high=0.87, tolerance=0.02, verdict="ahead", reason="so", seconds=1.5,
           front="It works")
provenance = dict(data=data, profile=profile, seeds=[0], versions={"nerlib": "9"}, device="2 cores",
                  sessions={"one/M1": "0a"}, date="2025-01-02",
                  code=companion.results.code(), commit=companion.results.commit())
records = [dict(python=sys.executable, book=os.environ["NERLIB_BOOK"], data=os.environ.get("NERLIB_DATA"))]
records[0]["companion"] = companion.results.__file__
results = dict(chapter=%r, provenance=provenance, headline=[row], records=records, findings={})
with open(f"{out}/{results['chapter']}.json", "w") as file:
    json.dump(results, file)
"""


ROWS = "\n```{include} all_rows.md\n```\n"


FAILING = """\
def broken():
    return 1 / 0

try:
    {}["first"]
except KeyError:
    broken()
"""


def write_chapter(book, name, *, parameters="", code="", write=True, tags=()):
    cells = [
        nbformat.v4.new_markdown_cell(f"# Chapter {name}\n\nIt has $x^2$ in it."),
        nbformat.v4.new_code_cell(PARAMETERS + parameters, metadata={"tags": ["parameters", *tags]}),
        nbformat.v4.new_code_cell(code),
        *([nbformat.v4.new_code_cell(WRITE % name)] if write else []),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(notebook, book / f"{name}.ipynb")


def write_book(folder):
    """A project as ours, its book two tiny chapters."""
    book = folder / "book"
    book.mkdir(parents=True)
    for name in ("nerlib", "book/companion"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("book/run.py", "book/pages.py", "_config.yml"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "data").mkdir()
    (book / "recordings").mkdir()
    shutil.copy(ROOT / "book" / "recordings" / "checksums.txt", book / "recordings")
    toc = "format: jb-book\nroot: index\nchapters:\n  - file: z_first\n  - file: a_second\n"
    (book / "_toc.yml").write_text(toc)
    (book / "index.md").write_text("# Tiny\n\n{{ claims }}\n\n```{include} headline.md\n```\n" + ROWS)
    (book / "references.bib").write_text("")
    (folder / "README.md").write_text("<!-- headline: written by make publish-run -->\n<!-- /headline -->\n")
    figure = "from IPython.display import HTML\nHTML('<script src=\"plotly.min.js\"></script>')"
    write_chapter(book, "z_first", code=figure)
    write_chapter(book, "a_second", parameters="rate: float = 0.5  # a number\nseeds: list = [0]  # seeds\n")


def run(folder, *options, **environment):
    data = [] if "--data" in options or "--read" in options else ["--data", "simulated"]
    command = [sys.executable, folder / "book" / "run.py", "--output", folder / "out", *data, *options]
    places = {"NERLIB_DATA": str(folder / "data"), "NERLIB_CACHE": str(folder / "cache")}
    env = {**os.environ, **places, "PYTHONPATH": str(folder), **environment}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=env)


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A book that was made once; on a machine whose own python3 kernel is broken."""
    folder = tmp_path_factory.mktemp("first")
    write_book(folder)
    broken = folder / "jupyter" / "kernels" / "python3"
    broken.mkdir(parents=True)
    spec = {"argv": ["no-such-program"], "display_name": "broken", "language": "python"}
    (broken / "kernel.json").write_text(json.dumps(spec))
    before = content(folder / "book")
    done = run(folder, JUPYTER_DATA_DIR=str(folder / "jupyter"), NERLIB_DATA="some/data")
    assert done.returncode == 0, done.stdout + done.stderr
    assert content(folder / "book") == before, "the book's folder was written into"
    return folder, done


@pytest.fixture
def copy(first, tmp_path):
    """The same in a folder of its own, to be changed and made again."""
    shutil.copytree(first[0], tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture
def book(tmp_path):
    write_book(tmp_path)
    return tmp_path


def test_chapters_run_in_the_order_of_the_table_of_contents(first):
    folder, done = first
    told = [line.split()[:3] for line in done.stdout.splitlines() if line.endswith("running")]
    assert sorted(told) == [["chapter", "1/2", "z_first"], ["chapter", "2/2", "a_second"]]
    assert (folder / "out" / "html" / "index.html").is_file()
    assert str(folder / "out" / "html" / "index.html") in done.stdout
    assert done.stderr == ""


def test_chapters_run_with_this_python_and_know_that_they_are_in_the_book(first):
    folder, _ = first
    results = json.loads((folder / "out" / "source" / "results" / "z_first.json").read_text())
    [record] = results["records"]
    companion = folder / "book" / "companion" / "results.py"
    assert record == {
        "python": sys.executable,
        "book": "1",
        "data": str(folder / "some" / "data"),
        "companion": str(companion),
    }


def test_pages_hold_no_code_of_the_book(first):
    out = first[0] / "out"
    assert not [*(out / "source").rglob("*.py"), *(out / "html").rglob("*.py")]
    assert not (out / "source" / "companion").exists() and not (out / "source" / "recordings").exists()


def test_pages_tell_no_path_of_this_machine(first):
    folder, _ = first
    pages = [
        path for path in (folder / "out" / "html").rglob("*") if path.suffix in (".html", ".ipynb", ".md")
    ]
    assert len(pages) > 3
    assert [path.name for path in pages if str(folder) in path.read_text()] == []


def test_simulated_headline_shows_no_value_of_the_paper(first):
    folder, done = first
    page = (folder / "out" / "html" / "index.html").read_text()
    for text in (page, done.stdout):
        assert "SIMULATED" in text and "0.853 [0.840, 0.870]" in text
        assert "0.864" not in text and "Paper" not in text
    assert (
        "`make book DATA=simulated PROFILE=quick`" in (folder / "out" / "source" / "headline.md").read_text()
    )
    assert "2025-01-02 with nerlib 9" in page
    assert "ahead: so" in page and ", on 2 cores." in page
    assert page.count("not tested") == 2  # the claims of both chapters: no simulated value on the front page
    assert (
        '<a class="reference internal" href="z_first.html"><span class="doc">Chapter z_first</span></a>'
        in page
    )
    headline = json.loads((folder / "out" / "source" / "results" / "headline.json").read_text())
    assert [row["chapter"] for row in headline["headline"]] == ["z_first", "a_second"]


def test_every_page_says_that_its_data_are_simulated(first):
    html = first[0] / "out" / "html"
    for page in ("index", "z_first", "a_second"):
        assert "SIMULATED data" in (html / f"{page}.html").read_text()


def test_site_has_the_scripts_that_pages_use_and_no_others(first):
    html = first[0] / "out" / "html"
    assert (html / "plotly.min.js").stat().st_size > 1_000_000
    mathjax = html / "_static" / "mathjax"
    assert (mathjax / "tex-chtml.js").is_file() and list(mathjax.rglob("*.woff"))
    assert {path.name for path in mathjax.glob("*")} == {"tex-chtml.js", "input", "output"}


def test_chapters_tagged_alone_or_timed_run_with_nothing_beside_them(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "book")
    from run import groups

    names, tags = "abcdefghi", {"c": ["alone"], "e": ["alone"], "b": ["timed"], "h": ["timed"]}
    for name in names:
        write_chapter(tmp_path, name, tags=tags.get(name, []))
    found = groups([tmp_path / f"{name}.ipynb" for name in names])
    assert ["".join(path.stem for path in group) for group in found] == ["c", "e", "adfgi", "b", "h"]
    assert groups([tmp_path / "b.ipynb"]) == [[tmp_path / "b.ipynb"]]


@pytest.mark.parametrize("given", [None, "6"])
def test_chapters_side_by_side_share_the_cores_unless_told_otherwise(monkeypatch, given):
    monkeypatch.syspath_prepend(ROOT / "book")
    from run import share_cores

    monkeypatch.setattr("run.GIVEN", {"OMP_NUM_THREADS": given, "LOKY_MAX_CPU_COUNT": given})
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    names = ("OMP_NUM_THREADS", "LOKY_MAX_CPU_COUNT")
    monkeypatch.setattr(os, "environ", dict.fromkeys(names, given) if given else {})
    for group, shared in (("ab", ["1", "4"]), ("a", [None, None]), ("ab", ["1", "4"])):
        share_cores(group)
        assert [os.environ.get(name) for name in names] == ([given, given] if given else shared)


def test_chapters_run_two_at_a_time(book):
    """Each waits for a file that the other one writes."""
    for name, other in (("z_first", "a_second"), ("a_second", "z_first")):
        wait = f"from pathlib import Path\nimport time\nPath('{name}.here').touch()\n"
        wait += f"while not Path('{other}.here').exists(): time.sleep(0.05)"
        write_chapter(book / "book", name, code=wait)
    done = run(book, "--timeout", "60")
    assert done.returncode == 0, done.stderr


def test_second_run_does_nothing(copy):
    made = [*(copy / "out" / "html").rglob("*"), *(copy / "out" / "source").glob("*.ipynb")]
    before = {path: path.stat().st_mtime_ns for path in made}
    done = run(copy)
    assert done.returncode == 0
    assert done.stdout.count("unchanged") == 3 and "running" not in done.stdout
    stray = copy / "book" / "results" / "z_first.json"  # of a notebook that was run by hand
    stray.parent.mkdir()
    stray.write_text("{}")
    assert run(copy).stdout.count("unchanged") == 3
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


def test_failing_cell_stops_the_run_and_only_what_failed_runs_again(copy):
    write_chapter(copy / "book", "a_second", code=FAILING)
    done = run(copy)
    assert done.returncode == 1
    assert "z_first                   unchanged" in done.stdout
    assert "ZeroDivisionError" in done.stderr and "return 1 / 0" in done.stderr
    assert "\x1b" not in done.stderr and "During handling" not in done.stderr
    kept = copy / "out" / "source" / "a_second.ipynb"
    assert str(kept) in done.stderr and "ZeroDivisionError" in kept.read_text()
    assert not (copy / "out" / "html").exists()

    write_chapter(copy / "book", "a_second")
    done = run(copy)
    assert done.returncode == 0
    assert "z_first                   unchanged" in done.stdout
    assert "a_second                  done" in done.stdout
    assert (copy / "out" / "html" / "index.html").is_file()


def test_parameter_reaches_the_chapters_that_declare_it_and_only_they_run_again(copy):
    done = run(copy, "-p", "rate", "2", "-p", "seeds", "[1, 2]")
    assert done.returncode == 0
    assert "z_first                   unchanged" in done.stdout
    executed = (copy / "out" / "source" / "a_second.ipynb").read_text()
    assert "rate = 2.0" in executed and "seeds = [1, 2]" in executed
    page = (copy / "out" / "source" / "headline.md").read_text()
    assert """ARGS="-p rate 2 -p seeds '[1, 2]'\"""" in page


def test_recorded_book_compares_with_the_paper_and_sees_which_sessions_there_are(copy):
    done = run(copy, "--data", "recorded")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("running") == 2
    page = (copy / "out" / "html" / "index.html").read_text()
    assert "SIMULATED" not in page and "0.864" in page and "nerlib 9" in page

    first = copy / "data" / catalogue.find_entry("Chewie_20150313").file  # not bundled
    first.touch()
    assert run(copy, "--data", "recorded").stdout.count("running") == 2
    assert run(copy, "--data", "recorded").stdout.count("unchanged") == 3


@pytest.mark.parametrize("module", ["nerlib/sampling.py", "book/companion/claims.py"])
def test_changed_code_runs_every_chapter_again_and_comments_do_not(copy, module):
    with open(copy / module, "a") as source:
        source.write("# a comment\n")
    assert run(copy).stdout.count("unchanged") == 3
    with open(copy / module, "a") as source:
        source.write("ANSWER = 42\n")
    write_chapter(copy / "book", "a_second", write=False)
    done = run(copy)
    assert done.returncode == 1 and done.stdout.count("running") == 2


def test_published_pages_say_when_they_are_older_than_the_code(book):
    for name in ("z_first", "a_second"):
        write_chapter(book / "book", name)
    done = run(book, "--data", "recorded", "--profile", "fast", "--publish")
    assert done.returncode == 0, done.stderr
    front = book / "out" / "html" / "index.html"
    done = run(book, "--read")
    assert done.returncode == 0, done.stderr
    assert "Recorded data" in front.read_text() and "older than the code" not in front.read_text()
    with open(book / "nerlib" / "sampling.py", "a") as source:
        source.write("ANSWER = 42\n")
    assert run(book, "--read").returncode == 0
    page = front.read_text()
    assert "Outputs older than the code" in page and "2025-01-02 (commit unknown)" in page


def test_page_with_a_warning_is_not_built(copy):
    (copy / "book" / "index.md").write_text("# Tiny\n\n{ref}`nowhere`\n")
    done = run(copy)
    assert done.returncode == 1
    assert "nowhere" in done.stderr and "build.log" in done.stderr
    assert not (copy / "out" / "html").exists()


def test_chapter_without_results_is_refused(book):
    write_chapter(book / "book", "z_first", write=False)
    done = run(book)
    assert done.returncode == 1
    assert "z_first.json: the chapter did not write it" in done.stderr


def test_cell_that_takes_too_long_is_stopped(book):
    write_chapter(book / "book", "z_first", code="import time; time.sleep(60)")
    done = run(book, "--timeout", "1")
    assert done.returncode == 1
    assert "--timeout" in done.stderr and "time.sleep(60)" in done.stderr


def test_two_runs_in_one_folder_are_refused(book):
    (book / "out").mkdir()
    with open(book / "out" / ".lock", "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        done = run(book)
    assert done.returncode == 1 and "another run uses" in done.stderr


@pytest.mark.parametrize(
    "given, message",
    [
        (["rat", "1"], "'rate'"),
        (["nothing_like_it", "1"], "Parameters to set: rate, seeds"),
        (["rate", "fast"], "a_second declares 'rate' as float"),
        (["rate", "True"], "a_second declares 'rate' as float"),
        (["seeds", "1"], "a_second declares 'seeds' as list"),
        (["data", "recorded"], "use --data recorded"),
        (["out", "elsewhere"], "no chapter has this parameter"),
        (["rate", "1", "-p", "rate", "2"], "given twice"),
    ],
)
def test_wrong_parameters_are_refused_before_anything_runs(book, given, message):
    done = run(book, "-p", *given)
    assert done.returncode == 1 and message in done.stderr
    assert not (book / "out").exists()


@pytest.mark.parametrize(
    "line, message",
    [
        ("n = 3", "expected `name: type = default`"),
        ("n: int = 'a'", "n: int"),
        ("n: tuple = ()", "bool, int"),
    ],
)
def test_wrong_parameter_cells_are_refused(book, line, message):
    write_chapter(book / "book", "z_first", parameters=line)
    done = run(book)
    assert done.returncode == 1 and "z_first.ipynb" in done.stderr and message in done.stderr


def test_missing_page_is_refused(book):
    (book / "book" / "a_second.ipynb").unlink()
    done = run(book)
    assert done.returncode == 1 and "names 'a_second'" in done.stderr


@pytest.mark.parametrize("option, wrong", [("--data", "simulatd"), ("--profile", "quik")])
def test_misspelt_settings_are_refused(book, option, wrong):
    done = run(book, option, wrong)
    assert done.returncode == 2 and wrong in done.stderr and "choose from" in done.stderr


@pytest.mark.parametrize(
    "setting, told",
    [
        ("DATA=simulatd", "recorded or simulated"),
        ("PROFILE=quik", "quick, fast or paper"),
        ("DAT=x", "no such setting"),
    ],
)
def test_make_refuses_misspelt_settings(setting, told):
    done = subprocess.run(["make", "--dry-run", "book", setting], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2 and told in done.stderr


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda results: results.pop("records"), "lacks 'records'"),
        (lambda results: results.update(chapter="other"), "chapter is 'other'"),
        (
            lambda results: results["provenance"].update(data="recorded"),
            "data is 'recorded'; expected 'simulated'",
        ),
        (lambda results: results["provenance"].update(date="yesterday"), "date is 'yesterday'"),
        (lambda results: results["provenance"].pop("code"), "provenance lacks 'code'"),
        (lambda results: results["provenance"].pop("commit"), "provenance lacks 'commit'"),
        (lambda results: results["provenance"].update(commit=7), "expected a text or null"),
        (lambda results: results["provenance"].update(versions={}), "versions lacks 'nerlib'"),
        (lambda results: results["headline"][0].pop("low"), "headline[0] lacks 'low'"),
        (lambda results: results["headline"][0].update(ours="0.8"), "expected a number or null"),
        (lambda results: results["headline"][0].update(ours=float("nan")), "holds NaN"),
    ],
)
def test_results_that_break_the_contract_are_refused(first, tmp_path, change, message):
    results = json.loads((first[0] / "out" / "source" / "results" / "z_first.json").read_text())
    path = tmp_path / "z_first.json"
    path.write_text(json.dumps(results))
    assert checker.check_results(path, "simulated", "quick") == results
    change(results)
    path.write_text(json.dumps(results))
    with pytest.raises(checker.BookError) as refused:
        checker.check_results(path, "simulated", "quick")
    assert message in str(refused.value)


def test_jupyter_book_is_version_1():
    assert version("jupyter-book").split(".")[0] == "1"


def test_files_of_the_authors_count_as_present_too(monkeypatch):
    """Chapters that show them run again when the files appear."""
    monkeypatch.syspath_prepend(ROOT / "book")
    from companion import authors_embeddings
    from run import present_sessions

    entries = [SimpleNamespace(name=name, path=path) for name, path in (("here", "a"), ("absent", None))]
    monkeypatch.setattr(catalogue, "ENTRIES", [SimpleNamespace(name="session", path="b")])
    monkeypatch.setattr(authors_embeddings, "ENTRIES", entries)
    assert present_sessions("recorded") == ["session", "here"]
    assert present_sessions("simulated") == []
