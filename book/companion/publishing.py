"""The outputs of one recorded run, kept in the chapters, so that the repository can be read as the book.

`make check` compares the headline of a new run with that of the kept one.
"""

import base64
import hashlib
import io
import json
import re
import sys
from pathlib import Path

import nbformat
from PIL import Image

from companion.results import BookError, write_text

TOLERANCE = 0.05  # of headline rows that state none, such as leads
RESULTS = "published.json"  # beside the chapters: their results without the records
RANDOM_ID = re.compile(r"(?<=\bT_)[0-9a-f]{5}(?=[_\W])|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
ADDRESS = re.compile(r"(?<= at 0x)[0-9a-f]+")  # several objects of one run may have the same


def code_digest(notebook: Path) -> str:
    """Digest of the code cells of a notebook and their tags, without prose and outputs."""
    cells = [cell for cell in nbformat.read(notebook, as_version=4).cells if cell.cell_type == "code"]
    code = [[cell.source, cell.metadata.get("tags", [])] for cell in cells]
    return hashlib.sha256(json.dumps(code).encode()).hexdigest()[:32]


def strip_outputs(notebook: Path) -> nbformat.NotebookNode:
    """The notebook without outputs and without the metadata of a published run."""
    read = nbformat.read(notebook, as_version=4)
    read.metadata.pop("nerlib", None)
    for cell in read.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return read


def settled(outputs: list) -> list:
    """The outputs (list of lists) with numbers for random ids of tables and figures, and without addresses.

    So two runs with the same results have the same outputs.
    """
    numbers: dict[str, int] = {}

    def number(found):
        count = numbers.setdefault(found[0], len(numbers))
        return re.sub("[0-9a-f]", "0", found[0])[:-5] + f"{count:05x}"

    return json.loads(RANDOM_ID.sub(number, ADDRESS.sub("0", json.dumps(outputs))))


def compact_pictures(notebook: nbformat.NotebookNode) -> None:
    """Store the PNG outputs of a notebook with a palette of 256 colours: a third of the size, in place."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            picture = output.get("data", {}).get("image/png")
            if picture:
                image = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
                smaller = io.BytesIO()
                few = image.quantize(256, dither=Image.Dither.NONE)
                few.save(smaller, "PNG", optimize=True)
                output["data"]["image/png"] = base64.b64encode(smaller.getvalue()).decode() + "\n"


def publish(book: Path, chapters: list[Path], source: Path, results: list[dict], parameters: dict) -> None:
    """Put the outputs of the executed chapters into those of the book, with their provenance.

    Parameters
    ----------
    book, source : folders of the chapters, and of the executed ones
    chapters : paths in ``book``
    results : list of dict, what each chapter wrote
    parameters : dict, chapter -> the parameters that it was run with
    """
    for chapter, result in zip(chapters, results, strict=True):
        own, executed = strip_outputs(chapter), nbformat.read(source / chapter.name, as_version=4)
        ran = [cell for cell in executed.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
        if [cell.source for cell in own.cells] != [cell.source for cell in ran]:
            raise BookError(f"{chapter.name} changed while it ran; run it again")
        for cell, done, outputs in zip(own.cells, ran, settled([c.get("outputs") for c in ran]), strict=True):
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = nbformat.from_dict(outputs), done.execution_count
        about = {"code": code_digest(chapter), "parameters": parameters[chapter.stem]}
        own.metadata["nerlib"] = about | {"provenance": result["provenance"]}
        write_text(chapter, nbformat.writes(own) + "\n")
    keys = ("chapter", "provenance", "headline", "findings")
    kept = [{key: result[key] for key in keys} for result in results]
    write_text(book / RESULTS, json.dumps(kept, indent=1, ensure_ascii=False) + "\n")


def read_published(book: Path, chapters: list[Path]) -> list[dict]:
    """The results of the published chapters, without records; BookError where a chapter does not fit them."""
    path = book / RESULTS
    if not path.is_file():
        raise BookError(f"{path} does not exist: nothing was published yet; run `make publish-run`")
    results = json.loads(path.read_text())
    if [result["chapter"] for result in results] != [chapter.stem for chapter in chapters]:
        raise BookError(f"{path} has other chapters than _toc.yml; run `make publish-run`")
    for chapter, result in zip(chapters, results, strict=True):
        kept = nbformat.read(chapter, as_version=4).metadata.get("nerlib", {})
        for key, now in (("code", code_digest(chapter)), ("provenance", result["provenance"])):
            if kept.get(key) != now:
                raise BookError(f"{chapter.name}: its outputs come from other {key}; run `make publish-run`")
    return results


def differences(kept: list[dict], made: list[dict]) -> list[str]:
    """Where the headline rows of a new run differ from the kept ones by more than the rows' tolerance.

    Returns a list of str, one for each such row, for rows no longer reproduced, and for those of one run
    alone. Rows of simulated sessions do not count.
    """
    rows, again = (
        {(row["claim"], row["metric"]): row for row in headline if row["verdict"] != "simulated"}
        for headline in (kept, made)
    )
    found = [f"{' '.join(key)}: in one run alone" for key in rows.keys() ^ again.keys()]
    for key in rows.keys() & again.keys():
        before, now = rows[key], again[key]
        lost = before["verdict"] == "reproduced" != now["verdict"]
        allowed = before["tolerance"] or TOLERANCE
        if lost or abs(now["ours"] - before["ours"]) > allowed:
            told = [f"{row['ours']:.3f} ({row['verdict']})" for row in (before, now)]
            found.append(f"{' '.join(key)}: was {told[0]}, is {told[1]}")
    return sorted(found)


def check(headline: Path) -> None:
    """Exit with the differences between a run's headline.json and the kept outputs; see `differences`."""
    kept = json.loads((Path(__file__).parents[1] / RESULTS).read_text())
    made = json.loads(headline.read_text())["headline"]
    found = differences([row for result in kept for row in result["headline"]], made)
    told = [f"{len(found)} headline rows differ from the published ones:", *found]
    sys.exit("\n".join(told) if found else 0)


if __name__ == "__main__":
    check(Path(sys.argv[1]))
