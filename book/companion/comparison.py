"""Our scores next to the paper's, and what settings they were chosen from."""

import re

import numpy as np
import pandas as pd

RENAMED = {
    "source_date": "date",
    "source_area": "area",
    "velocity_r2_swapped": "velocity_r2",
    "direction_accuracy_peak": "direction_accuracy",
}  # columns of the authors' tables
METRICS = {
    "velocity_r2": "R² of velocity",
    "position_r2": "R² of position",
    "direction_accuracy": "direction accuracy",
}


def compare(records: list[dict], published: str) -> pd.DataFrame:
    """Our scores within sessions next to the paper's, one row a score.

    Returns a DataFrame: the columns of the records with "recording" (session and area), "metric", "ours" and
    "paper". The paper's value is in the rows of protocol "published" and the linear decoder; elsewhere, and
    for simulated sessions, it is NaN.

    Parameters
    ----------
    records : list of dict of `nerlib.experiments.run`
    published : path of published_within_session.csv, the scores that the authors published
    """
    paper = pd.read_csv(published, dtype={"date": str}).rename(columns=RENAMED).assign(decoder="linear")
    ours = pd.DataFrame(records)
    ours["recording"] = ours["session"] + " " + ours["area"]
    return merge_published(ours, paper, ["monkey", "date", "area", "method", "decoder", "split"])


def compare_transfer(records: list[dict], published: str) -> pd.DataFrame:
    """`compare` for records of `nerlib.experiments.transfer` and published_cross_session.csv.

    The column "recording" names both sessions; two more, "from" and "to", name each (session and area).
    """
    paper = pd.read_csv(published, dtype={"source_date": str, "target_date": str}).rename(columns=RENAMED)
    paper["target_monkey"] = paper["monkey"]
    paper.loc[paper["n_components"] == 16, "method"] += "-16"
    ours = pd.DataFrame(records)
    ours["from"] = ours["session"] + " " + ours["area"]
    ours["to"] = ours["target"] + " " + ours["target_area"]
    ours["recording"] = ours["from"] + " → " + ours["to"]
    key = ["monkey", "date", "area", "target_monkey", "target_date", "target_area", "method", "decoder"]
    return merge_published(ours, paper.drop_duplicates(key), key)


def compare_curved(records: list[dict], published: str) -> pd.DataFrame:
    """`compare` for records of the groups of `maze.open_maze` and published_curved_reaches.csv.

    The column "recording" names the group; two more are "task" and "trial_types". The paper's CEBRA saw no
    direction here, so "CEBRA-velocity" is compared with it.
    """
    paper = pd.read_csv(published, dtype={"trial_types": str})
    paper = paper.replace({"method": {"CEBRA": "CEBRA-velocity"}})
    paper = paper.rename(columns={f"{metric}_train": metric for metric in METRICS})
    paper = paper.assign(split="train", decoder="linear", direction_accuracy=np.nan)
    ours = pd.DataFrame(records)
    ours[["task", "trial_types"]] = ours["session"].str.extract(r"\S+ (\S+) (.+)").to_numpy()
    ours["recording"] = ours["task"] + ", types " + ours["trial_types"]
    return merge_published(ours, paper, ["task", "trial_types", "method", "split", "decoder"])


def merge_published(ours: pd.DataFrame, paper: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """One row a score, the paper's in the rows of protocol "published" that agree in the columns ``key``."""
    metrics = [metric for metric in METRICS if metric in ours]
    paper = paper.melt(key, metrics, "metric", "paper").assign(protocol="published")
    ours = ours.melt([c for c in ours if c not in METRICS], metrics, "metric", "ours")
    table = ours.merge(paper, on=[*key, "protocol", "metric"], how="left")
    table.loc[table["simulated"], "paper"] = np.nan  # no value of the paper beside a simulated score
    return table


def searched(kept: pd.DataFrame) -> pd.DataFrame:
    """What validation trials chose from, and what they chose, one row a method that was searched and tested.

    Parameters
    ----------
    kept : DataFrame of benchmarks/equal_chances.py and best.py: method, split, settings, smooth_sd (s)
    """
    rows = {}
    for method, part in kept.groupby("method", sort=False):
        tried, tested = (part[part["split"] == split] for split in ("validation", "test"))
        given = [dict(re.findall(r"(\w+)=(\(.*?\)|[^,]+)", text)) for text in tried["settings"].unique()]
        if not given or not len(tested):
            continue
        names = dict.fromkeys(name for one in given for name in one)
        varied = [name for name in names if len({one.get(name) for one in given}) > 1]
        chosen, width = " ".join(tested["settings"].iloc[0].split()), tested["smooth_sd"].iloc[0]
        chosen = re.sub(r"periods=\(.*?\),? ?", "", chosen)  # the same for all
        rows[method] = {
            "candidates": len(given),
            "differ in": ", ".join(varied) or "—",
            "chosen": chosen.removeprefix("estimator=") or "the settings of fast",
            "smoothing (ms)": "as published" if pd.isna(width) else f"{1e3 * width:.0f}",
            "ensemble": "yes" if chosen.startswith("estimator=") else "no",
        }
    return pd.DataFrame(rows).T.rename_axis("method")


def with_paper(scores: pd.DataFrame) -> pd.DataFrame:
    """The rows of recordings that the paper has values for, metric by metric; all rows where it has none."""
    known = scores["paper"].notna().groupby([scores["recording"], scores["metric"]]).transform("any")
    return scores[known | ~known.groupby(scores["metric"]).transform("any")]
