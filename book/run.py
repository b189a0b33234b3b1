"""Make the book: run its chapters in order, check their results, build the pages.

    python book/run.py --data recorded --profile quick [-p name value] ...

Everything is made in the output folder (build/<data>-<profile>): source/ holds the staged pages and executed
chapters, source/results/ their results, html/ the site. Only what changed is made again. A chapter declares
the parameters `data: str`, `profile: str` and `out: str = "results"`, and writes results/<chapter>.json.
"""

import argparse
import ast
import difflib
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir
from pathlib import Path
from threading import Lock

sys.dont_write_bytecode = True  # the book's folder is only read

try:
    from filelock import FileLock, Timeout
    from sphinx_external_toc.parsing import parse_toc_yaml

    import pages
    from companion import front
    from companion.publishing import compact_pictures, publish, read_published, strip_outputs
    from companion.results import BookError, check_results, code, write_json
except ModuleNotFoundError as error:
    sys.exit(f"book/run.py: {error}. Run `make book`, which installs all of it, or use .venv/bin/python.")

BOOK = Path(__file__).resolve().parent
ROOT = BOOK.parent
CONFIG = ROOT / "_config.yml"  # settings of Jupyter Book
CELL_SECONDS = {"quick": 1800, "fast": 6 * 3600, "paper": 72 * 3600}
TYPES = {"bool": bool, "int": int, "float": float, "str": str, "list": list}
CACHES = {"__pycache__", ".ipynb_checkpoints"}
GIVEN = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "LOKY_MAX_CPU_COUNT")}  # by the user


def read_toc(book: Path = BOOK) -> list[Path]:
    """The chapters (notebooks) of a book, in the order of its _toc.yml."""
    toc = book / "_toc.yml"
    names = list(parse_toc_yaml(toc))
    for name in names:
        if not any((book / f"{name}{suffix}").is_file() for suffix in (".ipynb", ".md")):
            raise BookError(f"{toc} names {name!r}, but {book} holds neither {name}.ipynb nor {name}.md")
    chapters = [book / f"{name}.ipynb" for name in names if (book / f"{name}.ipynb").is_file()]
    if not chapters:
        raise BookError(f"{toc} names no notebook; expected at least one chapter")
    return chapters


def declared_parameters(notebook):
    """{name: (type, default)} from the cell of a notebook that is tagged `parameters`."""
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
            raise BookError(f"{notebook.name}: its parameters cell must declare `{name}: str`")
    if declared["out"][1] != "results":
        raise BookError(f'{notebook.name}: `out` is {declared["out"][1]!r} by default; expected "results"')
    return declared


def groups(chapters):
    """The chapters in the order in which they run, in groups that may run side by side.

    One tagged `alone` comes first, by itself: it uses all cores, and others reuse its fits. One tagged
    `timed` comes last, by itself, since it measures times.
    """

    def tagged(chapter, tag):
        return any(
            tag in cell["metadata"].get("tags", []) for cell in json.loads(chapter.read_text())["cells"]
        )

    alone, timed = ([chapter for chapter in chapters if tagged(chapter, tag)] for tag in ("alone", "timed"))
    rest = [chapter for chapter in chapters if chapter not in alone + timed]
    return [group for group in (*([c] for c in alone), rest, *([c] for c in timed)) if group]


def parse_value(text, kind):
    """The value that a text spells; ValueError if it is not of the type named ``kind``."""
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
    """The given (name, text) pairs by chapter, as values; refuses unknown names and wrong types."""
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
        for chapter, kind in ((c, names[name][0]) for c, names in declared.items() if name in names):
            try:
                assigned[chapter][name] = parse_value(text, kind)
            except ValueError:
                raise BookError(f"-p {name} {text}: {chapter} declares {name!r} as {kind}") from None
    return assigned


def digest(value):
    """A digest of a file or folder (Path; None if absent), or of any value that JSON can hold."""
    if isinstance(value, Path) and value.is_dir():
        paths = sorted(path for path in value.rglob("*") if path.is_file() and not CACHES & set(path.parts))
        value = [(path.relative_to(value).as_posix(), digest(path)) for path in paths]
    if not isinstance(value, Path):
        data = json.dumps(value, sort_keys=True, default=str).encode()
    elif value.is_file():
        data = value.read_bytes()
    else:
        return None
    return hashlib.sha256(data).hexdigest()[:32]


class State:
    """What is up to date, in one file: the fingerprint of every chapter and its outputs, and of the site."""

    def __init__(self, path):
        self.path, self.lock = path, Lock()
        self.done = json.loads(path.read_text()) if path.is_file() else {}

    def set(self, **values):
        """Record values by name; None forgets one."""
        with self.lock:
            self.done |= values
            write_json(self.path, self.done)


def stage(chapters, source):
    """Copy the pages and their data, without notebooks and code, into ``source``; keep earlier results."""
    (source / "results").mkdir(parents=True, exist_ok=True)
    keep = {"results", *(chapter.name for chapter in chapters)}
    for path in source.iterdir():
        if path.name not in keep:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    skip = ("*.ipynb", "*.py", "companion", "recordings", "results", "published.json", "__pycache__", ".*")
    shutil.copytree(BOOK, source, ignore=shutil.ignore_patterns(*skip), dirs_exist_ok=True)
    if (ROOT / "CITATION.cff").is_file():  # the page *How to cite* shows it
        shutil.copy(ROOT / "CITATION.cff", source)


def share_cores(group):
    """Chapters that run side by side share the cores, unless the user set these numbers."""
    beside = {"OMP_NUM_THREADS": 1, "LOKY_MAX_CPU_COUNT": max(1, (os.cpu_count() or 1) // 2)}
    for name, count in beside.items():  # threads of linear algebra, and processes of joblib
        if not GIVEN[name]:
            os.environ.pop(name, None)
            os.environ |= {name: str(count)} if len(group) > 1 else {}


def prepare_kernel(output):
    """Run chapters with this very Python, whatever kernels are installed, and let them find companion."""
    kernel = ["-m", "ipykernel_launcher", "--log-level=CRITICAL", "-f", "{connection_file}"]
    spec = {"argv": [sys.executable, *kernel], "display_name": "Python 3", "language": "python"}
    write_json(output / "jupyter" / "kernels" / "python3" / "kernel.json", spec)
    os.environ |= {
        "JUPYTER_PATH": str(output / "jupyter"),
        "IPYTHONDIR": str(output / "jupyter" / "ipython"),
        "NERLIB_BOOK": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(BOOK), os.environ.get("PYTHONPATH")])),
        "PYTHONDONTWRITEBYTECODE": "1",  # the book's folder is only read
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # else the debugger warns in every kernel
        # tqdm asks for widgets, which no page can show; loky replaces workers whose memory has grown
        "PYTHONWARNINGS": "ignore:IProgress not found,ignore:A worker stopped while some jobs",
    }
    for name in ("NERLIB_DATA", "NERLIB_CACHE"):  # relative to here, not to where the chapters run
        if os.environ.get(name):
            os.environ[name] = str(Path(os.environ[name]).expanduser().resolve())


def present_sessions(data):
    """Names of the recorded files that are on this machine; simulated sessions need none."""
    from companion import authors_embeddings, catalogue

    entries = [*catalogue.ENTRIES, *authors_embeddings.ENTRIES] if data == "recorded" else []
    try:
        return [entry.name for entry in entries if entry.path]
    except FileNotFoundError as error:
        raise BookError(error) from None


def run_chapter(notebook, source, parameters, timeout):
    """Execute a notebook into ``source``; BookError with the cell's traceback if it fails."""
    import nbformat
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    executed = source / notebook.name
    try:
        nbformat.write(strip_outputs(notebook), executed)
        options = {"kernel_name": "python3", "language": "python", "execution_timeout": timeout}
        ran = papermill.execute_notebook(executed, executed, parameters, progress_bar=False, **options)
    except papermill.PapermillExecutionError as failure:
        text = "\n".join(failure.traceback) or f"{failure.ename}: {failure.evalue}"
        text = text if sys.stderr.isatty() else re.sub(r"\x1b\[[0-9;]*m", "", text)
        last = re.split(r"\n(?:The above exception|During handling of)[^\n]*:\n", text)[-1]
        raise BookError(last) from None  # the notebook has the errors that led to the last
    except CellTimeoutError as failure:
        raise BookError(f"{failure}\nA cell may take {timeout} s here; --timeout gives it longer") from None
    except DeadKernelError as failure:
        raise BookError(f"{failure}. Was there enough memory?") from None
    for part in (ran, *ran.cells):
        part.metadata.pop("papermill", None)  # times, and paths of this machine
        if "injected-parameters" in part.metadata.get("tags", []):
            part.metadata["tags"].append("hide-input")  # folded, like the parameters that it replaces
    compact_pictures(ran)
    nbformat.write(ran, executed)


def tell(text):
    """Print a line, whole: chapters run in threads, and `print` writes a line's end by itself."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def make_book(output, data, profile, given, timeout, publishing):
    """Run and build what is not up to date; returns the site's front page and the headline's text."""
    chapters = read_toc()
    declared = {chapter.stem: declared_parameters(chapter) for chapter in chapters}
    assigned = assign_parameters(given, declared)
    with FileLock(output / ".lock", timeout=0):
        state, source = State(output / "state.json"), output / "source"
        stage(chapters, source)
        prepare_kernel(output)
        files = [path for path in sorted(BOOK.glob("*/")) if path.name not in ("companion", "results")]
        files += [ROOT / "constraints.txt", *sorted(BOOK.glob("companion/*.csv"))]
        common = [platform.python_version(), code(), [digest(path) for path in files]]
        if state.done.get("sessions") != present_sessions(data):
            state.done = {}
            state.set(sessions=present_sessions(data))

        def make_chapter(chapter):
            parameters = assigned[chapter.stem] | {"data": data, "profile": profile}
            written = source / "results" / f"{chapter.stem}.json"
            files, cells = (source / chapter.name, written), digest(strip_outputs(chapter))
            label = f"chapter {chapters.index(chapter) + 1}/{len(chapters)}  {chapter.stem:24}"
            if state.done.get(chapter.stem) == digest([*map(digest, files), cells, parameters, common]):
                tell(f"{label}  unchanged")
            else:
                tell(f"{label}  running")
                started = time.monotonic()
                state.set(**{chapter.stem: None, "site": None})
                shutil.rmtree(output / "html", ignore_errors=True)
                written.unlink(missing_ok=True)
                try:
                    run_chapter(chapter, source, parameters, timeout)
                    check_results(written, data, profile)
                except BookError as failure:
                    raise BookError(
                        f"{failure}\n\n{chapter.stem} failed; its notebook up to the error: "
                        f"{source / chapter.name}\nNo pages were built. Chapters that passed are kept."
                    ) from None
                state.set(**{chapter.stem: digest([*map(digest, files), cells, parameters, common])})
                tell(f"{label}  done in {time.monotonic() - started:.0f} s")
            return json.loads(written.read_text())

        with chdir(source), ThreadPoolExecutor(2) as pool:  # while one draws, another one fits
            made = {}
            for group in groups(chapters):
                share_cores(group)
                made |= zip(group, pool.map(make_chapter, group), strict=True)
        results = [made[chapter] for chapter in chapters]

        if publishing:
            publish(BOOK, chapters, source, results, assigned)
            front.publish(ROOT, [source / chapter.name for chapter in chapters], results)
        command = f"make {'publish-run' if publishing else f'book DATA={data}'} PROFILE={profile}"
        if given:
            options = shlex.join(word for pair in given for word in ("-p", *pair))
            quoted = shlex.quote(options) if set(options) & set('"$`\\') else f'"{options}"'
            command += f" ARGS={quoted}"
        headline = front.stage(source, chapters, results, data, command, strict=publishing)
        made_from = digest([digest(source), digest(CONFIG), *map(digest, sorted(BOOK.glob("*.py"))), common])
        if state.done.get("site") == made_from and (output / "html" / "index.html").is_file():
            print("pages        unchanged", flush=True)
        else:
            print("pages        building", flush=True)
            state.set(site=None)
            config = pages.mark_simulated(CONFIG, output) if data == "simulated" else CONFIG
            pages.build_site(source, config, output)
            state.set(site=made_from)
    return output / "html" / "index.html", headline


def read_book(output):
    """Build the pages from the outputs that the chapters carry; nothing is run."""
    chapters = read_toc()
    results = read_published(BOOK, chapters)
    with FileLock(output / ".lock", timeout=0):
        source = output / "source"
        shutil.rmtree(source, ignore_errors=True)
        stage(chapters, source)
        for chapter in chapters:
            shutil.copy(chapter, source)
        command = f"make publish-run PROFILE={results[0]['provenance']['profile']}"
        headline = front.stage(source, chapters, results, "recorded", command, strict=True)
        pages.build_site(source, CONFIG, output)
    return output / "html" / "index.html", headline


def main():
    """The command line: 0 on success, 1 on failure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--data", choices=["recorded", "simulated"], default="recorded")
    parser.add_argument("--profile", choices=list(CELL_SECONDS), default="quick")
    parser.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"),
                        help="set a parameter that a chapter declares; may be repeated")  # fmt: skip
    parser.add_argument("--output", type=Path, help="where to make the book (build/<data>-<profile>)")
    parser.add_argument("--publish", action="store_true", help="keep the outputs in the book's own notebooks")
    parser.add_argument("--read", action="store_true", help="run nothing: build the pages from kept outputs")
    parser.add_argument("--timeout", type=int, help="seconds that one cell may take")
    args = parser.parse_args()
    if args.publish and (args.data != "recorded" or args.profile == "quick"):
        parser.error("--publish needs --data recorded and --profile fast or paper")
    name = "read" if args.read else f"{args.data}-{args.profile}"
    output = (args.output or ROOT / "build" / name).resolve()
    started = time.monotonic()
    try:
        if args.read:
            page, headline = read_book(output)
        else:
            timeout = args.timeout or CELL_SECONDS[args.profile]
            page, headline = make_book(output, args.data, args.profile, args.p, timeout, args.publish)
    except (BookError, Timeout) as failure:
        told = f"another run uses {output}; wait for it, or give --output another folder"
        print(f"\n{told if isinstance(failure, Timeout) else failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; chapters that were done are kept for the next run", file=sys.stderr)
        return 130
    about = "As published" if args.read else f"{args.data.upper()} data, profile {args.profile}"
    print(f"\n{about}\n{headline}\n\nThe book: {page}  ({time.monotonic() - started:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
