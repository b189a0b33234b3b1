"""How sure a mean over recordings is: bootstrap intervals over sessions, and what they allow to say.

Areas recorded on one day share the movements, and pairs of recordings share their sessions; neither are
independent. So sessions are drawn, not recordings or pairs (Methods page, *Intervals and verdicts*).
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import norm, t

from companion.comparison import METRICS, with_paper

LEVEL = 0.95
MIN_SESSIONS = 6  # with five, even five differences of one sign would be no surprise: 2 / 2⁵ > 1 - LEVEL
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
        span = "" if self.low is None else f" [{self.low:.3f}, {self.high:.3f}]"
        return f"{self.mean:.3f}{span}".replace("-", "−")


def estimate(values, *sessions) -> Estimate:
    """The mean of some values, with its bootstrap interval over sessions.

    A draw takes as many sessions as there are, with replacement; a value counts as often as its session was
    drawn, a value of two sessions (a pair) as often as both were, multiplied. The quantiles lie further out
    than 2.5 and 97.5 % (Hesterberg, The American Statistician 2015): for a mean of normal values they give
    Student's interval, where plain quantiles are too narrow with few sessions.

    Parameters
    ----------
    values : array (n,), one a recording or pair, already averaged over seeds
    *sessions : one or two arrays (n,), the session, or the two sessions, of each value

    Raises
    ------
    ValueError : no values, one that is not finite, or lengths that disagree
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


def per_recording(scores: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """Columns of scores of one method and metric, one row a recording (or pair): means over seeds."""
    ends = [name for name in ("session", "target") if name in scores]
    return scores.groupby([*ends, "recording"])[list(columns)].mean().reset_index()


def of_column(table: pd.DataFrame, column: str) -> Estimate:
    """The `estimate` of a column, from one row a recording (or pair), with its "session" (and "target")."""
    return estimate(table[column], *(table[name] for name in ("session", "target") if name in table))


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
    columns are means over the same ones.

    Parameters
    ----------
    scores : DataFrame of `comparison.compare`, of one split, protocol and decoder

    Returns
    -------
    DataFrame of text, index method, columns (metric, "ours" or "paper")
    """
    order, scores = scores["method"].unique(), with_paper(scores)
    told = {}
    for key, part in scores.groupby(["method", "metric"], sort=False):
        means = per_recording(part, "ours", "paper")
        paper = means["paper"].mean()
        ours = str(of_column(means, "ours"))
        told[key] = {"ours": ours, "paper": "—" if np.isnan(paper) else f"{paper:.3f}".replace("-", "−")}
    table = pd.DataFrame(told).T.rename_axis(["method", "metric"])
    table = table if scores["paper"].notna().any() else table[["ours"]]
    return table.unstack("metric").fillna("—").swaplevel(axis=1).sort_index(axis=1).loc[order]


def verdict(lead: Estimate) -> str:
    """What a mean difference allows to say: ahead, behind, level (its interval holds zero) or undecided."""
    if lead.low is None or lead.high is None:
        return "undecided"
    return "ahead" if lead.low > 0 else "behind" if lead.high < 0 else "level"


def differences(scores: pd.DataFrame, method: str, other: str) -> pd.DataFrame:
    """By how much a method exceeds another, recording by recording (or pair by pair).

    Parameters
    ----------
    scores : DataFrame of `comparison.compare` or `compare_transfer`: one metric, split, protocol, decoder
    method, other : str

    Returns
    -------
    DataFrame, one row a recording that has both, seeds averaged first: "difference", "session" and, for
    transfers, "target"
    """
    ends = [name for name in ("session", "target") if name in scores]
    means = scores.groupby([*ends, "recording", "method"], sort=False)["ours"].mean().unstack("method")
    return (means[method] - means[other]).dropna().rename("difference").reset_index()


def lead(scores: pd.DataFrame, method: str, other: str) -> Estimate:
    """The `estimate` of `differences`."""
    return of_column(differences(scores, method, other), "difference")


def leads(scores: pd.DataFrame, method: str = "NER") -> pd.DataFrame:
    """By how much a method leads each of the others, metric by metric.

    Parameters
    ----------
    scores : DataFrame of `comparison.compare` or `compare_transfer`, of one split, protocol and decoder
    method : str

    Returns
    -------
    DataFrame, one row a metric and other method: metric, other, the fields of `Estimate`, and verdict
    """
    rows = []
    for metric, part in scores.groupby("metric", sort=False):
        for other in part["method"].unique():
            if other != method:
                found = lead(part, method, other)
                about = {"metric": metric, "other": other}
                rows.append(about | found._asdict() | {"verdict": verdict(found)})
    return pd.DataFrame(rows)


def lead_table(table: pd.DataFrame) -> pd.DataFrame:
    """`leads` in words, one row a method, one column a metric: difference, interval, count and verdict."""
    told = [
        f"{row.mean:+.3f}"
        + ("" if np.isnan(row.low) else f" [{row.low:+.3f}, {row.high:+.3f}]")
        + f", {row.positive} of {row.values}: {row.verdict}"
        for row in table.astype({"low": float, "high": float}).itertuples(index=False)
    ]
    told = [text.replace("-", "−") for text in told]
    words = table.assign(told=told, metric=table["metric"].replace(METRICS))
    order = dict.fromkeys(table["other"])
    return words.pivot(index="other", columns="metric", values="told").loc[list(order)].fillna("—")


def in_words(table: pd.DataFrame, method: str = "NER") -> str:
    """`leads` as sentences in Markdown, one a metric: what the method is ahead of, level with and behind."""
    said = []
    for metric, part in table.groupby("metric", sort=False):
        clauses = [
            f"{words} {', '.join(f'{row.other} ({row.mean:+.3f})' for row in its.itertuples())}"
            for verdict, words in _SAID.items()
            if len(its := part[part["verdict"] == verdict].sort_values("mean", ascending=False))
        ]
        said.append(f"- **{METRICS.get(str(metric), metric)}**: {method} is {'; '.join(clauses)}.")
    return "\n".join(said).replace("(-", "(−")
