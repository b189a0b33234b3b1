"""The outputs of one recorded run, kept in the chapters, so that the repository reads as the book."""

import hashlib
import json
import re

import nbformat

from results import BookError, write_whole

RESULTS = "published.json"  # beside the chapters: what they found, without the records
DRAWN = re.compile(
    r"(?<=\bT_)[0-9a-f]{5}(?=[_\W])|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|(?<= at 0x)[0-9a-f]+"
)


def code_digest(notebook):
    """A short name for what `notebook` (Path) runs: its code cells and their tags, not prose, not outputs."""
    cells = [cell for cell in nbformat.read(notebook, as_version=4).cells if cell.cell_type == "code"]
    code = [[cell.source, cell.metadata.get("tags", [])] for cell in cells]
    return hashlib.sha256(json.dumps(code).encode()).hexdigest()[:32]


def bare(notebook):
    """The notebook without outputs and without what a published run left."""
    read = nbformat.read(notebook, as_version=4)
    read.metadata.pop("nerlib", None)
    for cell in read.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return read


def settled(outputs):
    """The `outputs` (list of lists) with numbers in place of the names that every run draws anew.

    Ids of tables and figures, and addresses: without them two runs that find the same differ in nothing.
    """
    numbers = {}

    def number(drawn):
        count = numbers.setdefault(drawn[0], len(numbers))
        return re.sub("[0-9a-f]", "0", drawn[0])[:-5] + f"{count:05x}"

    return json.loads(DRAWN.sub(number, json.dumps(outputs)))


def publish(book, chapters, source, results, parameters):
    """Put the outputs of the executed chapters in `source` into those of `book`, with where they come from.

    Parameters
    ----------
    book, source : folders of the chapters, and of the executed ones
    chapters : paths in `book`
    results : list of dict, what each chapter wrote
    parameters : dict, chapter -> the parameters that it was run with
    """
    for chapter, result in zip(chapters, results, strict=True):
        own, executed = bare(chapter), nbformat.read(source / chapter.name, as_version=4)
        ran = [cell for cell in executed.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
        if [cell.source for cell in own.cells] != [cell.source for cell in ran]:
            raise BookError(f"{chapter.name} changed while it ran; run it again")
        for cell, done, outputs in zip(own.cells, ran, settled([c.get("outputs") for c in ran]), strict=True):
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = nbformat.from_dict(outputs), done.execution_count
        own.metadata["nerlib"] = {
            "code": code_digest(chapter),
            "parameters": parameters[chapter.stem],
            "provenance": result["provenance"],
        }
        write_whole(chapter, nbformat.writes(own) + "\n")
    kept = [{key: result[key] for key in ("chapter", "provenance", "headline")} for result in results]
    write_whole(book / RESULTS, json.dumps(kept, indent=1, ensure_ascii=False) + "\n")


def read_published(book, chapters):
    """What the chapters found when they were published; BookError where they do not fit it any more."""
    path = book / RESULTS
    if not path.is_file():
        raise BookError(f"{path} is absent: nothing was published yet; `make publish-run` does it")
    results = json.loads(path.read_text())
    if [result["chapter"] for result in results] != [chapter.stem for chapter in chapters]:
        raise BookError(f"{path} has other chapters than _toc.yml; run `make publish-run`")
    for chapter, result in zip(chapters, results, strict=True):
        kept = nbformat.read(chapter, as_version=4).metadata.get("nerlib", {})
        for key, now in (("code", code_digest(chapter)), ("provenance", result["provenance"])):
            if kept.get(key) != now:
                raise BookError(f"{chapter.name}: its outputs come from other {key}; run `make publish-run`")
    return results
