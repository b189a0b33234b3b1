"""How sure a mean over recordings is: bootstrap intervals over sessions, and what they allow to say.

Areas recorded on one day share the movements, and pairs of recordings share their sessions; neither are
independent. So sessions are drawn, not recordings or pairs (Methods page, *Intervals and verdicts*).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import norm, t

from companion.comparison import METRICS, with_paper

LEVEL = 0.95
MIN_SESSIONS = 6  # with five, even five differences of one sign would be no surprise: 2 / 2⁵ > 1 - LEVEL
IDS = ("session", "area", "target", "recording")  # columns that tell one recording, or pair, from another
_DRAWS = 10_000
_SAID = {
    "ahead": "ahead of",
    "level": "level with",
    "behind": "behind",
    "undecided": "undecided, with too few sessions for an interval, against",
}


class Estimate(NamedTuple):
    """A mean over recordings, or pairs of them, and its interval.

    Attributes
    ----------
    mean : float
    low, high : float, the 95 % interval, or None with fewer than `MIN_SESSIONS` sessions
    values : int, recordings or pairs
    positive : int, those above zero
    sessions : int, independent units
    """

    mean: float
    low: float | None
    high: float | None
    values: int
    positive: int
    sessions: int

    def __str__(self):
        return number(*self[:3])


def number(mean, low=None, high=None, digits: int = 3, sign: str = "") -> str:
    """ "0.831 [0.802, 0.853]", without an interval "0.831"; with ``sign`` "+", "+0.831 [+0.802, +0.853]"."""
    form = f"{sign}.{digits}f"
    span = "" if pd.isna(low) else f" [{low:{form}}, {high:{form}}]"
    return f"{mean:{form}}{span}".replace("-", "−")


def estimate(values, *sessions) -> Estimate:
    """The mean of some values, with its bootstrap interval over sessions.

    A draw takes as many sessions as there are, with replacement; a value counts as often as its session was
    drawn, a value of two sessions (a pair) as often as both were, multiplied. The quantiles lie further out
    than 2.5 and 97.5 % (Hesterberg, The American Statistician 2015): for a mean of normal values they give
    Student's interval, where plain quantiles are too narrow with few sessions. Raises ValueError for no
    values, for one that is not finite, and for lengths that disagree.

    Parameters
    ----------
    values : array (n,), one a recording or pair, already averaged over seeds
    *sessions : one or two arrays (n,), the session, or the two sessions, of each value
    """
    values = np.asarray(values, float)
    if not len(values) or not np.isfinite(values).all() or any(len(s) != len(values) for s in sessions):
        lengths = [len(s) for s in sessions]
        raise ValueError(
            f"expected finite values and the session of each; got {len(values)} values, "
            f"{np.isfinite(values).sum()} of them finite, and sessions of lengths {lengths}"
        )
    names, codes = np.unique(np.concatenate([np.asarray(s, str) for s in sessions]), return_inverse=True)
    codes, count = codes.reshape(len(sessions), -1), len(names)
    about = len(values), int((values > 0).sum()), count
    if count < MIN_SESSIONS:
        return Estimate(float(values.mean()), None, None, *about)
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=_DRAWS)
    weights = drawn[:, codes[0]]
    if len(codes) == 2:
        weights = weights * np.where(codes[0] == codes[1], 1, drawn[:, codes[1]])
    total = weights.sum(axis=1)
    means = (weights @ values)[total > 0] / total[total > 0]
    tail = norm.cdf(-np.sqrt(count / (count - 1)) * t.ppf((1 + LEVEL) / 2, count - 1))
    low, high = np.quantile(means, [tail, 1 - tail])
    return Estimate(float(values.mean()), float(low), float(high), *about)


def per_recording(scores: pd.DataFrame, *columns: str, by: Sequence[str] = ()) -> pd.DataFrame:
    """Means of some columns over seeds: one row a group of ``by`` and recording (or pair)."""
    ids = [name for name in IDS if name in scores and scores[name].notna().any()]
    return scores.groupby([*by, *ids], sort=False, dropna=False)[list(columns)].mean().reset_index()


def of_column(table: pd.DataFrame, column: str) -> Estimate:
    """The `estimate` of a column, from one row a recording (or pair), with its "session" (and "target")."""
    ends = [name for name in ("session", "target") if name in table and table[name].notna().all()]
    return estimate(table[column], *(table[name] for name in ends))


def of_method(scores: pd.DataFrame, method: str, metric: str) -> Estimate:
    """The `estimate` of one method's score over recordings (or pairs), seeds averaged first.

    Parameters
    ----------
    scores : DataFrame of `comparison.compare` or `compare_transfer`, of one split, protocol and decoder
    method, metric : str
    """
    rows = scores[(scores["method"] == method) & (scores["metric"] == metric)]
    return of_column(per_recording(rows, "ours"), "ours")


def summary(scores: pd.DataFrame) -> pd.DataFrame:
    """One row a method: means over recordings with their intervals, seeds averaged first; and the paper's.

    Where the paper has values of a metric, only the recordings that it has values for count, so that both
    columns are means over the same ones. Returns a DataFrame of text, index method, columns (metric, "ours"
    or "paper").

    Parameters
    ----------
    scores : DataFrame of `comparison.compare`, of one split, protocol and decoder
    """
    order, scores = scores["method"].unique(), with_paper(scores)
    told = {}
    for key, part in scores.groupby(["method", "metric"], sort=False):
        means = per_recording(part, "ours", "paper")
        paper = means["paper"].mean()
        ours = str(of_column(means, "ours"))
        told[key] = {"ours": ours, "paper": "—" if np.isnan(paper) else number(paper)}
    table = pd.DataFrame(told).T.rename_axis(["method", "metric"])
    table = table if scores["paper"].notna().any() else table[["ours"]]
    return table.unstack("metric").fillna("—").swaplevel(axis=1).sort_index(axis=1).loc[order]


def verdict(lead: Estimate) -> str:
    """What a mean difference allows to say: ahead, behind, level (its interval holds zero) or undecided."""
    if lead.low is None or lead.high is None:
        return "undecided"
    return "ahead" if lead.low > 0 else "behind" if lead.high < 0 else "level"


def lead(scores: pd.DataFrame, first, second, *, column="method", value="ours") -> Estimate | None:
    """By how much one value of a column exceeds another, recording by recording (or pair by pair).

    Seeds are averaged first. Returns None where no recording has both.

    Parameters
    ----------
    scores : DataFrame of `comparison.compare` or `compare_transfer`: one metric, split, protocol, decoder
    first, second : values of the column, such as two methods
    column, value : str, what is compared, and the column of the score
    """
    part = scores[scores[column].isin([first, second])]
    if not {first, second} <= set(part[column]):
        return None
    each = per_recording(part, value, by=[column])
    ids = [name for name in IDS if name in each]
    wide = each.pivot(index=ids, columns=column, values=value).dropna()
    found = (wide[first] - wide[second]).rename("lead").reset_index()
    return of_column(found, "lead") if len(found) else None


def leads(scores: pd.DataFrame) -> pd.DataFrame:
    """By how much NER leads each of the other methods that share recordings with it, metric by metric.

    Returns a DataFrame, one row a metric and other method: metric, other, the fields of `Estimate`, verdict.

    Parameters
    ----------
    scores : DataFrame of `comparison.compare` or `compare_transfer`, of one split, protocol and decoder
    """
    rows = []
    for metric, part in scores.groupby("metric", sort=False):
        for other in part["method"].unique():
            if other != "NER" and (found := lead(part, "NER", other)):
                about = {"metric": metric, "other": other}
                rows.append(about | found._asdict() | {"verdict": verdict(found)})
    return pd.DataFrame(rows)


def lead_table(table: pd.DataFrame) -> pd.DataFrame:
    """`leads` in words, one row a method, one column a metric: difference, interval, count and verdict."""
    told = [
        f"{number(row.mean, row.low, row.high, sign='+')}, {row.positive} of {row.values}: {row.verdict}"
        for row in table.itertuples(index=False)
    ]
    words = table.assign(told=told, metric=table["metric"].replace(METRICS))
    order = dict.fromkeys(table["other"])
    return words.pivot(index="other", columns="metric", values="told").loc[list(order)].fillna("—")


def in_words(table: pd.DataFrame) -> str:
    """`leads` as sentences in Markdown, one a metric: what NER is ahead of, level with and behind."""
    said = []
    for metric, part in table.groupby("metric", sort=False):
        clauses = []
        for verdict, words in _SAID.items():
            its = part[part["verdict"] == verdict].sort_values("mean", ascending=False)
            if len(its):
                others = [f"{row.other} ({number(row.mean, sign='+')})" for row in its.itertuples()]
                clauses.append(f"{words} {', '.join(others)}")
        said.append(f"- **{METRICS.get(str(metric), metric)}**: NER is {'; '.join(clauses)}.")
    return "\n".join(said)
