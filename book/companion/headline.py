"""Every verdict of the book: in one table on the page *All results*, in short in the terminal."""

from itertools import zip_longest
from textwrap import wrap

from companion.results import interval_text


def headline_rows(results: list[dict], data: str) -> tuple[list[str], dict[str, list[list[str]]]]:
    """The headline as text, simulated values without the paper's: column names, and chapter -> rows."""

    def number(value):
        return "—" if value is None else f"{value:.3f}".replace("-", "−")

    def duration(seconds):
        if seconds is None:
            return "—"
        value, unit = (seconds, "s") if seconds < 120 else (seconds / 60, "min")
        return f"{value:.0f}\N{NO-BREAK SPACE}{unit}"

    columns: list[str] = []
    found: dict[str, list[list[str]]] = {}
    for result in results:
        for row in result["headline"]:
            paper = None if result["provenance"]["data"] == "simulated" else row["paper"]
            shown = {
                "Claim": row["claim"],
                "Recordings": row["sessions"],
                "Metric": row["metric"],
                "Paper": number(paper),
                "Ours": number(row["ours"]) + interval_text(row),
                "Tolerance": number(None if paper is None else row["tolerance"]),
                "Verdict": row["verdict"] + (f": {row['reason']}" if row["reason"] else ""),
                "Time": duration(row["seconds"]),
            }
            if data == "simulated":
                del shown["Paper"], shown["Tolerance"]
            columns = list(shown)
            rows = found.setdefault(result["chapter"], [])
            rows.append([" ".join(cell.split("\n")) for cell in shown.values()])
    return columns, found


def provenance_note(results: list[dict], command: str) -> str:
    """In MyST: what the data are, and which run made the pages."""
    provenance = [result["provenance"] for result in results]
    data, profile = provenance[0]["data"], provenance[0]["profile"]
    date = max(item["date"] for item in provenance)
    version = provenance[0]["versions"]["nerlib"]
    count = len(
        {name.split("/")[0] for item in provenance if item["data"] == data for name in item["sessions"]}
    )
    devices = "; ".join(dict.fromkeys(item["device"] for item in provenance))
    made = f"Made on {date} with nerlib {version}, profile `{profile}`, by `{command}`, on {devices}."
    if data == "simulated":
        title, style = "SIMULATED data", "warning"
        said = (
            f"Every figure and number in this copy of the book comes from {count} **simulated** sessions: "
            "they show that the code works, say nothing about the brain, and reproduce no value of the paper."
        )
    else:
        title, style = "Recorded data", "note"
        said = f"Figures and numbers in this copy of the book come from {count} **recorded** sessions."
        replaced = [result["chapter"] for result in results if result["provenance"]["data"] == "simulated"]
        if replaced:
            chapters = ", ".join(f"{{doc}}`{name}`" for name in replaced)
            said += (
                f" The recording of {chapters} is not available; fits of that chapter are **SIMULATED**, and "
                "it says so."
            )
    return admonition(title, style, f"{said} {made}")


def results_table(columns: list[str], rows: dict) -> str:
    """Every row in MyST, grouped by chapter; "" without rows."""
    if not rows:
        return ""
    lines = [columns, ["---"] * len(columns)]
    for chapter, its in rows.items():
        lines.append([f"**{{doc}}`{chapter}`**", *[""] * (len(columns) - 1)])
        lines += [[cell.replace("|", r"\|") for cell in row] for row in its]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f":::{{table}} Every result\n:name: every-result\n{table}\n:::\n"


def older_than_code(results: list[dict], code: str) -> str:
    """A warning, in MyST, that outputs are older than the code; "" if all come from the digest ``code``."""
    old = [result["provenance"] for result in results if result["provenance"].get("code") != code]
    if not old:
        return ""
    made = sorted({(item["date"], item.get("commit") or "unknown") for item in old})
    told = ", ".join(f"{date} (commit {commit})" for date, commit in made)
    said = f"The code has changed since these outputs were made, on {told}. `make publish-run` updates them."
    return admonition("Outputs older than the code", "warning", said)


def admonition(title: str, style: str, text: str) -> str:
    """A box in MyST."""
    return f":::{{admonition}} {title}\n:class: {style}\n{text}\n:::\n"


def headline_text(columns: list[str], rows: dict) -> str:
    """The table for a terminal: long cells wrapped, columns padded to their widest line; "" without rows."""
    if not rows:
        return ""
    wrapped = [
        zip_longest(*(wrap(cell, 36) for cell in row), fillvalue="") for its in rows.values() for row in its
    ]
    lines = [columns, *(line for row in wrapped for line in row)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)
