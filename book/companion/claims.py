"""Verdicts on the claims of the paper: rows of the headline table."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd

from companion import intervals
from companion.comparison import METRICS, with_paper
from companion.intervals import Estimate
from companion.paper import CONTROLS, FLAT
from nerlib.session import Session


def claim(
    text: str,
    sessions: Sequence[Session],
    metric: str,
    ours: Estimate,
    *,
    paper: float | None = None,
    tolerance: float | None = None,
    lead: bool = False,
    reason: str = "",
    seconds: float | None = None,
    front: str = "",
) -> dict:
    """A row for `results.write_results`: a claim of the paper, what was measured, and the verdict.

    Raises ValueError for a value of the paper without a tolerance.

    Parameters
    ----------
    text, metric : str, the claim and what was measured
    sessions : list of Session that it was tested on
    ours : Estimate of `intervals.estimate`, our value
    paper : float or None (or NaN), the paper's value for the same sessions; ignored for simulated sessions
    tolerance : float, how far ours may be from the paper's, set before the run; needed with ``paper``
    lead : bool, whether ours is a difference, by how much NER leads; its verdict is that of
        `intervals.verdict`
    reason : str, what the verdict rests on, why ours differs from the paper's, or why the paper has none
    seconds : float or None, processor time of fitting
    front : str, the claim in words that need no chapter, for the table of the front page; "" keeps the row
        off it. Rows of a chapter with the same words are one claim there
    """
    paper = None if paper is None or np.isnan(paper) else float(paper)
    if paper is not None and tolerance is None:
        raise ValueError(
            f"claim {text!r} has the paper's value {paper:g} and no tolerance; give tolerance=, "
            "how far ours may be from it"
        )
    simulated = any(session.simulated for session in sessions)
    if simulated:
        paper, verdict, reason = None, "simulated", reason if lead else ""
    elif lead:
        verdict = intervals.verdict(ours)
    elif paper is None or tolerance is None:
        verdict = "no published value"
    elif abs(ours.mean - paper) <= tolerance:
        verdict = "reproduced"
    else:
        verdict = f"{'higher' if ours.mean > paper else 'lower'} by {abs(ours.mean - paper):.3f}"
    areas = Counter(session.area for session in sessions)
    return {
        "claim": text,
        "sessions": " + ".join(f"{n} {area}" for area, n in areas.items()),
        "metric": metric,
        "paper": paper,
        "ours": ours.mean,
        "low": ours.low,
        "high": ours.high,
        "tolerance": None if simulated else tolerance,
        "verdict": verdict,
        "reason": reason,
        "seconds": None if seconds is None else float(seconds),
        "front": front,
    }


def claim_scores(
    text: str,
    sessions: Sequence[Session],
    scores: pd.DataFrame,
    *,
    tolerance: float,
    kept: pd.DataFrame | None = None,
    front: str = "",
) -> list[dict]:
    """The claim that the paper's means are reproduced, over the recordings that it has values for.

    It is a claim about these recordings, so it needs no interval over others; the reason says how far ours is
    from the paper's on average, with an interval where there are sessions enough, and in how many recordings
    (or pairs) it is within the tolerance. Returns a list of dict, one row a metric.

    Parameters
    ----------
    text, sessions, tolerance, front : as in `claim`
    scores : DataFrame of `comparison.compare`, of one method, split, protocol and decoder
    kept : DataFrame like it or None, the same scores at the paper's settings: their mean is stated as the
        reason where ours differ from the paper's
    """
    rows = []
    for metric, part in with_paper(scores).groupby("metric", sort=False):
        means = intervals.per_recording(part, "ours", "paper")
        ours = intervals.of_column(means, "ours")
        reason = ""
        if part["paper"].isna().all():
            if (part["protocol"] != "published").any():
                reason = "the paper gives none in this protocol"
        else:
            means["off"] = means["ours"] - means["paper"]
            within = (means["off"].abs() <= tolerance).sum()
            differs = intervals.of_column(means, "off")
            reason = f"differs by {differs}; {within} of {len(means)} within {tolerance:g}"
            if kept is not None and (kept["metric"] == metric).any():
                at_paper = kept.loc[kept["metric"] == metric, "ours"].mean()
                reason += f"; {at_paper:.3f} at the paper's settings"
        paper, seconds = means["paper"].mean(), _fitting_seconds(part)
        about: dict = {"paper": paper, "tolerance": tolerance, "reason": reason, "seconds": seconds}
        rows.append(claim(text, sessions, METRICS[metric], ours, **about, front=front))
    return rows


def claim_leads(
    where: str,
    sessions: Sequence[Session],
    scores: pd.DataFrame,
    metric: str = "velocity_r2",
    *,
    front: str = "",
) -> list[dict]:
    """The claims that NER's score exceeds that of the paper's other methods, and of the controls.

    Returns a list of dict, one row for the methods and one for the controls, if there are any: by how much
    NER leads the one over which its lead is least certain, by the lower end of the interval, or by the mean
    where there are too few sessions for one. So NER is ahead of all where it is ahead of this one.

    Parameters
    ----------
    where : str, what was decoded, and in which protocol
    sessions : list of Session
    scores : DataFrame of `comparison.compare`, of one split, protocol and decoder
    metric : str, the score that is compared
    front : as in `claim`, of the row for the paper's methods
    """
    scores = scores[scores["metric"] == metric]
    rivals = [name for name in scores["method"].unique() if name != "NER"]
    leads = {name: lead for name in rivals if (lead := intervals.lead(scores, "NER", name))}
    sure = {name: lead.mean if lead.low is None else lead.low for name, lead in leads.items()}
    controls = [name for name in leads if name.split(",")[0] in (*CONTROLS, FLAT)]
    kinds = {"the paper's methods": sorted(leads.keys() - controls), "the controls": controls}
    rows, measure = [], f"lead in {METRICS.get(metric, metric)}"
    for kind, others in kinds.items():
        if others:
            best = min(others, key=lambda name: sure[name])
            lead = leads[best]
            reason = f"least certain over {best}; NER is ahead in {lead.positive} of {lead.values}"
            seconds = _fitting_seconds(scores[scores["method"].isin(["NER", *others])])
            shown = front if kind == "the paper's methods" else ""
            about: dict = {"lead": True, "reason": reason, "seconds": seconds, "front": shown}
            text = f"{where}: NER against the best of {kind}"
            rows.append(claim(text, sessions, measure, lead, **about))
    return rows


def _fitting_seconds(scores: pd.DataFrame) -> float | None:
    """Processor time of the fits behind some scores, each counted once; None where they do not tell."""
    if "seconds" not in scores:
        return None
    return scores.drop_duplicates(["session", "area", "method", "seed"])["seconds"].sum()
