"""Make the book: run its chapters in order, check what they write, build the pages.

    python book/run.py --data simulated --profile quick [-p name value] ...

The book's own folder is only read. Everything is made in the output folder (build/<data>-<profile>):
source/ holds the staged pages and executed chapters, source/results/ what the chapters computed, and
html/ the site. Only what changed is made again. A chapter must declare the parameters `data: str`,
`profile: str` and `out: str = "results"`, and write results/<chapter>.json (see `check_results`).
"""

import argparse
import ast
import difflib
import fcntl
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

sys.dont_write_bytecode = True  # the book's folder is only read

try:
    import yaml

    import nerlib
    from published import bare, publish, read_published
    from results import BookError, check_results, headline_page, headline_rows, headline_text, write_whole
except ModuleNotFoundError as error:
    sys.exit(f"book/run.py: {error}. Run `make book`, which installs all of it, or use .venv/bin/python.")

ROOT = Path(__file__).resolve().parent.parent
CELL_SECONDS = {"quick": 1800, "fast": 6 * 3600, "paper": 72 * 3600}
TYPES = {"bool": bool, "int": int, "float": float, "str": str, "list": list}
MATHJAX = ("tex-chtml.js", "input/tex/extensions/", "output/chtml/fonts/")  # all that a page can ask for


# --- chapters and their parameters ----------------------------------------------------------------


def read_toc(book):
    """The chapters (paths of notebooks) of `book`, in the order of its _toc.yml."""

    def files(node):
        if isinstance(node, list):
            return [name for item in node for name in files(item)]
        if isinstance(node, dict):
            own = [node[key] for key in ("root", "file") if key in node]
            return own + files(list(node.values()))
        return []

    toc = book / "_toc.yml"
    if not toc.is_file():
        raise BookError(f"{toc} does not exist; a book's folder holds _toc.yml and the pages it names")
    names = files(yaml.safe_load(toc.read_text()))
    for name in names:
        if not any((book / f"{name}{suffix}").is_file() for suffix in (".ipynb", ".md")):
            raise BookError(f"{toc} names {name!r}, but {book} holds neither {name}.ipynb nor {name}.md")
    chapters = [book / f"{name}.ipynb" for name in names if (book / f"{name}.ipynb").is_file()]
    if not chapters:
        raise BookError(f"{toc} names no notebook; expected at least one chapter")
    return chapters


def declared_parameters(notebook):
    """{name: (type, default)} from the cell of `notebook` that is tagged `parameters`."""
    cells = json.loads(notebook.read_text())["cells"]
    cells = ["".join(cell["source"]) for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    if len(cells) != 1:
        raise BookError(f"{notebook.name} has {len(cells)} cells tagged `parameters`; expected exactly one")
    lines, declared = cells[0].splitlines(), {}
    for statement in ast.parse(cells[0]).body:
        try:
            kind = statement.annotation.id
            default = ast.literal_eval(statement.value)
            if not isinstance(default, (float, int) if kind == "float" else TYPES[kind]):
                raise TypeError
            declared[statement.target.id] = (kind, default)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise BookError(
                f"{notebook.name}, parameters cell: {lines[statement.lineno - 1]!r}; expected "
                f"`name: type = default`, the type one of {', '.join(TYPES)} and the default of that type"
            ) from None
    for name in ("data", "profile", "out"):
        if declared.get(name, ("",))[0] != "str":
            raise BookError(
                f"{notebook.name} must declare the parameter `{name}: str` in its parameters cell"
            )
    if declared["out"][1] != "results":
        raise BookError(f'{notebook.name}: `out` is {declared["out"][1]!r} by default; expected "results"')
    return declared


def parse_value(text, kind):
    """The value that `text` spells, which must be of the type named `kind`; ValueError if it is not."""
    if kind == "str":
        return text
    try:
        value = ast.literal_eval(text.strip())
    except (SyntaxError, ValueError):
        value = {"true": True, "false": False}.get(text.strip().lower())
    if kind == "float" and type(value) is int:
        value = float(value)
    if type(value) is not TYPES[kind]:
        raise ValueError
    return value


def assign_parameters(given, declared):
    """What each chapter gets of the `given` (name, text) pairs; refuses unknown names and wrong types."""
    assigned = {chapter: {} for chapter in declared}
    known = sorted({name for names in declared.values() for name in names} - {"data", "profile", "out"})
    for i, (name, text) in enumerate(given):
        if name in ("data", "profile"):
            raise BookError(f"-p {name} {text}: use --{name} {text}")
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            names = ", ".join(known) or "none"
            raise BookError(f"-p {name}: no chapter has this parameter; {hint}Parameters to set: {names}")
        if name in dict(given[:i]):
            raise BookError(f"-p {name} is given twice; give it once")
        for chapter, names in declared.items():
            if name not in names:
                continue
            kind = names[name][0]
            try:
                assigned[chapter][name] = parse_value(text, kind)
            except ValueError:
                raise BookError(f"-p {name} {text}: {chapter} declares {name!r} as {kind}") from None
    return assigned


# --- what is done already -------------------------------------------------------------------------


def digest(value):
    """A short name for the content of a file (Path; None if absent) or of any value that JSON can hold."""
    if isinstance(value, Path):
        if not value.is_file():
            return None
        data = value.read_bytes()
    else:
        data = json.dumps(value, sort_keys=True, default=str).encode()
    return hashlib.sha256(data).hexdigest()[:32]


def digest_tree(folder, pattern="*"):
    """One digest for the names and contents of all files under `folder` that match `pattern`."""
    files = sorted(path for path in folder.rglob(pattern) if path.is_file())
    hidden = ("__pycache__", ".ipynb_checkpoints")
    names = [path.relative_to(folder) for path in files]
    kept = [name for name in names if not set(hidden) & set(name.parts)]
    return digest([(name.as_posix(), digest(folder / name)) for name in kept])


class State:
    """What is done, kept in one file: the fingerprint and outputs of every chapter, and of the site."""

    def __init__(self, path):
        self.path = path
        try:
            self.done = json.loads(path.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            self.done = {}

    def set(self, name, value):
        """Record `value` for `name`; None forgets it."""
        self.done[name] = value
        write_whole(self.path, json.dumps(self.done, indent=1))


@contextmanager
def locked(folder):
    """Refuse a second run in the same folder; a crash frees the lock by itself."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"another run is at work in {folder}; wait for it, or give --output another folder"
            raise BookError(message) from None
        yield


# --- running --------------------------------------------------------------------------------------


def stage(book, chapters, source):
    """Copy the book, without its notebooks, into `source`; keep what earlier runs made there."""
    source.mkdir(exist_ok=True)
    keep = {"results", *(chapter.name for chapter in chapters)}
    for path in source.iterdir():
        if path.name not in keep:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    skip = shutil.ignore_patterns("*.ipynb", "*.py", "published.json", "__pycache__", ".*")
    shutil.copytree(book, source, ignore=skip, dirs_exist_ok=True)
    (source / "results").mkdir(exist_ok=True)


def prepare_kernel(output):
    """Chapters run with this very Python, whatever kernels the machine has, and know they are in the book."""
    kernel = ["-m", "ipykernel_launcher", "--log-level=CRITICAL", "-f", "{connection_file}"]
    spec = {"argv": [sys.executable, *kernel]}
    folder = output / "jupyter" / "kernels" / "python3"
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "kernel.json", json.dumps(spec | {"display_name": "Python 3", "language": "python"}))
    os.environ["JUPYTER_PATH"] = str(output / "jupyter")
    os.environ["IPYTHONDIR"] = str(output / "jupyter" / "ipython")
    os.environ["NERLIB_BOOK"] = "1"
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # else the debugger warns in every kernel
    os.environ["PYTHONWARNINGS"] = "ignore:IProgress not found"  # tqdm misses widgets, which no page can show
    for name in ("NERLIB_DATA", "NERLIB_CACHE"):  # relative to here, not to where the chapters run
        if os.environ.get(name):
            os.environ[name] = str(Path(os.environ[name]).expanduser().resolve())


def present_sessions(data):
    """Names of the recorded sessions that are on this machine; simulated sessions need none."""
    if data == "simulated":
        return []
    try:
        sessions = nerlib.list_sessions()
    except FileNotFoundError as error:
        raise BookError(error) from None
    return sessions["name"][sessions["present"]].tolist()


def run_chapter(notebook, source, parameters, timeout):
    """Execute `notebook` into `source`; BookError with the cell's traceback if it fails."""
    import nbformat
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    executed = source / notebook.name
    try:
        nbformat.write(bare(notebook), executed)
        papermill.execute_notebook(
            executed,
            executed,
            parameters=parameters,
            kernel_name="python3",
            language="python",
            cwd=source,
            progress_bar=sys.stderr.isatty(),
            execution_timeout=timeout,
        )
    except papermill.PapermillExecutionError as failure:
        text = "\n".join(failure.traceback) or f"{failure.ename}: {failure.evalue}"
        text = text if sys.stderr.isatty() else re.sub(r"\x1b\[[0-9;]*m", "", text)
        # of errors that led to one another the last; the notebook has them all
        raise BookError(
            re.split(r"\n(?:The above exception|During handling of)[^\n]*:\n", text)[-1]
        ) from None
    except CellTimeoutError as failure:
        raise BookError(f"{failure}\nA cell may take {timeout} s here; --timeout gives it longer") from None
    except DeadKernelError as failure:
        raise BookError(f"{failure}. Was there enough memory?") from None
    executed_notebook = nbformat.read(executed, as_version=4)
    for part in (executed_notebook, *executed_notebook.cells):
        part.metadata.pop("papermill", None)  # times, and paths of this machine
    nbformat.write(executed_notebook, executed)


# --- the site -------------------------------------------------------------------------------------


def mark_simulated(config, output):
    """A copy of the settings that puts a banner on every page, so that no page can be taken for a result."""
    settings = yaml.safe_load(config.read_text())
    banner = "SIMULATED data: this page shows that the code works, and nothing about the brain."
    settings["html"] = settings.get("html", {}) | {"announcement": banner}
    write_whole(output / "_config.yml", yaml.safe_dump(settings))
    return output / "_config.yml"


def build_site(source, config, output):
    """Build the pages of `source` into output/html; every warning is an error."""
    if not version("jupyter-book").startswith("1."):
        raise BookError(f"jupyter-book {version('jupyter-book')} is installed; this book needs version 1")
    shutil.rmtree(output / "_build", ignore_errors=True)
    build = "from jupyter_book.cli.main import main; main()"
    options = ["--config", config, "--path-output", output, "-q", "-W", "-n", "--keep-going"]
    command = [sys.executable, "-c", build, "build", source, *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    site = output / "_build" / "html"
    if done.returncode or not (site / "index.html").is_file():
        (output / "build.log").write_text(done.stdout)
        found = [line for line in done.stdout.splitlines() if "WARNING" in line or "ERROR" in line]
        told = "\n".join(found or done.stdout.splitlines()[-20:])
        raise BookError(f"{told}\nThe pages were not built; all of it is in {output / 'build.log'}")
    (output / "build.log").unlink(missing_ok=True)
    share_scripts(site)
    os.replace(site, output / "html")
    shutil.rmtree(output / "_build")


def share_scripts(site):
    """Put plotly beside the pages that use it, and drop of MathJax what no page can ask for."""
    pages = [page.read_text() for page in site.glob("*.html")]
    if any("plotly.min.js" in page for page in pages):
        from plotly.offline import get_plotlyjs

        (site / "plotly.min.js").write_text(get_plotlyjs())
    mathjax = site / "_static" / "mathjax"
    wanted = MATHJAX if any("mathjax/tex-chtml.js" in page for page in pages) else ()
    for path in [path for path in mathjax.rglob("*") if path.is_file()]:
        if not path.relative_to(mathjax).as_posix().startswith(tuple(wanted)):
            path.unlink()
    for folder in sorted((path for path in mathjax.rglob("*") if path.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()


# --- all of it ------------------------------------------------------------------------------------


def make_book(book, config, output, data, profile, given, timeout, publishing=False):
    """Run what must run, build what must be built; returns the site's front page and the headline's text."""
    chapters = read_toc(book)
    declared = {chapter.stem: declared_parameters(chapter) for chapter in chapters}
    assigned = assign_parameters(given, declared)
    with locked(output):
        state, source = State(output / "state.json"), output / "source"
        stage(book, chapters, source)
        prepare_kernel(output)
        common = [
            platform.python_version(),
            digest(ROOT / "constraints.txt"),
            digest_tree(Path(nerlib.__file__).parent, "*.py"),
            [digest_tree(folder) for folder in sorted(book.iterdir()) if folder.is_dir()],
        ]
        if state.done.get("sessions") != present_sessions(data):
            state.done = {}
        results = []
        for i, chapter in enumerate(chapters, 1):
            parameters = assigned[chapter.stem] | {"data": data, "profile": profile}
            written = source / "results" / f"{chapter.stem}.json"
            files = (source / chapter.name, written)
            cells = digest(bare(chapter))
            label = f"chapter {i}/{len(chapters)}  {chapter.stem:24}"
            if state.done.get(chapter.stem) == digest([*map(digest, files), cells, parameters, common]):
                print(f"{label}  unchanged", flush=True)
            else:
                print(f"{label}  running", flush=True)
                started = time.monotonic()
                state.set(chapter.stem, None)
                state.set("site", None)
                shutil.rmtree(output / "html", ignore_errors=True)
                written.unlink(missing_ok=True)
                try:
                    run_chapter(chapter, source, parameters, timeout)
                    check_results(written, data, profile)
                except BookError as failure:
                    raise BookError(
                        f"{failure}\n\n{chapter.stem} failed; the notebook as far as it got: "
                        f"{source / chapter.name}\nNo pages were built. Chapters that passed are kept."
                    ) from None
                finally:  # what the chapter fetched is no reason to run it again
                    state.set("sessions", present_sessions(data))
                state.set(chapter.stem, digest([*map(digest, files), cells, parameters, common]))
                print(f"{label}  done in {time.monotonic() - started:.0f} s", flush=True)
            results.append(json.loads(written.read_text()))

        if publishing:
            parameters = {chapter.stem: assigned[chapter.stem] for chapter in chapters}
            publish(book, chapters, source, results, parameters)
        columns, rows = headline_rows(results, data)
        command = f"make {'publish-run' if publishing else f'book DATA={data}'} PROFILE={profile}"
        if given:
            options = shlex.join(word for pair in given for word in ("-p", *pair))
            quoted = shlex.quote(options) if set(options) & set('"$`\\') else f'"{options}"'
            command += f" ARGS={quoted}"
        write_whole(source / "headline.md", headline_page(results, columns, rows, command))
        headline = [{"chapter": result["chapter"]} | row for result in results for row in result["headline"]]
        merged = {"data": data, "profile": profile, "nerlib": nerlib.__version__, "headline": headline}
        write_whole(source / "results" / "headline.json", json.dumps(merged, indent=1, ensure_ascii=False))

        made_from = digest([digest_tree(source), digest(config), digest(Path(__file__)), common])
        if state.done.get("site") == made_from and (output / "html" / "index.html").is_file():
            print("pages        unchanged", flush=True)
        else:
            print("pages        building", flush=True)
            state.set("site", None)
            shutil.rmtree(output / "html", ignore_errors=True)
            build_site(source, mark_simulated(config, output) if data == "simulated" else config, output)
            state.set("site", made_from)
    return output / "html" / "index.html", headline_text(columns, rows) if rows else ""


def read_book(book, config, output):
    """Build the pages from the outputs that the chapters carry; nothing is run."""
    chapters = read_toc(book)
    results = read_published(book, chapters)
    with locked(output):
        source = output / "source"
        shutil.rmtree(source, ignore_errors=True)
        stage(book, chapters, source)
        for chapter in chapters:
            shutil.copy(chapter, source)
        columns, rows = headline_rows(results, "recorded")
        profile = results[0]["provenance"]["profile"]
        write_whole(
            source / "headline.md",
            headline_page(results, columns, rows, f"make publish-run PROFILE={profile}"),
        )
        shutil.rmtree(output / "html", ignore_errors=True)
        build_site(source, config, output)
    return output / "html" / "index.html", headline_text(columns, rows)


def main():
    """The command line: 0 if the book stands, 1 if it does not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--data", choices=["simulated", "recorded"], default="simulated")
    parser.add_argument("--profile", choices=list(CELL_SECONDS), default="quick")
    parser.add_argument(
        "-p",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="set a parameter that a chapter declares; may be repeated",
    )
    parser.add_argument("--output", type=Path, help="where to make the book (build/<data>-<profile>)")
    parser.add_argument("--publish", action="store_true", help="keep the outputs in the book's own notebooks")
    parser.add_argument("--read", action="store_true", help="run nothing: build the pages from kept outputs")
    parser.add_argument("--book", type=Path, default=ROOT / "book", help="the folder that holds _toc.yml")
    parser.add_argument("--config", type=Path, default=ROOT / "_config.yml", help="Jupyter Book's settings")
    parser.add_argument("--timeout", type=int, help="seconds that one cell may take")
    args = parser.parse_args()
    if args.publish and (args.data != "recorded" or args.profile == "quick"):
        parser.error("--publish needs --data recorded and --profile fast or paper")
    name = "read" if args.read else f"{args.data}-{args.profile}"
    output = (args.output or ROOT / "build" / name).resolve()
    timeout = args.timeout or CELL_SECONDS[args.profile]
    given = [tuple(pair) for pair in args.p]
    started = time.monotonic()
    try:
        if args.read:
            front, headline = read_book(args.book, args.config, output)
        else:
            run = (args.data, args.profile, given, timeout, args.publish)
            front, headline = make_book(args.book, args.config, output, *run)
    except BookError as failure:
        print(f"\n{failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; chapters that were done are kept for the next run", file=sys.stderr)
        return 130
    about = "As published" if args.read else f"{args.data.upper()} data, profile {args.profile}"
    print(f"\n{about}\n{headline}\n")
    print(f"The book: {front}  ({time.monotonic() - started:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
