"""A new day with few trials: curves over the number of labelled trials, and how well days agree.

``records`` are lists of dict, one a score, of benchmarks/new_day.py.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from companion import intervals
from nerlib.alignment import common_averages
from nerlib.session import Session

ALL = np.inf  # all trials of the day, in the column "trials"
PARITY = 0.03  # how near joint CEBRA should be to the package, set before the run
GOALS = {8: 0.65, 16: 0.88, 32: 0.94}  # share of the R² with all trials, set before the run
NETWORKS = ("NER", "MSE bottleneck", "CEBRA-velocity")
RIDGE, RIDGE_ONE_BIN = ({"way": "ridge", "method": "ridge", "window": bins} for bins in (10, 1))
TEMPLATE = {"way": "template", "method": "average reach"}


def _ways(network, window=10):
    """Name of a line -> arguments of `only`: the ways that fit a network once."""
    ways = {"new first layer": "frozen", "joint training": "joint", "the day alone": "alone"}
    return {words: {"way": way, "method": network, "window": window} for words, way in ways.items()}


BY_NETWORK = {f"{name}, 10 bins": _ways(name) | {"ridge, 10 bins": RIDGE} for name in NETWORKS}
BY_NETWORK_ONE_BIN = {f"{name}, 1 bin": _ways(name, 1) | {"ridge": RIDGE_ONE_BIN} for name in NETWORKS}
_AVERAGED = {name: {"way": "frozen", "method": name, "members": 3} for name in NETWORKS}
_ALL_RECORDINGS = {name: {"way": "frozen", "method": name, "pool": "all"} for name in NETWORKS}
ALONE: dict[str, dict] = {  # the best that a network makes of the day alone
    name: {"way": "alone" if name == "CEBRA-velocity" else "alone, any form", "method": name}
    for name in NETWORKS
}
TABLE: dict[str, dict] = {  # what is compared with ridge in `lead_table`
    f"{name}, {words}": line
    for name in NETWORKS
    for words, line in ({"new first layer, 3 fits": _AVERAGED[name]} | _ways(name)).items()
}
TABLE |= {f"{name}, new first layer, all recordings": line for name, line in _ALL_RECORDINGS.items()}
TABLE["NER, alone, rotated"] = {"way": "rotation"}
TABLE["average reach, decoded direction"] = TEMPLATE
TABLE |= {f"{name}, the day alone, any form": ALONE[name] for name in ("NER", "MSE bottleneck")}
BEST, RIVAL = TABLE["NER, new first layer, 3 fits"], "MSE bottleneck, new first layer, 3 fits"
ONE_BIN = {  # the same with one bin of history, one fit
    f"{name}, {words}": line for name in NETWORKS for words, line in _ways(name, 1).items()
} | {"ridge": RIDGE_ONE_BIN}
PANELS = {  # title -> name of a line -> arguments of `only`
    "New first layer, three fits averaged": {
        "NER": BEST,
        "MSE bottleneck": TABLE[RIVAL],
        "average reach": TEMPLATE,
        "ridge, 10 bins": RIDGE,
    },
    "NER, one fit": {
        "NER": TABLE["NER, new first layer"],
        "NER, all recordings": _ALL_RECORDINGS["NER"],
        **{
            line: TABLE[line] for line in ("NER, joint training", "NER, the day alone", "NER, alone, rotated")
        },
        "ridge, 10 bins": RIDGE,
    },
}


def curves(records: Sequence[dict]) -> pd.DataFrame:
    """Test scores as a DataFrame, one row a recording and draw of the labelled trials.

    Columns: way, method, window, pool, members, trials (`ALL` of the day), session, recording, draw, r2.
    """
    table = pd.DataFrame(records).query("split == 'test'")
    table = table.assign(
        trials=table["trials"].astype(float).mask(table["all"], ALL),
        recording=table["session"] + " " + table["area"],
    )
    about = ["way", "method", "window", "pool", "members", "trials", "session", "recording", "draw"]
    return table.groupby(about, sort=False)["velocity_r2"].mean().rename("r2").reset_index()


def only(table: pd.DataFrame, way, method="NER", window=10, pool="area", members=1) -> pd.DataFrame:
    """One curve of `curves`: recordings and their draws (rows) by trials (columns)."""
    chosen = (table["way"] == way) & (table["method"] == method) & (table["window"] == window)
    chosen &= (table["pool"] == pool) & (table["members"] == members)
    return table[chosen].pivot(index=["recording", "draw"], columns="trials", values="r2")


def by_recording(curve: pd.DataFrame) -> pd.DataFrame:
    """The mean over the draws of each recording."""
    return curve.groupby(level="recording").mean()


def common(table: pd.DataFrame, lines: dict[str, dict]) -> dict[str, pd.DataFrame]:
    """The curves of some lines, over the recordings and draws that all have; lines and points of few go.

    A point counts if `intervals.MIN_SESSIONS` recordings have it, a recording if every line has all its
    points, and a draw of a point if every line with this point has the draw.
    """
    found = {}
    for name, line in lines.items():
        curve = only(table, **line)
        curve = curve.loc[:, by_recording(curve).notna().sum() >= intervals.MIN_SESSIONS]
        if curve.size:
            found[name] = curve
    if not found:
        return found
    same = set.intersection(*(set(by_recording(curve).dropna().index) for curve in found.values()))
    found = {name: curve.loc[curve.index.isin(same, level="recording")] for name, curve in found.items()}
    for k in {k for curve in found.values() for k in curve}:
        drawn = [curve.index[curve[k].notna()] for curve in found.values() if k in curve]
        shared = set.intersection(*map(set, drawn))
        for curve in (curve for curve in found.values() if k in curve):
            curve[k] = curve[k].where(curve.index.isin(shared))
    return found


def summary(curve: pd.DataFrame) -> pd.DataFrame:
    """Mean over recordings with its interval (`intervals.estimate`), one row a number of trials."""
    return pd.DataFrame({k: at(curve, k)._asdict() for k in curve if curve[k].notna().any()}).T


def at(curve: pd.DataFrame, trials: float) -> intervals.Estimate:
    """The mean over recordings with so many labelled trials."""
    return _estimate(by_recording(curve)[trials])


def _estimate(values):
    own = values.dropna()
    return intervals.estimate(own, [name.split()[0] for name in own.index])


def lead(curve: pd.DataFrame, other: pd.DataFrame) -> dict:
    """Number of trials -> `Estimate` of the difference of two curves, where both have recordings enough.

    Differences are taken draw by draw, on the same labelled trials, and averaged within a recording.
    """
    differences = by_recording(curve - other).dropna(axis="columns", how="all")
    enough = differences.notna().sum() >= intervals.MIN_SESSIONS
    return {k: _estimate(differences[k]) for k in differences.loc[:, enough]}


def share(curve: pd.DataFrame, k: float) -> float:
    """Mean R² with k trials, as a share of that with all trials, over recordings that have both."""
    both = by_recording(curve)[[k, ALL]].dropna()
    return float(both[k].mean() / both[ALL].mean())


def beyond(curve: pd.DataFrame, k: float, goal: float) -> intervals.Estimate:
    """R² with k trials minus a share of that with all trials."""
    both = by_recording(curve)
    return _estimate(both[k] - goal * both[ALL])


def goals(curve: pd.DataFrame) -> pd.DataFrame:
    """`GOALS` against a curve: the share that is reached, and whether its interval clears the goal."""
    rows = []
    for k, goal in GOALS.items():
        over = beyond(curve, k, goal)
        mean = "reached" if over.mean >= 0 else "missed"
        sure = intervals.verdict(over) in ("ahead", "behind")
        verdict = mean if sure else f"{mean} on average; the interval includes the goal"
        row = {"trials": k, "goal": goal, "share": share(curve, k), "R² beyond the goal": str(over)}
        rows.append(row | {"verdict": verdict})
    return pd.DataFrame(rows)


def lead_table(table: pd.DataFrame, lines: dict) -> pd.DataFrame:
    """Leads over ridge with ten bins, in words: one row a curve; recordings, `GOALS`, and all."""
    ridge, told = only(table, "ridge", "ridge")[[*GOALS, ALL]], {}
    for title, line in lines.items():
        found = lead(only(table, **line), ridge)
        if found:
            told[title] = {"recordings": max(one.values for one in found.values())} | _told(found)
    return pd.DataFrame(told).T.fillna("—")


def score_table(table: pd.DataFrame, lines: dict) -> pd.DataFrame:
    """Mean R² with its interval, one row a curve, all of the same recordings; `GOALS`, and all."""
    told = {
        title: {words(k): str(at(curve, k)) for k in (*GOALS, ALL) if k in curve and curve[k].notna().any()}
        for title, curve in common(table, lines).items()
    }
    return pd.DataFrame(told).T.fillna("—")


def joint_less_alone(table: pd.DataFrame) -> pd.DataFrame:
    """What joint training adds to the day alone, in words: one row a network and history."""
    bins = {"10 bins": 10, "1 bin": 1}
    told = {
        f"{name}, {title}": _told(lead(*(only(table, way, name, window) for way in ("joint", "alone"))))
        for name in NETWORKS
        for title, window in bins.items()
    }
    return pd.DataFrame(told).T.fillna("—")


def _told(leads):
    """Leads by number of trials, as text."""
    return {words(k): f"{one} {intervals.verdict(one)}" for k, one in leads.items()}


def answer(table: pd.DataFrame) -> str:
    """The chapter's answer, as Markdown; the numbers are those of the table."""
    ner, ridge, rival = (only(table, **line) for line in (BEST, RIDGE, TABLE[RIVAL]))
    others = {
        "Ridge on the same trials, without other days,": ridge,
        "The bottleneck, trained by squared error and used in the same way, on the sphere or off it,": rival,
    }
    told = [
        f"{name} has {_scores(curve)}; against it NER is {_verdicts(lead(ner, curve))}."
        for name, curve in others.items()
        if curve.size
    ]
    return (
        "**Answer.** With a new first layer, three fits averaged, NER decodes velocity with R² "
        f"{_scores(ner)} from {', '.join(map(words, GOALS))} and all labelled trials. {' '.join(told)} "
        f"(Means over {at(ner, ALL).values} recordings, intervals over sessions.)"
    )


def _scores(curve):
    return ", ".join(f"{at(curve, k).mean:.2f}" for k in (*GOALS, ALL))


def _verdicts(leads):
    """Leads by number of trials, as Markdown: each verdict with its numbers of trials."""
    found: dict[str, list[str]] = {}
    for k, one in leads.items():
        found.setdefault(intervals.verdict(one), []).append(words(k))
    return "; ".join(f"**{verdict}** with {', '.join(ks)} trials" for verdict, ks in found.items())


def validated(records: Sequence[dict]) -> pd.DataFrame:
    """Validation trials, one row a network: each way that was tried, and joint training less the day alone.

    Settings are those that the other monkeys' scores choose, so no score has chosen its own settings.
    """
    chosen = pd.DataFrame([r for r in records if r.get("chosen") and r["members"] == 1])
    rows = {}
    for method, own in chosen.replace({"way": {"frozen": "new first layer"}}).groupby("method", sort=False):
        scores = own.pivot_table("velocity_r2", "session", ["way", "trials"], sort=False)
        told = {f"{way}, {k}": f"{scores[way, k].mean():.2f}" for way, k in scores}
        more = intervals.estimate(scores["joint", 16] - scores["alone", 16], scores.index)
        rows[method] = told | {"joint minus alone, 16": f"{more} {intervals.verdict(more)}", "n": len(scores)}
    return pd.DataFrame(rows).T.fillna("—")


def forms(records: Sequence[dict]) -> pd.DataFrame:
    """Validation R² of a new first layer, one row a network and candidate; columns: trials and monkey."""
    tried = [r for r in records if r["split"] == "validation" and r["way"] == "frozen" and r["members"] == 1]
    table = _told_settings(tried)
    table["given"] = table["trials"].map("{} trials".format)
    return table.pivot_table("velocity_r2", ["method", "settings"], ["given", "monkey"], sort=False).round(3)


def choices(records: Sequence[dict]) -> pd.DataFrame:
    """The settings of each network with ten bins, as the other monkeys' validation scores choose them."""
    table = _told_settings([r for r in records if r.get("chosen")])
    return table.groupby(["way", "method", "monkey"], sort=False)["settings"].first().unstack("monkey")


def _told_settings(records):
    """Records as a DataFrame, their settings as text."""
    told = [", ".join(f"{k}={v}" for k, v in r["settings"].items()) for r in records]
    return pd.DataFrame(records).assign(settings=told)


def parity(records: Sequence[dict]) -> tuple[pd.DataFrame, str]:
    """Joint CEBRA beside the `cebra` package (benchmarks/joint_parity.py): R² run by run, and a sentence.

    Both sessions count equally. Runs of the two are not paired, so means over runs are compared.
    """
    table = pd.DataFrame(records).pivot_table("velocity_r2", ["steps", "rate", "seed"], ["session", "code"])
    runs = table.T.groupby("code").mean().T.groupby(["steps", "rate"])
    told = []
    for (steps, rate), own in runs:
        ours, its = (f"{own[code].mean():.3f} ± {own[code].std():.3f}" for code in ("nerlib", "cebra"))
        off = own["nerlib"].mean() - own["cebra"].mean()
        near = "within" if abs(off) <= PARITY else "not within"
        told.append(f"{steps} steps at rate {rate:g}: ours {ours}, the package {its}, {near} {PARITY:g}")
    return table, f"Mean ± s.d. over {runs.size().max()} runs. {'; '.join(told)}."


def words(k: float) -> str:
    return "all" if k == ALL else f"{k:.0f}"


def agreement(embeddings: Sequence[np.ndarray], sessions: Sequence[Session]) -> tuple[float, float]:
    """Mean cosine of a recording's average reaches with the mean of the others, over common bins.

    Returns two floats: of the same direction, and of all other directions, as chance would give.
    """
    directions, *averages = common_averages(embeddings, sessions)
    paths = np.array(averages)
    others = paths.sum(axis=0) - paths
    paths, others = (way / np.linalg.norm(way, axis=-1, keepdims=True) for way in (paths, others))
    cosines = np.einsum("sdtk,setk->de", paths, others) / (paths.shape[0] * paths.shape[2])
    same = np.eye(len(directions), dtype=bool)
    return float(cosines[same].mean()), float(cosines[~same].mean())
