"""Rows of `control_runs` and benchmarks/controls.py in tables and sentences.

Means are over recordings, their intervals over sessions.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from IPython.display import display

from companion import intervals
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


def means(rows: pd.DataFrame, by: Sequence[str], metric: str) -> dict[tuple, Estimate]:
    """Group of ``by`` -> the mean of a score over recordings (or pairs), with its interval over sessions.

    Seeds are averaged first; missing scores are dropped.
    """
    each = intervals.per_recording(rows, metric, by=by).dropna(subset=metric)
    return {key: intervals.of_column(part, metric) for key, part in each.groupby(list(by), sort=False)}


def lead(rows: pd.DataFrame, column: str, first, second, metric: str = "velocity_r2") -> Estimate | None:
    """`intervals.lead` of one value of a column over another; None where no recording has both."""
    return intervals.lead(rows, first, second, column=column, value=metric)


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
    groups = rows.groupby(list(by), sort=False)
    each = rows.assign(group=groups.ngroup()).groupby(ends, sort=False, dropna=False)["group"]
    return rows[(each.transform("nunique") == groups.ngroups).to_numpy()]


def told(lead: Estimate | None) -> str:
    """A difference in words: its verdict ("level" where the interval holds zero), mean and interval."""
    if lead is None:
        return "not run yet"
    word = intervals.verdict(lead)
    digits = 3 if abs(lead.mean) >= 5e-4 else 4
    count = f", positive in {lead.positive} of {lead.values}" * (word in ("ahead", "behind"))
    return f"{word}, {intervals.number(*lead[:3], digits=digits, sign='+')}{count}"


def compare(rows: pd.DataFrame, column: str, first, second, metric: str = "velocity_r2") -> str:
    """`lead` in words."""
    return told(lead(rows, column, first, second, metric))


def show(rows: pd.DataFrame, by: Sequence[str], metrics: Sequence[str], across: str | None = None) -> None:
    """Display `means` as text, one row a group of ``by``, one column a score; nothing without rows.

    They are of the `shared` rows, or of all where none are. ``across`` is the column of ``by`` that goes
    across; then the table holds the first score alone.
    """
    if not len(rows):
        return
    common = shared(rows, by)
    rows = common if len(common) else rows
    columns = {TITLES[m]: {key: str(found) for key, found in means(rows, by, m).items()} for m in metrics}
    shown = pd.DataFrame(columns).fillna("—").rename_axis(list(by))
    if across is not None:
        shown = shown[TITLES[metrics[0]]].unstack(across)[list(dict.fromkeys(rows[across]))]
    pairs = "target" in rows and rows["target"].notna().all()
    ends = ["session", "area", "target"] if pairs else ["session", "area"]
    what = "pairs of days" if pairs else "recordings"
    display(shown.style.set_caption(f"{rows.groupby(ends).ngroups} {what}"))


def chance_matrix(rows: pd.DataFrame) -> pd.DataFrame:
    """Methods by controls: R² of velocity as text, with ▲ where its interval over sessions lies above 0."""
    found = means(rows, ["value", "method"], "velocity_r2")
    told = {
        key: intervals.number(one.mean, digits=2) + " ▲" * (intervals.verdict(one) == "ahead")
        for key, one in found.items()
    }
    table = pd.Series(told).rename_axis(["control", "method"]).unstack("control").fillna("—")
    shown, methods = (list(dict.fromkeys(key[place] for key in found)) for place in (0, 1))
    return table.loc[sorted(methods, key=list(METHODS).index), shown]


def above_chance(rows: pd.DataFrame, guesses: dict[tuple, float]) -> pd.DataFrame:
    """Verdicts on controls: velocity R² against 0, and direction accuracy against guessing.

    Returns a DataFrame, one row a control and method: both scores with their verdicts, as text. They are
    "above chance" where the interval over sessions excludes chance, "undecided" with too few sessions.

    Parameters
    ----------
    rows : DataFrame of the table "controls"
    guesses : (session, area) -> accuracy of guessing one direction
    """
    found: dict = {}
    words = {"ahead": "above chance", "undecided": "undecided"}
    titles = {"velocity_r2": TITLES["velocity_r2"], "direction_accuracy": "direction, minus guessing"}
    for metric, title in titles.items():
        each = intervals.per_recording(rows, metric, by=["value", "method"])
        if metric == "direction_accuracy":
            each[metric] -= [
                guesses.get(key, np.nan) for key in zip(each["session"], each["area"], strict=True)
            ]
        for key, part in each.dropna(subset=metric).groupby(["value", "method"], sort=False):
            less_chance = intervals.of_column(part, metric)
            word = words.get(intervals.verdict(less_chance), "no better than chance")
            found.setdefault(key, {})[title] = f"{less_chance}: {word}"
    return pd.DataFrame(found).T.rename_axis(["control", "method"]).fillna("—")


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
    each = intervals.per_recording(rows, metric).dropna(subset=metric) if len(rows) else rows
    return str(intervals.of_column(each, metric)) if len(each) else "—"


def plain_records(rows: pd.DataFrame) -> list[dict]:
    """Rows as records of a results file: without the values that are missing."""
    return [{k: v for k, v in row.items() if not pd.isna(v)} for row in rows.to_dict("records")]
