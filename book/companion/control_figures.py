"""Figures of the chapter *Choices and controls*.

``sessions`` are those that the data come from; figures of simulated ones say so.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from companion.control_tables import TITLES, means
from companion.style import finish, grid, line_styles, score_panels, small_text
from nerlib.plots import WIDTH, watermark_simulated
from nerlib.session import Session

NAMES = ("NER", "CEBRA-velocity", "MSE bottleneck", "ridge")
AXES = {  # axis of the choices -> what it says, and whether it grows by factors
    "dimensions": ("dimensions", True),
    "history": ("bins of history", False),
    "history, causal": ("bins of causal history", False),
    "trials": ("training trials", True),
    "temperature": ("temperature", True),
    "steps": ("training steps", True),
    "labels": ("label", False),
}


@small_text
def choices(rows: pd.DataFrame, metric: str, sessions: Sequence[Session]) -> Figure:
    """A held-out score against each choice: means over recordings, bars their intervals; a line a method.

    ``rows`` are those of the tables that `AXES` names, ``metric`` is one of their columns.
    """
    shown = [axis for axis in AXES if (rows["table"] == axis).any()]
    figure, panels = grid(len(shown), 4, size=(WIDTH / min(4, len(shown)), 1.9), more=0.6, sharey=True)
    styles = line_styles(NAMES)
    handles: dict = {}
    for axes, axis in zip(panels.flat, shown, strict=False):
        part = rows[rows["table"] == axis]
        order = list(dict.fromkeys(part["value"]))
        words = isinstance(order[0], str)
        for shift, (method, style) in enumerate(styles.items()):
            found = means(part[part["method"] == method], ["value"], metric)
            if not found:
                continue
            places = [order.index(v) + 0.06 * shift if words else v for (v,) in found]
            ends = np.array([[e.mean - (e.low if e.low is not None else e.mean),
                              (e.high if e.high is not None else e.mean) - e.mean]
                             for e in found.values()]).T  # fmt: skip
            drawn = axes.errorbar(places, [e.mean for e in found.values()], ends, **style, marker="o",
                                  markersize=3, elinewidth=1)  # fmt: skip
            if words:
                drawn.lines[0].set_linestyle("none")
            handles.setdefault(method, drawn)
        title, factors = AXES[axis]
        axes.set_xlabel(title)
        if words:
            axes.set_xticks(range(len(order)), order, rotation=30, ha="right")
            axes.margins(x=0.15)
        elif factors:
            axes.set_xscale("log")
            every = 1 if sum(len(f"{v:g}") for v in order) < 16 else 2  # else numbers would touch
            axes.set_xticks(order, [f"{v:g}" if k % every == 0 else "" for k, v in enumerate(order)])
            axes.set_xticks([], minor=True)
        else:
            axes.set_xticks(order, [f"{v:g}" if v != 2 else "" for v in order])
    for axes in panels[:, 0]:
        axes.set_ylabel(TITLES[metric])
    key = list(handles.values()), list(handles)
    figure.legend(*key, loc="outside lower right", ncols=len(handles), frameon=False)
    return finish(figure, sessions)


@small_text
def ladder(rows: pd.DataFrame, metrics: Sequence[str], sessions: Sequence[Session]) -> Figure:
    """Scores of the column "method", the first at the top: recordings as points, means with their intervals.

    ``rows`` has the columns method, session, area and ``metrics``, each of which has a panel.
    """
    order = list(dict.fromkeys(rows["method"]))
    table = rows.melt(rows.columns.difference(metrics), metrics, "metric", "score")
    figure, panels = score_panels(table, "method", order, 0.9 + 0.25 * len(order))
    first = line_styles(NAMES)["NER"]["color"]
    for axes, metric, scores, _ in panels:
        low = max(-1.0, float(scores["score"].min()) - 0.02)  # an arrow stands for means beyond the axis
        axes.axvline(0, color="0.7", linewidth=0.8)
        for place, name in enumerate(order):
            part = scores[scores["method"] == name]
            each = part.groupby(["session", "area"])["score"].mean().dropna()
            if not len(each):
                continue
            color = first if name.startswith("NER") else "0.35"
            axes.scatter(each.clip(lower=low), np.full(len(each), place), s=8, color=color, alpha=0.35)
            ((_, found),) = means(part, ["method"], "score").items()
            if found.low is not None:
                axes.hlines(place, max(found.low, low), max(found.high, low), color=color, linewidth=2)
            axes.scatter(max(found.mean, low), place, s=36, color=color, zorder=3,
                         marker="o" if found.mean >= low else "<")  # fmt: skip
        axes.set(xlabel=TITLES[metric], xlim=(low - 0.05, 1.05))
    figure.axes[0].set_ylim(len(order) - 0.4, -0.6)
    return finish(figure, sessions)


@small_text
def confusion(counts: dict, sessions: Sequence[Session]) -> Figure:
    """Decoded against true direction, one panel a method: percent of the trials to each target.

    ``counts`` is a dict, title -> (directions (K,), array (K, K) of counts, true by decoded).
    """
    figure, panels = grid(len(counts), size=(WIDTH / 3, 2.7), sharey=True)
    for axes, (title, (directions, square)) in zip(panels[0], counts.items(), strict=True):
        percent = 100 * square / np.maximum(square.sum(axis=1, keepdims=True), 1)
        ticks = [f"{d:.0f}" for d in directions]
        sns.heatmap(percent, ax=axes, vmin=0, vmax=100, cmap="mako", square=True, cbar=False, linewidths=0.5,
                    annot=True, fmt=".0f", annot_kws={"fontsize": 8},
                    xticklabels=ticks, yticklabels=ticks)  # fmt: skip
        axes.set(title=title, xlabel="decoded (degrees)")
        axes.tick_params(length=0)
    panels[0, 0].set_ylabel("true (degrees)")
    return watermark_simulated(figure, sessions)
