"""Verdicts on the claims of the paper: rows of the headline table."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd

from companion.comparison import METRICS, with_paper
from companion.paper import CONTROLS
from nerlib.session import Session


def claim(
    text: str,
    sessions: Sequence[Session],
    metric: str,
    values: Sequence[float],
    *,
    paper: float | None = None,
    tolerance: float | None = None,
    at_least: float | None = None,
    reason: str = "",
    seconds: float | None = None,
) -> dict:
    """A row for `results.write_results`: a claim of the paper, what was measured, and the verdict.

    Parameters
    ----------
    text, metric : str, the claim and what was measured
    sessions : list of Session that it was tested on
    values : our values, one per seed
    paper : float or None (or NaN), the paper's value for the same sessions; ignored for simulated sessions
    tolerance : float, how far ours may be from the paper's, set before the run; needed with ``paper``
    at_least : float or None, what ours must reach where the paper gives no value, set before the run
    reason : str, what the verdict rests on, why ours differs from the paper's, or why the paper has none; a
        value that is reproduced needs none
    seconds : float or None, processor time of fitting

    Raises
    ------
    ValueError : a value of the paper, and neither a tolerance nor ``at_least``
    """
    ours = float(np.mean(values))
    paper = None if paper is None or np.isnan(paper) else float(paper)
    if paper is not None and tolerance is None and at_least is None:
        raise ValueError(
            f"claim {text!r} has the paper's value {paper:g} and no tolerance; give tolerance=, "
            "how far ours may be from it"
        )
    simulated = any(session.simulated for session in sessions)
    if simulated:
        paper, verdict, reason = None, "simulated", "" if at_least is None else reason
    elif at_least is not None:
        verdict = f"holds (≥ {at_least:g})" if ours >= at_least else f"does not hold (< {at_least:g})"
    elif paper is None or tolerance is None:
        verdict = "no published value"
    elif abs(ours - paper) <= tolerance:
        verdict, reason = "reproduced", f"differs by {abs(ours - paper):.3f}"
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
        "reason": reason,
        "seconds": None if seconds is None else float(seconds),
    }


def claim_scores(
    text: str,
    sessions: Sequence[Session],
    scores: pd.DataFrame,
    *,
    tolerance: float,
    kept: pd.DataFrame | None = None,
) -> list[dict]:
    """The claim that the paper's means are reproduced, over the recordings that it has values for.

    Parameters
    ----------
    text, sessions, tolerance : as in `claim`
    scores : DataFrame of `comparison.compare`, of one method, split, protocol and decoder
    kept : DataFrame like it or None, the same scores at the published settings: their mean is stated as the
        reason where ours differ from the paper's

    Returns
    -------
    list of dict, one row a metric
    """
    rows = []
    for metric, part in with_paper(scores).groupby("metric", sort=False):
        reason = ""
        if part["paper"].isna().all():
            if (part["protocol"] != "published").any():
                reason = "the paper gives none in this protocol"
        elif kept is not None and (kept["metric"] == metric).any():
            reason = f"{kept.loc[kept['metric'] == metric, 'ours'].mean():.3f} at the published settings"
        ours, paper = part.groupby("seed")["ours"].mean(), part["paper"].mean()
        about: dict = {"tolerance": tolerance, "reason": reason, "seconds": _fitting_seconds(part)}
        rows.append(claim(text, sessions, METRICS[metric], ours, paper=paper, **about))
    return rows


def claim_leads(where: str, sessions: Sequence[Session], scores: pd.DataFrame) -> list[dict]:
    """The claims that NER's R² of velocity exceeds that of the paper's other methods, and of the controls.

    Parameters
    ----------
    where : str, what was decoded, and in which protocol
    sessions : list of Session
    scores : DataFrame of `comparison.compare`, of one split, protocol and decoder

    Returns
    -------
    list of dict, one row for the methods and one for the controls, if there are any: by how much NER exceeds
    the best of them, the one with the highest mean over seeds
    """
    scores = scores[scores["metric"] == "velocity_r2"]
    by_seed = scores.groupby(["method", "seed"], sort=False)["ours"].mean().unstack("seed")
    by_seed = by_seed.apply(lambda method: method.fillna(method.mean()), axis=1)  # of deterministic methods
    methods = [name for name in by_seed.index if name not in ("NER", *CONTROLS)]
    rows = []
    for others in (methods, [name for name in by_seed.index if name in CONTROLS]):
        if others:
            best = by_seed.loc[others].mean(axis=1).idxmax()
            named = others[0] if len(others) == 1 else f"the best of {'; '.join(others)}"
            text, lead = f"{where}: NER is ahead of {named}", by_seed.loc["NER"] - by_seed.loc[best]
            reason = f"the best is {best}, {by_seed.loc[best].mean():.3f}"
            seconds = _fitting_seconds(scores[scores["method"].isin(["NER", *others])])
            about: dict = {"at_least": 0, "reason": reason, "seconds": seconds}
            rows.append(claim(text, sessions, "lead in R² of velocity", lead, **about))
    return rows


def _fitting_seconds(scores: pd.DataFrame) -> float:
    """Processor time of the fits behind some scores, each counted once."""
    return scores.drop_duplicates(["session", "area", "method", "seed"])["seconds"].sum()
