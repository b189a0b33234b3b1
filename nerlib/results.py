"""What the runs found: on disk with all that is needed to find it again, and in words for the pages."""

import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

import nerlib
from nerlib._files import whole_file


def versions():
    """Versions of what the numbers rest on: name -> version."""
    packages = {
        name: version(name) for name in ("torch", "numpy", "scipy", "scikit-learn", "numba", "umap-learn")
    }
    return {"nerlib": nerlib.__version__, "python": platform.python_version(), **packages}


def device():
    """What times were measured on, in words: cores that this process may use, processor, GPU if any."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.split(": ")[1] for line in lines if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpus = [torch.cuda.get_device_name()] if torch.cuda.is_available() else []
    return ", ".join([f"{cores} cores", *(names or [platform.processor() or platform.machine()])[:1], *gpus])


def describe(sessions, absent=(), *, profile):
    """What a chapter shows, as Markdown for its first lines.

    Parameters
    ----------
    sessions : list of Session
    absent : list of (name, area, reason)
    profile : str
    """
    if not sessions:
        raise ValueError(
            f"none of the sessions is available: {absent}; set NERLIB_DATA, or use simulated data"
        )
    simulated = any(session.simulated for session in sessions)
    names = ", ".join(f"{session.name} {session.area}" for session in sessions)
    lines = [
        f"**{'SIMULATED' if simulated else 'Recorded'}** · profile `{profile}` · "
        f"{len(sessions)} recording{'s' if len(sessions) > 1 else ''}: {names}."
    ]
    if simulated:
        lines.append("These numbers test the code. They say nothing about the brain, and reproduce nothing.")
    if absent:
        by_reason = {}
        for name, area, reason in absent:
            by_reason.setdefault(reason, []).append(f"{name} {area}")
        missing = "; ".join(f"{', '.join(names)} ({reason})" for reason, names in by_reason.items())
        what = "Absent; simulated sessions stand in" if simulated else "Absent, and not replaced"
        lines.append(f"**{what}:** {missing}.")
    return "\n\n".join(lines)


def kept_records(path, sessions):
    """What an earlier, longer run found on these very sessions.

    Parameters
    ----------
    path : file of `write_results`
    sessions : list of Session

    Returns
    -------
    list of dict, its records on those whose content is the same; both ends of a pair must be
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


def verdicts(results):
    """The headline of `write_results` as a list in Markdown, and where it comes from."""
    rows, origin = results["headline"], results["provenance"]
    lines = [
        f"- {r['claim']}, {r['metric']}: {r['ours']:.3f}; **{r['verdict']}**"
        + (f" ({r['reason']})." if r["reason"] else ".")
        for r in rows
    ]
    packages = ", ".join(f"{name} {number}" for name, number in origin["versions"].items())
    lines += [
        "",
        f"*{origin['data'].capitalize()} data, {len(origin['sessions'])} "
        f"recording{'s' * (len(origin['sessions']) != 1)}; profile {origin['profile']}; "
        f"seed{'s' * (len(origin['seeds']) != 1)} {', '.join(map(str, origin['seeds']))}; "
        f"{packages}; {origin['device']}; {origin['date']}.*",
    ]
    return "\n".join(lines)


def write_results(path, *, sessions, profile, seeds, records=(), headline=()):
    """Write what a chapter found, with all that is needed to find it again; atomically.

    Parameters
    ----------
    path : file name ending in .json; its stem is the chapter
    sessions : list of Session that the numbers come from, either all simulated or all recorded
    profile : str
    seeds : ints
    records : list of dict, tidy
    headline : list of dict for the front page, with the keys claim, sessions, metric, paper, ours, sd,
        tolerance, verdict, reason, seconds

    Returns
    -------
    dict, what was written

    Raises
    ------
    ValueError : simulated and recorded sessions together
    """
    if len({session.simulated for session in sessions}) != 1:
        raise ValueError("results come from simulated or from recorded sessions, never from both or none")
    if profile == "quick" and not sessions[0].simulated:
        headline = [row | {"verdict": "quick run, no verdict", "reason": ""} for row in headline]
    content = {
        "chapter": Path(path).stem,
        "provenance": {
            "data": "simulated" if sessions[0].simulated else "recorded",
            "profile": profile,
            "seeds": [int(seed) for seed in seeds],
            "versions": versions(),
            "device": device(),
            "sessions": {f"{s.name}/{s.area}": s.digest for s in sessions},
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        },
        "headline": list(headline),
        "records": list(records),
    }
    write_json(Path(path), content)
    return content


def write_json(path, content):
    """Write JSON so that a reader sees the old file or the whole new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial, partial.open("w") as file:
        json.dump(content, file, indent=1, default=_plain)


def _plain(value):
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
