"""What chapters write for the runner, checked, and the headline that is made of it."""

import json
from datetime import datetime
from itertools import zip_longest
from textwrap import wrap

from nerlib import __version__
from nerlib._files import whole_file

NUMBER = (int, float, type(None))
HEADLINE = {
    "claim": str,
    "sessions": str,
    "metric": str,
    "paper": NUMBER,
    "ours": NUMBER,
    "sd": NUMBER,
    "tolerance": NUMBER,
    "verdict": str,
    "reason": str,
    "seconds": NUMBER,
}
PROVENANCE = {
    "data": str,
    "profile": str,
    "seeds": list,
    "versions": dict,
    "device": str,
    "sessions": dict,
    "date": str,
}


class BookError(Exception):
    """What stops the run; the message says what was found, what was expected and what to do."""


def check_results(path, data, profile):
    """The results that a chapter wrote to `path`, checked.

    {"chapter": its name, "records": [...], "headline": [rows], "provenance": {...}}, with the keys of
    `HEADLINE` and `PROVENANCE`. Values that do not exist are null; numbers are finite; the date is ISO 8601.
    """

    def refuse(what):
        raise BookError(f"{path.name}: {what}")

    def need(holder, where, fields):
        if not isinstance(holder, dict):
            refuse(f"{where} is a {type(holder).__name__}; expected an object")
        for key, kinds in fields.items():
            if key not in holder:
                refuse(f"{where} lacks {key!r}; it holds {', '.join(holder) or 'nothing'}")
            if not isinstance(holder[key], kinds) or isinstance(holder[key], bool):
                names = "number or null" if kinds is NUMBER else kinds.__name__
                refuse(f"{where}[{key!r}] is {holder[key]!r}; expected a {names}")

    if not path.is_file():
        refuse(f"the chapter did not write it; expected it in {path.parent.name}/")
    try:
        text = path.read_text()
        results = json.loads(text, parse_constant=lambda name: refuse(f"it holds {name}; expected null"))
    except json.JSONDecodeError as error:
        refuse(f"no valid JSON ({error})")
    need(results, "the file", {"chapter": str, "provenance": dict, "headline": list, "records": list})
    need(results["provenance"], "provenance", PROVENANCE)
    for i, row in enumerate(results["headline"]):
        need(row, f"headline[{i}]", HEADLINE)
    expected = {"chapter": path.stem, "data": data, "profile": profile}
    for key, value in expected.items():
        found = results["chapter"] if key == "chapter" else results["provenance"][key]
        if key == "data" and found == "simulated":
            continue  # a recording may not be to be had; what stands in for it is marked in every row
        if found != value:
            refuse(f"{key} is {found!r}; expected {value!r}")
    try:
        datetime.fromisoformat(results["provenance"]["date"])
    except ValueError:
        refuse(f"date is {results['provenance']['date']!r}; expected YYYY-MM-DD")
    return results


def headline_rows(results, data):
    """The headline as text: column names, and chapter -> rows. Beside a simulated value stands none of the
    paper's.
    """

    def number(value):
        return "—" if value is None else f"{value:.3g}"

    def duration(seconds):
        if seconds is None:
            return "—"
        value, unit = (seconds, "s") if seconds < 120 else (seconds / 60, "min")
        return f"{value:.0f}\N{NO-BREAK SPACE}{unit}"

    def cells(row, simulated):
        paper = None if simulated else row["paper"]
        spread = "" if row["sd"] is None else f"\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}{row['sd']:.2g}"
        return {
            "Claim": row["claim"],
            "Sessions": row["sessions"],
            "Metric": row["metric"],
            "Paper": number(paper),
            "Ours": number(row["ours"]) + spread,
            "Tolerance": number(None if paper is None else row["tolerance"]),
            "Verdict": row["verdict"] + (f": {row['reason']}" if row["reason"] else ""),
            "Time": duration(row["seconds"]),
        }

    columns, found = [], {}
    for result in results:
        for row in result["headline"]:
            shown = cells(row, result["provenance"]["data"] == "simulated")
            if data == "simulated":
                del shown["Paper"], shown["Tolerance"]
            columns = list(shown)
            rows = found.setdefault(result["chapter"], [])
            rows.append([" ".join(cell.split("\n")) for cell in shown.values()])
    return columns, found


def headline_page(results, columns, rows, command):
    """What stands at the top of the book, in MyST: what the data are, what made it, and the table."""
    provenance = [result["provenance"] for result in results]
    data, profile = provenance[0]["data"], provenance[0]["profile"]
    date = max(item["date"] for item in provenance)
    sessions = {
        kind: {name.split("/")[0] for item in provenance if item["data"] == kind for name in item["sessions"]}
        for kind in ("simulated", "recorded")
    }
    count = len(sessions[data])
    devices = "; ".join(dict.fromkeys(item["device"] for item in provenance))
    made = (
        f"Made on {date} with nerlib {__version__}, profile `{profile}`, by `{command}`. "
        f"Times are processor time of all fits behind a row, on {devices}."
    )
    if data == "simulated":
        title, style, caption = "SIMULATED data", "warning", "SIMULATED sessions"
        said = (
            f"Every figure and number in this copy of the book comes from {count} **simulated** sessions: "
            "they show that the code works, say nothing about the brain, and reproduce no value of the paper."
        )
    else:
        title, style, caption = "Recorded data", "note", "Recorded sessions"
        said = f"Figures and numbers in this copy of the book come from {count} **recorded** sessions."
        stand_ins = [result["chapter"] for result in results if result["provenance"]["data"] == "simulated"]
        if stand_ins:
            chapters = ", ".join(f"{{doc}}`{name}`" for name in stand_ins)
            said += (
                f" The recording of {chapters} was not to be had; that chapter is **SIMULATED**, and says so."
            )
    text = f":::{{admonition}} {title}\n:class: {style}\n{said} {made}\n:::\n"
    if not rows:
        return text
    lines = [columns, ["---"] * len(columns)]
    for chapter, its in rows.items():
        lines.append([f"**{{doc}}`{chapter}`**", *[""] * (len(columns) - 1)])
        lines += [[cell.replace("|", r"\|") for cell in row] for row in its]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{text}\n:::{{table}} {caption}\n:name: headline\n{table}\n:::\n"


def headline_text(columns, rows):
    """The table for a terminal: long cells wrapped, columns padded to their widest line."""
    wrapped = [
        zip_longest(*(wrap(cell, 36) for cell in row), fillvalue="") for its in rows.values() for row in its
    ]
    lines = [columns, *(line for row in wrapped for line in row)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def write_whole(path, text):
    """Write `path` so that a crash leaves the old file or the new one, never half of one."""
    with whole_file(path) as partial:
        partial.write_text(text)
