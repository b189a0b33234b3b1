"""Rows of `control_runs` in tables and sentences: means over recordings with intervals over sessions."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from IPython.display import display

from companion import controls, intervals
from companion.comparison import METRICS
from companion.intervals import Estimate
from companion.results import kept_records
from nerlib.models import METHODS
from nerlib.session import Session

TITLES = METRICS | {
    "single_trial_r2": "single-trial R²",
    "single_trial_correlation": "single-trial correlation",
    "onset_r2": "single-trial R² from movement onset",
    "onset_correlation": "single-trial correlation from movement onset",
    "endpoint": "endpoint error (mm), velocity summed",
    "endpoint_direct": "endpoint error (mm), position decoded",
    "direct_r2": "R² of position, decoded itself",
    "angle_error": "error of the reach's angle (degrees)",
    "wrong": "wrong directions, share of trials",
    "neighbour": "share of these next to the true target",
    "r2": "agreement of trial averages (R²)",
}


def per_recording(rows: pd.DataFrame, by: Sequence[str], metric: str) -> pd.DataFrame:
    """One row a group of ``by`` and recording (or pair): means over seeds; missing scores are dropped."""
    ends = ["session", "area"]
    if "target" in rows and rows["target"].notna().any():
        ends.append("target")
    return rows.groupby([*by, *ends], sort=False, dropna=False)[metric].mean().dropna().reset_index()


def means(rows: pd.DataFrame, by: Sequence[str], metric: str) -> dict[tuple, Estimate]:
    """Group of ``by`` -> the mean of a score over recordings (or pairs), with its interval over sessions."""
    each = per_recording(rows, by, metric)
    return {key: _estimate(part, metric) for key, part in each.groupby(list(by), sort=False)}


def table(rows: pd.DataFrame, by: Sequence[str], metrics: Sequence[str]) -> pd.DataFrame:
    """`means` of several scores as text, one row a group of ``by``, one column a score."""
    columns = {
        TITLES[metric]: {key: str(found) for key, found in means(rows, by, metric).items()}
        for metric in metrics
    }
    told = pd.DataFrame(columns).fillna("—")
    told.index.names = list(by)
    return told


def lead(rows: pd.DataFrame, column: str, first, second, metric: str = "velocity_r2") -> Estimate | None:
    """By how much one value of a column exceeds another, recording by recording; None where none has both."""
    each = per_recording(rows[rows[column].isin([first, second])], [column], metric)
    ends = [name for name in ("session", "area", "target") if name in each]
    wide = each.pivot(index=ends, columns=column, values=metric).dropna().reset_index()
    if not {first, second} <= set(wide) or not len(wide):
        return None
    return _estimate(wide.assign(**{metric: wide[first] - wide[second]}), metric)


def settle(
    lead: Estimate | None, *, ahead: str, level: str, behind: str, undecided: str = "Too few to say."
) -> str:
    """The sentence that a difference allows, by its `intervals.verdict`."""
    if lead is None:
        return undecided
    return {"ahead": ahead, "level": level, "behind": behind}.get(intervals.verdict(lead), undecided)


def shared(rows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """The rows of the recordings (or pairs) that every group of ``by`` has, so that means compare."""
    ends = [name for name in ("session", "area", "target") if name in rows]
    groups = rows.groupby(list(by), sort=False).ngroups
    sizes = rows.assign(group=rows.groupby(list(by), sort=False).ngroup()).fillna({"target": ""})
    full = sizes.groupby(ends, sort=False)["group"].transform("nunique") == groups
    return rows[full.to_numpy()]


def told(lead: Estimate | None, unit: str = "") -> str:
    """A difference in words: its verdict ("level" where the interval holds zero), mean and interval."""
    if lead is None:
        return "not run yet"
    word = intervals.verdict(lead)
    digits = 1 if unit else 3 if abs(lead.mean) >= 5e-4 else 4
    span = "" if lead.low is None else f" [{lead.low:+.{digits}f}, {lead.high:+.{digits}f}]"
    count = f", positive in {lead.positive} of {lead.values}" * (word in ("ahead", "behind"))
    return f"{word}, {lead.mean:+.{digits}f}{unit}{span}{count}".replace("-", "−")


def compare(rows: pd.DataFrame, column: str, first, second, metric: str = "velocity_r2") -> str:
    """`lead` in words."""
    return told(lead(rows, column, first, second, metric))


def show(rows: pd.DataFrame, by: Sequence[str], metrics: Sequence[str], across: str | None = None) -> None:
    """Display `table` of the `shared` rows (of all where none are), or nothing without rows.

    ``across`` is the column of ``by`` that goes across; then the table holds the first score alone.
    """
    if len(rows):
        common = shared(rows, by)
        rows = common if len(common) else rows
        shown = table(rows, by, metrics)
        if across is not None:
            order = list(dict.fromkeys(rows[across]))
            shown = shown[TITLES[metrics[0]]].unstack(across)[order]
        ends = ["session", "area", *(["target"] if "target" in rows and rows["target"].notna().all() else [])]
        what = "pairs of days" if len(ends) == 3 else "recordings"
        display(shown.style.set_caption(f"{rows.groupby(ends).ngroups} {what}"))


def chance_matrix(rows: pd.DataFrame) -> pd.DataFrame:
    """Methods by controls: R² of velocity as text, with ▲ where its interval over sessions lies above 0."""
    found = means(rows, ["value", "method"], "velocity_r2")
    marks = {key: " ▲" if intervals.verdict(one) == "ahead" else "" for key, one in found.items()}
    told = {key: f"{one.mean:.2f}{marks[key]}".replace("-", "−") for key, one in found.items()}
    table = pd.Series(told).rename_axis(["control", "method"]).unstack("control").fillna("—")
    shown, methods = (list(dict.fromkeys(key[place] for key in found)) for place in (0, 1))
    return table.loc[sorted(methods, key=list(METHODS).index), shown]


def above_chance(rows: pd.DataFrame, guesses: dict[tuple, float]) -> pd.DataFrame:
    """Verdicts on controls: velocity R² against 0, and direction accuracy against guessing.

    Parameters
    ----------
    rows : DataFrame of the table "controls"
    guesses : (session, area) -> accuracy of guessing one direction

    Returns
    -------
    DataFrame, one row a control and method: both scores with their verdicts, as text
    """
    found: dict = {}
    for metric, title in (
        ("velocity_r2", "R² of velocity"),
        ("direction_accuracy", "direction, minus guessing"),
    ):
        each = per_recording(rows, ["value", "method"], metric)
        if metric == "direction_accuracy":
            guess = [guesses.get(key, np.nan) for key in zip(each["session"], each["area"], strict=True)]
            each[metric] -= guess
        for key, part in each.dropna(subset=metric).groupby(["value", "method"], sort=False):
            word, estimate = controls.verdict(part[metric], part["session"])
            found.setdefault(key, {})[title] = f"{estimate}: {word}"
    told = pd.DataFrame(found).T
    told.index.names = ["control", "method"]
    return told.fillna("—")


def _estimate(part, metric):
    ends = [part["session"]]
    if "target" in part and part["target"].notna().all():
        ends.append(part["target"])
    return intervals.estimate(part[metric], *ends)


def open_kept(path: str | Path, sessions: Sequence[Session]) -> tuple[pd.DataFrame, str]:
    """The rows of a kept results file that are of these sessions, and where they come from, as Markdown.

    Without any the DataFrame is empty, with the columns that the functions of this module ask for.
    """
    rows = pd.DataFrame(kept_records(path, sessions))
    if not len(rows):
        rows = pd.DataFrame(columns=["table", "value", "method", "session", "area", "alignment", *TITLES])
        return rows, "*The kept results are of recorded sessions; there are none of these.*"
    about = json.loads(Path(path).read_text())["provenance"]
    count = f"{len(rows)} rows of {rows.groupby(['session', 'area']).ngroups} recordings"
    packages = ", ".join(f"{name} {about['versions'][name]}" for name in ("torch", "scikit-learn"))
    seeds = ", ".join(map(str, sorted(rows["seed"].unique())))
    return rows, (
        f"*Kept result: {count}; profile {about['profile']}, seeds: {seeds}; {packages}; "
        f"{about['device']}; {about['date']}, commit {about['commit']}.*"
    )


def value(rows: pd.DataFrame, metric: str = "velocity_r2") -> str:
    """The mean of a score over recordings (or pairs), as text; "—" where there is none."""
    each = per_recording(rows.assign(all=0), ["all"], metric) if len(rows) else rows
    return str(_estimate(each, metric)) if len(each) else "—"


def plain_records(rows: pd.DataFrame) -> list[dict]:
    """Rows as records of a results file: without the values that are missing."""
    return [{k: v for k, v in row.items() if not pd.isna(v)} for row in rows.to_dict("records")]
