"""Figures of one recording: what it holds, its scores, what more trials bring; and a simulated track."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from companion.own_scores import SCORES
from companion.style import finish, line_styles, score_panels, small_text
from nerlib.plots import DECODED, TRUE, WIDTH
from nerlib.session import Session


@small_text
def overview(session: Session, event: str, before: float) -> Figure:
    """Rates of the units, and speed and population rate over the trial: is the window where the movement is?

    Trials are aligned to ``event``, which is ``before`` seconds after their first bin.
    """
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(WIDTH, 2.5), layout="constrained")
    left.hist(session.rates.mean(axis=0) / session.bin_width, bins=20, color="0.6")
    left.set(xlabel="rate of a unit (spikes/s)", ylabel="units")
    speed = np.linalg.norm(session.velocity, axis=1)
    total = session.rates.mean(axis=1) / session.bin_width
    seconds = (np.arange(session.trial_lengths.max()) + 0.5) * session.bin_width - before
    for start, length in zip(session.trial_starts, session.trial_lengths, strict=True):
        middle.plot(seconds[:length], speed[start : start + length], color="0.75", linewidth=0.4)
    for axes, values in ((middle, speed), (right, total)):
        mean = np.bincount(session.bin_in_trial, values) / np.bincount(session.bin_in_trial)
        axes.plot(seconds, mean, color=DECODED, linewidth=2)
        axes.axvline(0, color=TRUE, linewidth=0.8, linestyle=":")
        axes.set(xlabel=f"time from {event} (s)")
    middle.set(ylabel="speed (mm/s), trials and mean", ylim=0)
    right.set(ylabel="mean rate (spikes/s)", ylim=0)
    return finish(figure, [session])


@small_text
def scores(table: pd.DataFrame, session: Session) -> Figure:
    """Scores of `own_scores.table` with their intervals, one panel a score, one row a method."""
    order = list(dict.fromkeys(table["method"]))
    figure, panels = score_panels(table, "method", order, 1.2 + 0.28 * len(order))
    for axes, metric, rows, places in panels:
        axes.hlines(places, rows["low"], rows["high"], color=DECODED, linewidth=1.6)
        axes.scatter(rows["score"], places, s=26, color=DECODED, zorder=3)
        axes.axvline(0, color="0.6", linewidth=0.8)
        beyond = rows["score"] < -0.5  # an arrow stands for what lies beyond the axis
        axes.scatter(np.full(beyond.sum(), -0.48), places[beyond], s=30, marker="<", color=DECODED)
        lowest = max(-0.5, min(-0.05, rows["low"].min()))
        axes.set(xlabel=SCORES[metric].replace(", ", ",\n"), xlim=(lowest, 1.02))
        axes.set_xticks([tick for tick in (-0.5, 0, 0.5, 1) if tick >= lowest])
    figure.axes[0].set_ylim(len(order) - 0.5, -0.5)
    return finish(figure, [session])


def more_trials(table: pd.DataFrame, session: Session) -> Figure:
    """R² of velocity over the number of training trials, one line a method, with intervals.

    ``table`` is that of `own_scores.table`, for the same methods trained on fewer and on all trials.
    """
    figure, axes = plt.subplots(figsize=(5.5, 3), layout="constrained")
    rows = table[table["metric"] == "velocity_r2"]
    for method, style in line_styles(list(dict.fromkeys(rows["method"]))).items():
        its = rows[rows["method"] == method].sort_values("train_trials")
        ends = np.abs(its[["low", "high"]].to_numpy().T - its["score"].to_numpy())
        about = style | {"marker": "o", "markersize": 4, "label": method}
        axes.errorbar(its["train_trials"], its["score"], ends, **about)
    axes.set(xlabel="training trials", ylabel="R² of velocity, held out", ylim=(min(0, rows["low"].min()), 1))
    axes.set_xticks(sorted(rows["train_trials"].unique()))
    axes.set_xlim(left=0)
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    return finish(figure, [session])


def track(position: tuple, heading: tuple) -> Figure:
    """Decoded against true position (cm) and heading (degrees) of held-out laps of the simulated track.

    Both are pairs (true (T,), decoded (T,)).
    """
    figure, panels = plt.subplots(1, 2, figsize=(6.5, 3.2), layout="constrained")
    units = ("position (cm)", "heading (degrees)")
    for axes, (true, decoded), name in zip(panels, (position, heading), units, strict=True):
        axes.plot(true, decoded, ".", color=DECODED, markersize=2, alpha=0.4)
        axes.axline((0, 0), slope=1, color=TRUE, linewidth=0.8)
        axes.set(xlabel=f"true {name}", ylabel=f"decoded {name}")
    sns.despine(figure)
    figure.suptitle("SIMULATED", x=0.995, ha="right", color="#b00020", fontsize=9, weight="bold")
    return figure
