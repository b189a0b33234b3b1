"""Results files of the chapters: written with their provenance, checked, read again, put into words."""

import json
import platform
import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import NoneType
from typing import Any, NoReturn

import numpy as np

import nerlib
from companion.intervals import Estimate
from nerlib._files import write_whole
from nerlib._provenance import source_digest, versions
from nerlib.session import Session

ROOT = Path(__file__).resolve().parents[2]
LONG = 10  # a chapter's verdicts that are read at a glance
KINDS = {"text": str, "text or null": (str, NoneType), "number or null": (int, float, NoneType)}
KINDS |= {"list": list, "object": dict}
HEADLINE = dict.fromkeys(("claim", "sessions", "metric", "verdict", "reason", "front"), "text")
HEADLINE |= dict.fromkeys(("paper", "ours", "low", "high", "tolerance", "seconds"), "number or null")
PROVENANCE = dict.fromkeys(("data", "profile", "code", "device", "date"), "text")
PROVENANCE |= {"commit": "text or null", "seeds": "list", "versions": "object", "sessions": "object"}
FILE = {"chapter": "text", "provenance": "object", "headline": "list", "records": "list"}
FILE |= {"findings": "object"}


class BookError(Exception):
    """An error that stops the run; the message says what was found, what was expected and what to do."""


def code() -> str:
    """Digest of the source of nerlib and companion, without comments and docstrings."""
    return source_digest(Path(nerlib.__file__).parent, Path(__file__).parent)


def commit() -> str | None:
    """Short hash of the commit that is checked out, "+changes" if files differ from it; None without git."""

    def git(*command: str) -> str:
        done = subprocess.run(["git", "-C", ROOT, *command], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != ROOT:
            return None  # a copy inside another project's checkout
        return git("describe", "--always", "--exclude=*", "--dirty=+changes")
    except (OSError, subprocess.CalledProcessError):
        return None


def device() -> str:
    """The machine that times were measured on: cores that this process may use, processor, GPU if any."""
    import joblib
    import torch

    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.split(": ")[1] for line in lines if line.startswith("model name")]
    gpus = [torch.cuda.get_device_name()] if torch.cuda.is_available() else []
    processor = [*names, platform.processor() or platform.machine()][0]
    cores = joblib.cpu_count()
    return ", ".join([f"{cores} core{'s' * (cores > 1)}", processor, *gpus])


def write_results(
    path: str | Path,
    *,
    sessions: Sequence[Session],
    profile: str,
    seeds: Iterable[int],
    records: Iterable[dict] = (),
    headline: Iterable[dict] = (),
    findings: Mapping[str, float | Estimate] | None = None,
    files: dict[str, str] | None = None,
) -> dict:
    """Write the results of a chapter with their provenance, atomically.

    Parameters
    ----------
    path : file name ending in .json; its stem is the chapter
    sessions : list of Session that the numbers come from, either all simulated or all recorded
    profile : str
    seeds : ints
    records : list of dict, tidy
    headline : list of dict, rows of `claims.claim`
    findings : dict or None, name -> number or Estimate that other pages quote (`front.fill`)
    files : dict or None, name -> git blob id of further files that the numbers come from

    Returns
    -------
    dict, what was written

    Raises
    ------
    ValueError : no sessions, or simulated and recorded ones together
    """
    n_simulated = sum(session.simulated for session in sessions)
    if not sessions or n_simulated not in (0, len(sessions)):
        raise ValueError(
            f"{n_simulated} of {len(sessions)} sessions are simulated; the sessions of a results file must "
            "be all simulated or all recorded"
        )
    content = {
        "chapter": Path(path).stem,
        "provenance": {
            "data": "simulated" if n_simulated else "recorded",
            "profile": profile,
            "seeds": [int(seed) for seed in seeds],
            "code": code(),
            "commit": commit(),
            "versions": versions(),
            "device": device(),
            "sessions": {f"{s.name}/{s.area}": s.digest for s in sessions},
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            **({} if files is None else {"files": files}),
        },
        "headline": list(headline),
        "findings": {
            name: value._asdict() if isinstance(value, Estimate) else {"mean": float(value)}
            for name, value in (findings or {}).items()
        },
        "records": list(records),
    }
    write_json(path, content)
    return content


def write_json(path: str | Path, content: Any) -> None:
    """Write JSON, numpy values included, as `write_text` does."""
    write_text(path, json.dumps(content, indent=1, default=_plain))


def write_text(path: str | Path, text: str) -> None:
    """Write a text file, its folder as well; a reader sees the old file or the whole new one."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with write_whole(path) as partial:
        partial.write_text(text)


def _plain(value):
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def check_results(path: Path, data: str, profile: str) -> dict:
    """The results that a chapter wrote to ``path``; BookError where they break the rules of these files.

    The keys are those of `FILE`, `HEADLINE` and `PROVENANCE`. Missing values are null, numbers are finite.
    """

    def refuse(what: str) -> NoReturn:
        raise BookError(f"{path.name}: {what}")

    def need(holder, where, fields):
        if not isinstance(holder, dict):
            refuse(f"{where} is a {type(holder).__name__}; expected an object")
        for key, kind in fields.items():
            if key not in holder:
                refuse(f"{where} lacks {key!r}; it has {', '.join(holder) or 'no keys'}")
            if not isinstance(holder[key], KINDS[kind]) or isinstance(holder[key], bool):
                refuse(f"{where}[{key!r}] is {holder[key]!r}; expected a {kind}")

    if not path.is_file():
        refuse(f"the chapter did not write it; expected it in {path.parent.name}/")
    try:
        text = path.read_text()
        results = json.loads(text, parse_constant=lambda name: refuse(f"it holds {name}; expected null"))
    except json.JSONDecodeError as error:
        refuse(f"invalid JSON ({error})")
    need(results, "the file", FILE)
    found = results["provenance"]
    need(found, "provenance", PROVENANCE)
    need(found["versions"], "versions", {"nerlib": "text"})
    for i, row in enumerate(results["headline"]):
        need(row, f"headline[{i}]", HEADLINE)
    data = "simulated" if found["data"] == "simulated" else data  # may replace an unavailable recording
    expected = {"chapter": path.stem, "profile": profile, "data": data}
    for key, value in expected.items():
        if (results | found)[key] != value:
            refuse(f"{key} is {(results | found)[key]!r}; expected {value!r}")
    try:
        datetime.fromisoformat(found["date"])
    except ValueError:
        refuse(f"date is {found['date']!r}; expected YYYY-MM-DD")
    return results


def kept_records(path: str | Path, sessions: Sequence[Session]) -> list[dict]:
    """Records of an earlier, longer run on these very sessions.

    Parameters
    ----------
    path : file of `write_results`
    sessions : list of Session

    Returns
    -------
    list of dict, its records on the sessions whose content is the same; of pairs, both must be
    """
    kept = json.loads(Path(path).read_text())
    content = kept["provenance"]["sessions"]
    same = {(s.name, s.area) for s in sessions if content.get(f"{s.name}/{s.area}") == s.digest}
    ends = [("session", "area"), ("target", "target_area")]
    return [
        record
        for record in kept["records"]
        if all((record[name], record[area]) in same for name, area in ends if name in record)
    ]


def describe(sessions: Sequence[Session], absent: Iterable[tuple] = (), *, profile: str) -> str:
    """The data that a chapter shows, as Markdown; ``absent`` holds tuples (name, area, reason)."""
    if not sessions:
        raise ValueError(f"no session is available: {absent}; set NERLIB_DATA, or use simulated data")
    simulated = any(session.simulated for session in sessions)
    names = ", ".join(f"{session.name} {session.area}" for session in sessions)
    by_reason: dict[str, list[str]] = {}
    for name, area, reason in absent:
        by_reason.setdefault(reason, []).append(f"{name} {area}")
    count = f"{len(sessions)} recording{'s' * (len(sessions) > 1)}"
    kind = f"**{'SIMULATED' if simulated else 'Recorded'}** · profile `{profile}` · {count}"
    lines = [f"{kind}: {names}." if len(sessions) == 1 and not by_reason else f"{kind}."]
    if simulated:
        lines.append("These numbers test the code. They say nothing about the brain, and reproduce nothing.")
    if profile == "quick":
        lines.append(
            "Quick: one seed; pi-VAE, UMAP (except in chapters 2 and 10) and nearest-neighbor decoders are "
            "left out."
        )
    if len(sessions) > 1 or by_reason:
        missing = "; ".join(f"{', '.join(names)} ({reason})" for reason, names in by_reason.items())
        what = "absent, replaced by simulated sessions" if simulated else "absent, not replaced"
        number = sum(map(len, by_reason.values()))
        title = f"Which recordings{f', and the {number} that are {what}' if number else ''}"
        told = [f"{names}.", *([f"**{what.capitalize()}:** {missing}."] if number else [])]
        lines.append("\n\n".join([f"<details><summary>{title}</summary>", *told, "</details>"]))
    return "\n\n".join(lines)


def interval_text(row: dict) -> str:
    """The 95 % interval of a headline row, "" where it has none."""
    return "" if row["low"] is None else f" [{row['low']:.3f}, {row['high']:.3f}]".replace("-", "−")


def verdicts(results: dict) -> str:
    """The headline of `write_results` as a Markdown list, a long one counted and folded; its provenance."""
    rows, origin = results["headline"], results["provenance"]
    lines = [
        f"- {r['claim']}, {r['metric']}: {r['ours']:.3f}{interval_text(r)}; **{r['verdict']}**"
        + (f" ({r['reason']})." if r["reason"] else ".")
        for r in rows
    ]
    if len(rows) > LONG:
        counts = Counter(row["verdict"] for row in rows).most_common()
        title = f"{len(rows)} verdicts: {', '.join(f'{count} {verdict}' for verdict, count in counts)}"
        lines = [f"<details><summary>{title}</summary>", "", *lines, "", "</details>"]
    packages = ", ".join(f"{name} {number}" for name, number in origin["versions"].items())
    lines += [
        "",
        f"*{origin['data'].capitalize()} data, {len(origin['sessions'])} "
        f"recording{'s' * (len(origin['sessions']) != 1)}; profile {origin['profile']}; "
        f"seed{'s' * (len(origin['seeds']) != 1)} {', '.join(map(str, origin['seeds']))}; "
        f"{packages}; {origin['device']}; {origin['date']}.*",
    ]
    return re.sub(r"(?<!\w)-(?=\d)", "−", "\n".join(lines))
