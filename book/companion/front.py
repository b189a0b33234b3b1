"""The front page: the claims of the paper in plain words, the figure, and numbers quoted from the chapters.

Everything comes from what chapters wrote: rows whose claim has words for the front page (`claims.claim`),
their `findings` (`results.write_results`), and the outputs of the one cell tagged `front-figure`.
"""

import base64
import json
from collections import Counter
from pathlib import Path
from typing import Any

import nbformat
from jinja2 import Environment, StrictUndefined, UndefinedError

from companion.catalogue import ENTRIES
from companion.headline import headline_rows, headline_text, older_than_code, provenance_note, results_table
from companion.results import BookError, code, write_json, write_text

MOST = 10  # claims on the front page
FIGURE_TAG = "front-figure"
MEANING = {
    "reproduced": "our value is within a tolerance fixed beforehand, or NER leads and the 95 % interval of "
    "its lead excludes zero",
    "higher": "the claim holds, and for some measure our value is above the paper's by more than the "
    "tolerance",
    "partly": "the claim holds for some of the measures only",
    "not reproduced": "our value is lower, or the interval of NER's lead includes zero",
    "undecided": "too few sessions for an interval",
    "not tested": "the recording is not available",
}
NOTES = {"higher": "{} higher than published", "lower": "{} lower than published"}  # else "level in …"
SIGNS = dict(zip(MEANING, "🟢🔵🟡🔴⚪⚪", strict=True))


def number(mean: float, low: float | None = None, high: float | None = None, *, sign: bool = False) -> str:
    """A value with its interval, in as many digits as the interval deserves: two, three if it is narrow."""
    digits = 3 if low is not None and high is not None and high - low < 0.03 else 2
    plus = "+" if sign else ""
    told = f"{mean:{plus}.{digits}f}"
    if low is not None and high is not None:
        told += f" [{low:{plus}.{digits}f}, {high:{plus}.{digits}f}]"
    return told.replace("-", "−")


def verdict(row: dict) -> str:
    """The verdict of a headline row in the words of the front page, a key of `MEANING`."""
    first = row["verdict"].split()[0]
    words = {"reproduced": "reproduced", "ahead": "reproduced", "higher": "higher", "simulated": "not tested"}
    words |= dict.fromkeys(("lower", "level", "behind"), "not reproduced")
    return words.get(first, "undecided")


def claims(results: list[dict]) -> list[dict]:
    """One dict for each claim of the front page, in the order of the chapters.

    Returns
    -------
    list of dict: chapter, claim, recordings (int), verdict (a key of `MEANING`), note (which measures are
    higher, or not reproduced), and of the first measure the paper's value and ours with the measure, as text.
    A simulated claim has no values.

    Raises
    ------
    BookError : more than `MOST` claims
    """
    groups: dict[tuple[str, str], list[dict]] = {}
    for result in results:
        simulated = {"verdict": "simulated"} if result["provenance"]["data"] == "simulated" else {}
        for row in (row | simulated for row in result["headline"]):
            if row.get("front"):
                groups.setdefault((result["chapter"], row["front"]), []).append(row)
    if len(groups) > MOST:
        told = "\n".join(f"  {chapter}: {text}" for chapter, text in groups)
        raise BookError(f"{len(groups)} claims ask for the front page, which has room for {MOST}:\n{told}")
    return [_claim(chapter, text, rows) for (chapter, text), rows in groups.items()]


def _claim(chapter, text, rows):
    words = [verdict(row) for row in rows]
    told = {"chapter": chapter, "claim": text, "note": "", "paper": "—", "ours": "—"}
    mixed = "higher" if set(words) == {"reproduced", "higher"} else "partly"
    told["verdict"] = words[0] if len(set(words)) == 1 else mixed
    first = rows[0]
    told["recordings"] = 0 if words[0] == "not tested" else recorded(first["sessions"])
    if told["verdict"] == "higher":
        told["note"] = ", ".join(_name(row) for row in rows if verdict(row) == "higher")
    elif told["verdict"] == "partly":
        off = [(row["verdict"].split()[0], _name(row)) for row in rows if verdict(row) != "reproduced"]
        told["note"] = "; ".join(
            NOTES.get(how, how + " in {}").format(", ".join(name for its, name in off if its == how))
            for how in dict.fromkeys(how for how, _ in off)
        )
    elif told["verdict"] == "undecided":  # its sessions may be parts of one recording, as the reason says
        told |= {"note": first["reason"], "recordings": 0}
    elif told["verdict"] == "not reproduced":
        told["note"] = first["reason"]
    if words[0] != "not tested":
        lead = first["metric"].startswith("lead in ")
        known = "" if first["paper"] is None else number(first["paper"])
        value = number(first["ours"], first["low"], first["high"], sign=lead)
        name = first["metric"].removeprefix("lead in ")
        told["paper"] = "leads" if lead else known or "—"
        told["ours"] = f"lead {value} in {name}" if lead else f"{value} {name}"
    return told


def _name(row):
    return row["metric"].removeprefix("lead in ").removeprefix("R² of ").removesuffix(" accuracy")


def recorded(sessions: str) -> int:
    """Recordings in a headline row's text, "8 M1 + 6 PMd" being 14."""
    return sum(int(part.split()[0]) for part in sessions.split(" + "))


def table(results: list[dict], *, markdown: bool = False) -> str:
    """The table of the front page, in MyST; with ``markdown`` in the Markdown that GitHub reads."""
    lines = [["Claim of the paper", "Paper", "Ours [95 % interval]", "Verdict"], ["---"] * 4]
    for claim in claims(results):
        word, note, many = claim["verdict"], claim["note"], claim["recordings"]
        if markdown:
            link, chip = f"[{claim['claim']}](book/{claim['chapter']}.ipynb)", f"{SIGNS[word]} {word}"
        else:
            link = f"{{doc}}`{claim['claim']} <{claim['chapter']}>`"
            chip = _chip(word, word)
        about = f" ({many} recording{'s' * (many != 1)})" if many else ""
        lines.append([link + about, claim["paper"], claim["ours"], f"{chip}: {note}" if note else chip])
    if all(claim["verdict"] == "not tested" for claim in claims(results)):
        lines = [[line[0], line[-1]] for line in lines]  # nothing to compare, as in a simulated book
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _chip(word, text):
    return f'<span class="verdict verdict-{word.replace(" ", "-")}">{text}</span>'


def tally(results: list[dict]) -> str:
    """How many claims got each verdict, one sentence in MyST."""
    counts = Counter(claim["verdict"] for claim in claims(results))
    told = [_chip(word, f"{counts[word]} {word}") for word in MEANING if counts[word]]
    return f"Of {counts.total()} claims: {' '.join(told)}"


def key(results: list[dict], *, markdown: bool = False) -> str:
    """What the verdicts in the table mean: a list in MyST, with ``markdown`` one sentence."""
    used = {claim["verdict"] for claim in claims(results)}
    said = {word: meaning for word, meaning in MEANING.items() if word in used}
    if markdown:
        return "; ".join(f"*{word}*: {meaning}" for word, meaning in said.items()) + "."
    return "\n".join(f"- {_chip(word, word)} {meaning}" for word, meaning in said.items())


def fill(text: str, results: list[dict], data: str, *, strict: bool = True, **more: Any) -> str:
    """A page with the numbers that it quotes.

    Parameters
    ----------
    text : str, a Jinja template. ``found(chapter, name)`` is a mean, ``found(chapter, name, interval=True)``
        has its interval, ``lead`` in place of ``found`` has the sign as well; ``digits`` are decimals
    results : list of dict, of all chapters
    data : str, "recorded" or "simulated"; the template may ask for it
    strict : bool, whether a finding that no chapter has is an error; else a dash stands for it, as in a run
        on a few sessions of one's own choice
    **more : further names for the template

    Raises
    ------
    BookError : a chapter or finding that does not exist
    """
    known = {result["chapter"]: result.get("findings", {}) for result in results}

    def found(chapter, name, *, interval=False, sign=False, digits=None):
        if name not in known.get(chapter, {}):
            if not strict:
                return "—"
            names = ", ".join(known.get(chapter, {})) or "none"
            raise BookError(f"a page quotes the finding {name!r} of {chapter}; its findings are: {names}")
        its = known[chapter][name]
        if digits is not None:
            return f"{its['mean']:.{digits}f}".replace("-", "−")
        ends = (its.get("low"), its.get("high")) if interval else ()
        return number(its["mean"], *ends, sign=sign)

    def lead(chapter, name):
        return found(chapter, name, interval=True, sign=True)

    page = Environment(undefined=StrictUndefined, keep_trailing_newline=True).from_string(text)
    try:
        return page.render(found=found, lead=lead, known=known, data=data, **more)
    except UndefinedError as error:
        raise BookError(f"a page asks for something unknown: {error}") from None


def figure(chapters: list[Path]) -> tuple[str, bytes | None, str]:
    """The front page's figure, from the outputs of the cell tagged `front-figure` of an executed chapter.

    Returns
    -------
    (str, HTML of the interactive figure; bytes, the static one as PNG, or None without such a cell; str, its
    text for those who cannot see it)
    """
    for chapter in chapters:
        for cell in nbformat.read(chapter, as_version=4).cells:
            if FIGURE_TAG in cell.metadata.get("tags", []):
                data = [output.get("data", {}) for output in cell.get("outputs", [])]
                html = "".join("".join(its["text/html"]) for its in data if "text/html" in its)
                png = next((its["image/png"] for its in data if "image/png" in its), None)
                alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
                return html, png and base64.b64decode(png), alt
    return "", None, ""


def _sessions(results, data):
    return {
        name.split("/")[0]
        for result in results
        if result["provenance"]["data"] == data
        for name in result["provenance"]["sessions"]
    }


def speed(source: Path) -> dict[str, str]:
    """What was timed (reference/speed.json, of benchmarks/speed.py), as text with its unit."""
    path = source / "reference" / "speed.json"
    rows = json.loads(path.read_text())["rows"] if path.is_file() else []
    return {row["what"]: f"{row['value']:.2g} {row['unit']}" for row in rows}


def recordings() -> str:
    """How many sessions and recordings the paper has, and how many come with the book, in Markdown."""
    lines = [
        "| Monkey | Sessions | M1 | PMd | S1 | Recordings |",
        "|---|---|---|---|---|---|",
    ]
    total: Counter = Counter()
    for monkey in dict.fromkeys(entry.monkey for entry in ENTRIES if entry.blob):
        its = [entry for entry in ENTRIES if entry.monkey == monkey]
        counts = Counter({"here": sum(entry.bundled for entry in its), "paper": len(its)})
        for entry in its:
            for area in entry.areas:
                counts += Counter({area: entry.bundled, f"{area}, paper": 1})
        total += counts
        lines.append(_counted(monkey, counts))
    return "\n".join([*lines, _counted("**All**", total)])


def _counted(name, counts):
    def told(here, paper):
        return f"{here}/{paper}" if paper else "—"

    areas = [(counts[area], counts[f"{area}, paper"]) for area in ("M1", "PMd", "S1")]
    cells = [told(counts["here"], counts["paper"]), *(told(*its) for its in areas)]
    return f"| {name} | {' | '.join(cells)} | {told(*map(sum, zip(*areas, strict=True)))} |"


def readme(text: str, results: list[dict]) -> str:
    """The README, what stands between its markers `headline` written anew from the results."""
    start, end = "<!-- headline: written by make publish-run -->\n", "<!-- /headline -->"
    if start not in text or end not in text:
        raise BookError(f"README.md lacks the markers {start.strip()} and {end}")
    before, rest = text.split(start)
    made = max(result["provenance"]["date"] for result in results)
    block = f"{table(results, markdown=True)}\n\n{key(results, markdown=True)} Run of {made}.\n"
    return f"{before}{start}{block}{rest[rest.index(end) :]}"


def publish(root: Path, chapters: list[Path], results: list[dict]) -> None:
    """Put headline and figure into the README of the project in ``root``, from executed chapters."""
    write_text(root / "README.md", readme((root / "README.md").read_text(), results))
    picture = figure(chapters)[1]
    if picture:
        (root / "book" / "front.png").write_bytes(picture)


def stage(
    source: Path, chapters: list[Path], results: list[dict], data: str, command: str, *, strict: bool
) -> str:
    """Write into ``source`` what the results of chapters make: front page, numbers, table of all results.

    Returns the headline as text for a terminal; results/headline.json has it, too.
    """
    rows = [{"chapter": result["chapter"]} | row for result in results for row in result["headline"]]
    about = {"data": data, "profile": results[0]["provenance"]["profile"], "headline": rows}
    write_json(source / "results" / "headline.json", about)
    write_text(source / "headline.md", older_than_code(results, code()) + provenance_note(results, command))
    headline = headline_rows(results, data)
    write_text(source / "all_rows.md", results_table(*headline))
    html, png, alt = figure([source / chapter.name for chapter in chapters])
    if png:
        (source / "front.png").write_bytes(png)
    for path in sorted(source.glob("*.md")):
        text = path.read_text()
        if "{{" in text or "{%" in text:
            about = {"figure": html, "picture": bool(png), "alt": alt, "speed": speed(source)}
            about |= {"claims": table(results), "key": key(results), "recordings": recordings()}
            about["tally"] = tally(results)
            about["sessions"] = len(_sessions(results, data))
            path.write_text(fill(text, results, data, strict=strict, **about))
    return headline_text(*headline)
