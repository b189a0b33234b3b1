"""What the runs found: beside the paper, in words, and on disk with all that is needed to find it again."""

import json
import platform
from collections import Counter
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

import nerlib
from nerlib._files import whole_file

METRICS = {
    "velocity_r2": "R² of velocity",
    "position_r2": "R² of position",
    "direction_accuracy": "direction, share right",
}


def versions():
    """Versions of what the numbers rest on: name -> version."""
    packages = {
        name: version(name) for name in ("torch", "numpy", "scipy", "scikit-learn", "numba", "umap-learn")
    }
    return {"nerlib": nerlib.__version__, "python": platform.python_version(), **packages}


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
        lines.append(f"**Absent, and not replaced:** {missing}.")
    return "\n\n".join(lines)


def compare(records, published):
    """Our scores beside the paper's, one row a score.

    Parameters
    ----------
    records : list of dict of `experiments.run`
    published : path of published_within_session.csv, the scores that the authors published

    Returns
    -------
    DataFrame: the columns of the records with "recording" (session and area), "metric", "ours" and "paper".
        The paper's value stands in the rows of the form "published" and the linear decoder, and is NaN where
        it has none.
    """
    table = pd.read_csv(published, dtype={"date": str}).rename(
        columns={"direction_accuracy_peak": "direction_accuracy"}
    )
    ours = pd.DataFrame(records)
    ours["recording"] = ours["session"] + " " + ours["area"]
    key = ["monkey", "date", "area", "method", "decoder", "split"]
    return _beside(ours, table.assign(decoder="linear"), key)


def compare_transfer(records, published):
    """Our scores across sessions beside the paper's, one row a score.

    Parameters
    ----------
    records : list of dict of `experiments.transfer`
    published : path of published_cross_session.csv, the scores that the authors published

    Returns
    -------
    DataFrame as of `compare`, "recording" naming both sessions; with "from" and "to" (session and area)
    """
    dates = dict.fromkeys(("source_date", "target_date"), str)
    table = pd.read_csv(published, dtype=dates).rename(
        columns={
            "source_date": "date",
            "source_area": "area",
            "velocity_r2_swapped": "velocity_r2",
            "direction_accuracy_peak": "direction_accuracy",
        }
    )
    table["target_monkey"] = table["monkey"]
    table.loc[table["n_components"] == 16, "method"] += "-16"
    ours = pd.DataFrame(records)
    ours["from"], ours["to"] = (
        ours["session"] + " " + ours["area"],
        ours["target"] + " " + ours["target_area"],
    )
    ours["recording"] = ours["from"] + " → " + ours["to"]
    key = ["monkey", "date", "area", "target_monkey", "target_date", "target_area", "method", "decoder"]
    return _beside(ours, table.drop_duplicates(key), key)


def compare_curved(records, published):
    """Our scores of the groups of `data.open_maze` beside the paper's, one row a score.

    Parameters
    ----------
    records : list of dict of `experiments.run`
    published : path of published_curved_reaches.csv. Its CEBRA saw no direction, so that it stands
        beside "CEBRA-velocity"

    Returns
    -------
    DataFrame as of `compare`, "recording" naming the group; with "task" and "trial_types"
    """
    table = pd.read_csv(published, dtype={"trial_types": str}).replace(
        {"method": {"CEBRA": "CEBRA-velocity"}}
    )
    table = table.rename(columns={f"{metric}_train": metric for metric in METRICS})
    table = table.assign(split="train", decoder="linear", direction_accuracy=np.nan)
    ours = pd.DataFrame(records)
    ours[["task", "trial_types"]] = ours["session"].str.extract(r"\S+ (\S+) (.+)").to_numpy()
    ours["recording"] = ours["task"] + ", types " + ours["trial_types"]
    return _beside(ours, table, ["task", "trial_types", "method", "split", "decoder"])


def _beside(ours, paper, key):
    """One row a score; the paper's stand in the rows of the form "published"."""
    metrics = list(METRICS)
    paper = paper.melt(key, metrics, "metric", "paper").assign(form="published")
    ours = ours.melt([c for c in ours if c not in METRICS], metrics, "metric", "ours")
    table = ours.merge(paper, on=[*key, "form", "metric"], how="left")
    table.loc[table["simulated"], "paper"] = np.nan  # beside a simulated score nothing of the paper stands
    return table


def summary(scores):
    """One row a method: means over recordings, and their spread over seeds.

    Where the paper has values, only the recordings that it has values for count, so that both columns are
    means over the same ones.

    Parameters
    ----------
    scores : DataFrame of `compare`, of one split, form and decoder

    Returns
    -------
    DataFrame of text, index method, columns (metric, "ours" or "paper")
    """
    if scores["paper"].notna().any():
        scores = scores[scores["recording"].isin(scores.loc[scores["paper"].notna(), "recording"])]
    by_seed = scores.groupby(["method", "metric", "seed"], sort=False)[["ours", "paper"]].mean()
    by_method = by_seed.groupby(["method", "metric"], sort=False)
    mean, spread = by_method.mean(), by_method["ours"].std().fillna(0)
    ours = [
        f"{m:.3f}" + (f" ± {s:.3f}" if s > 5e-4 else "") for m, s in zip(mean["ours"], spread, strict=True)
    ]
    paper = ["—" if np.isnan(m) else f"{m:.3f}" for m in mean["paper"]]
    table = pd.DataFrame({"ours": ours, "paper": paper}, index=mean.index)
    table = table if mean["paper"].notna().any() else table[["ours"]]
    return table.unstack("metric").swaplevel(axis=1).sort_index(axis=1).loc[scores["method"].unique()]


def lead(scores, method="NER"):
    """By how much a method is ahead: the mean over recordings and seeds of its score less every other's.

    Parameters
    ----------
    scores : DataFrame of `compare`, of one split, form and decoder
    method : str

    Returns
    -------
    DataFrame, index the other methods, columns the metrics; positive where ``method`` is better
    """
    means = scores.groupby(["metric", "method"], sort=False)["ours"].mean().unstack("metric")
    return means.loc[method] - means.drop(index=method)


def claim(text, sessions, metric, values, *, paper=None, tolerance=None, at_least=None, seconds=None):
    """One row of the headline table: a claim of the paper, what was measured, and the verdict.

    Parameters
    ----------
    text : str, the claim
    sessions : list of Session that it was tested on
    metric : str
    values : our values, one a seed
    paper : float or None (or NaN), the paper's value for the same sessions; simulated sessions have none
    tolerance : float or None, how far ours may be from the paper's, set before the run
    at_least : float or None, what ours must reach where the paper gives no value, set before the run
    seconds : float or None, time spent

    Returns
    -------
    dict, a row for `write_results`
    """
    ours = float(np.mean(values))
    paper = None if paper is None or np.isnan(paper) else float(paper)
    simulated = any(session.simulated for session in sessions)
    if simulated:
        paper, verdict = None, "simulated"
    elif at_least is not None:
        verdict = f"holds (≥ {at_least:g})" if ours >= at_least else f"does not hold (< {at_least:g})"
    elif paper is None:
        verdict = "no published value"
    elif abs(ours - paper) <= tolerance:
        verdict = "reproduced"
    else:
        verdict = f"{'higher' if ours > paper else 'lower'} by {abs(ours - paper):.3f}"
    areas = Counter(session.area for session in sessions)
    return {
        "claim": text,
        "sessions": " + ".join(f"{n} {area}" for area, n in areas.items()),
        "metric": metric,
        "paper": paper,
        "ours": ours,
        "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        "tolerance": None if simulated else tolerance,
        "verdict": verdict,
        "seconds": seconds,
    }


def verdicts(results):
    """The headline of `write_results` as a list in Markdown, and where it comes from."""
    rows, origin = results["headline"], results["provenance"]
    lines = [f"- {r['claim']}, {r['metric']}: {r['ours']:.3f}; **{r['verdict']}**." for r in rows]
    packages = ", ".join(f"{name} {number}" for name, number in origin["versions"].items())
    lines += [
        "",
        f"*{origin['data'].capitalize()} data, {len(origin['sessions'])} recordings; "
        f"profile {origin['profile']}; "
        f"seeds {', '.join(map(str, origin['seeds']))}; {packages}; {origin['date']}.*",
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
        tolerance, verdict, seconds

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
        headline = [row | {"verdict": "quick run, no verdict"} for row in headline]
    content = {
        "chapter": Path(path).stem,
        "provenance": {
            "data": "simulated" if sessions[0].simulated else "recorded",
            "profile": profile,
            "seeds": [int(seed) for seed in seeds],
            "versions": versions(),
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
