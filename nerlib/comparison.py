"""Our scores beside the paper's, and the verdicts on its claims."""

from collections import Counter

import numpy as np
import pandas as pd

from nerlib.models import CONTROLS

METRICS = {
    "velocity_r2": "R² of velocity",
    "position_r2": "R² of position",
    "direction_accuracy": "direction accuracy",
}


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

    Where the paper has values of a metric, only the recordings that it has values for count, so that both
    columns are means over the same ones.

    Parameters
    ----------
    scores : DataFrame of `compare`, of one split, form and decoder

    Returns
    -------
    DataFrame of text, index method, columns (metric, "ours" or "paper")
    """
    order, scores = scores["method"].unique(), _with_paper(scores)
    by_seed = scores.groupby(["method", "metric", "seed"], sort=False)[["ours", "paper"]].mean()
    by_method = by_seed.groupby(["method", "metric"], sort=False)
    mean, spread = by_method.mean(), by_method["ours"].std().fillna(0)
    ours = [
        f"{m:.3f}" + (f" ± {s:.3f}" if s > 5e-4 else "") for m, s in zip(mean["ours"], spread, strict=True)
    ]
    paper = ["—" if np.isnan(m) else f"{m:.3f}" for m in mean["paper"]]
    table = pd.DataFrame({"ours": ours, "paper": paper}, index=mean.index)
    table = table if mean["paper"].notna().any() else table[["ours"]]
    return table.unstack("metric").swaplevel(axis=1).sort_index(axis=1).loc[order]


def _with_paper(scores):
    """The rows of recordings that the paper has values for, metric by metric; all rows where it has none."""
    known = scores["paper"].notna().groupby([scores["recording"], scores["metric"]]).transform("any")
    return scores[known | ~known.groupby(scores["metric"]).transform("any")]


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


def claim(
    text, sessions, metric, values, *, paper=None, tolerance=None, at_least=None, reason="", seconds=None
):
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
    reason : str, what the verdict rests on, why ours is away from the paper's, or why the paper has none; a
        value that is reproduced needs none
    seconds : float or None, processor time spent on fitting

    Returns
    -------
    dict, a row for `results.write_results`
    """
    ours = float(np.mean(values))
    paper = None if paper is None or np.isnan(paper) else float(paper)
    simulated = any(session.simulated for session in sessions)
    if simulated:
        paper, verdict, reason = None, "simulated", "" if at_least is None else reason
    elif at_least is not None:
        verdict = f"holds (≥ {at_least:g})" if ours >= at_least else f"does not hold (< {at_least:g})"
    elif paper is None:
        verdict = "no published value"
    elif abs(ours - paper) <= tolerance:
        verdict, reason = "reproduced", f"{abs(ours - paper):.3f} apart"
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


def claim_scores(text, sessions, scores, *, tolerance, kept=None):
    """The claim that the paper's means come out, one row a metric; over recordings that it has values for.

    Parameters
    ----------
    text, sessions, tolerance : as in `claim`
    scores : DataFrame of `compare`, of one method, split, form and decoder
    kept : DataFrame like it or None, the same scores at the published settings: where ours are away from the
        paper's, what these settings give is the reason that is stated

    Returns
    -------
    list of dict
    """
    rows = []
    for metric, part in _with_paper(scores).groupby("metric", sort=False):
        reason = ""
        if part["paper"].isna().all():
            reason = "" if (part["form"] == "published").all() else "the paper has none in this form"
        elif kept is not None and (kept["metric"] == metric).any():
            reason = f"{kept.loc[kept['metric'] == metric, 'ours'].mean():.3f} at the published settings"
        rows.append(
            claim(
                text,
                sessions,
                METRICS[metric],
                part.groupby("seed")["ours"].mean(),
                paper=part["paper"].mean(),
                tolerance=tolerance,
                reason=reason,
                seconds=_fitting_seconds(part),
            )
        )
    return rows


def claim_leads(where, sessions, scores):
    """The claims that NER reads velocity better than the paper's other methods, and than the controls.

    Parameters
    ----------
    where : str, what was decoded, and in which form
    sessions : list of Session
    scores : DataFrame of `compare`, of one split, form and decoder

    Returns
    -------
    list of dict, one row for the methods and one for the controls, if there are any: by how much NER's R² of
    velocity exceeds that of the best of them, its mean over seeds deciding which that is
    """
    scores = scores[scores["metric"] == "velocity_r2"]
    by_seed = scores.groupby(["method", "seed"], sort=False)["ours"].mean().unstack("seed")
    by_seed = by_seed.apply(lambda method: method.fillna(method.mean()), axis=1)  # where chance plays no part
    methods = [name for name in by_seed.index if name not in ("NER", *CONTROLS)]
    rows = []
    for others in (methods, [name for name in by_seed.index if name in CONTROLS]):
        if others:
            best = by_seed.loc[others].mean(axis=1).idxmax()
            named = others[0] if len(others) == 1 else f"the best of {'; '.join(others)}"
            rows.append(
                claim(
                    f"{where}: NER is ahead of {named}",
                    sessions,
                    "lead in R² of velocity",
                    by_seed.loc["NER"] - by_seed.loc[best],
                    at_least=0,
                    reason=f"the best is {best}, {by_seed.loc[best].mean():.3f}",
                    seconds=_fitting_seconds(scores[scores["method"].isin(["NER", *others])]),
                )
            )
    return rows


def _fitting_seconds(scores):
    """Processor time of the fits behind some scores, each counted once."""
    return scores.drop_duplicates(["session", "area", "method", "seed"])["seconds"].sum()
