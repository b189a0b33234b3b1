"""Figures of the book's comparisons: methods, recordings and pairs of sessions.

``sessions`` are those that the data come from; figures of simulated ones say so. Figures of one recording are
in `nerlib.plots`.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from IPython.display import HTML
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from companion import interactive
from companion.comparison import METRICS
from companion.style import finish, line_styles, method_color, score_panels
from nerlib import plots
from nerlib.plots import DECODED, TRUE, direction_color, watermark_simulated
from nerlib.session import Session


def accuracy(over_time: dict, session: Session, *, chance: float) -> Figure:
    """Direction accuracy over the time of a trial; ``chance`` is that of a decoder that has learned nothing.

    ``over_time``: dict, name -> array (bins,), values in [0, 1], e.g. of `metrics.accuracy_over_time`.
    """
    figure, axes = plt.subplots(figsize=(plots.WIDTH, 2.7), layout="constrained")
    for name, style in line_styles(over_time).items():
        axes.plot(np.arange(len(over_time[name])) * session.bin_width, over_time[name], label=name, **style)
    axes.axhline(chance, color="0.6", linestyle=":", label="chance")
    axes.set(xlabel="time in the trial (s)", ylabel="share of trials", ylim=(0, 1.02))
    figure.legend(frameon=False, fontsize=8, loc="outside right center")
    return finish(figure, [session])


def show_interactive(embedding: np.ndarray, session: Session) -> HTML:
    """`interactive.trajectories` as HTML for a notebook; parameters as there."""
    label = f"Interactive 3-D latent trajectories of {session.name} {session.area}, coloured by direction"
    return interactive.as_html(interactive.trajectories(embedding, session), label)


def gallery(views: dict) -> Figure:
    """Averages of each direction in several embeddings side by side, two- or three-dimensional, and the key.

    All three-dimensional panels have one camera, that of the first of them. ``views`` is a dict,
    title -> (embedding (T, 2) or (T, 3), Session with T bins).
    """
    columns = min(4, len(views))
    rows = -(-len(views) // columns)
    side = plots.WIDTH / 4
    figure = plt.figure(figsize=(side * columns, (side + 0.25) * rows + 0.3), layout="constrained")
    camera = next((plots.viewpoint(*view) for view in views.values() if view[0].shape[1] > 2), None)
    for place, (title, (embedding, session)) in enumerate(views.items(), 1):
        flat = embedding.shape[1] == 2
        axes = figure.add_subplot(rows, columns, place, projection=None if flat else "3d")
        directions, paths = session.average_by_direction(embedding[:, :3])
        radius = np.linalg.norm(paths, axis=-1).max()
        if radius > 1.001:  # not on the unit sphere: centred, its sphere as large as needed
            paths = paths - paths.mean(axis=(0, 1))
            radius = np.linalg.norm(paths, axis=-1).max()
        for direction, path in zip(directions, paths, strict=True):
            axes.plot(*path.T, color=direction_color(direction), linewidth=1.6)
        axes.set_title(title, fontsize=9)
        if flat:
            axes.set_aspect("equal", "datalim")
            axes.tick_params(labelbottom=False, labelleft=False, length=0)
            sns.despine(ax=axes, left=True, bottom=True)
        else:
            plots.draw_sphere(axes, max(radius, 1.0) if radius <= 1.001 else radius)
            x, y, z = camera
            axes.view_init(np.degrees(np.arcsin(z)), np.degrees(np.arctan2(y, x)))
    directions = sorted({d for _, session in views.values() for d in session.direction.tolist()})
    key = [Line2D([], [], color=direction_color(d), linewidth=3, label=f"{d:.0f}°") for d in directions]
    figure.legend(handles=key, loc="outside lower center", ncols=8, fontsize=8, frameon=False, handlelength=1)
    return watermark_simulated(figure, [session for _, session in views.values()])


def methods(table: pd.DataFrame, sessions: Sequence[Session]) -> Figure:
    """Scores of all methods, one panel a metric: every recording a point, the mean over recordings a bar.

    Thin lines join the points of a recording. ``table`` is that of `comparison.compare`, of one split,
    protocol and decoder.
    """
    order = list(table["method"].unique())
    figure, panels = score_panels(table, "method", order, 1.2 + 0.3 * len(order))
    for axes, metric, each, _ in panels:
        rows = each.groupby(["method", "recording"], as_index=False)[["ours", "paper"]].mean()
        places = rows["method"].map(order.index)
        mean = rows.groupby("method")[["ours", "paper"]].mean().reindex(order)
        colors = [method_color(name) for name in order]
        axes.barh(range(len(order)), mean["ours"].clip(lower=0), height=0.7, color=colors, alpha=0.25)
        paired = rows.pivot(index="method", columns="recording", values="ours").reindex(order)
        axes.plot(paired, range(len(order)), color="0.6", linewidth=0.4, alpha=0.6, zorder=1)
        of_method = rows["method"].map(method_color)
        axes.scatter(rows["ours"], places, s=9, c=of_method, alpha=0.8, zorder=2, label="ours, a recording")
        if rows["paper"].notna().any():
            axes.scatter(mean["paper"], range(len(order)), s=60, marker="|", color=TRUE, label="paper, mean")
        low = -0.5
        beyond = rows["ours"] < low  # an arrow stands for what lies beyond the axis
        axes.scatter(np.full(beyond.sum(), low + 0.02), places[beyond], s=30, marker="<", c=of_method[beyond])
        axes.set(xlabel=METRICS[metric], xlim=(min(-0.05, max(low, rows["ours"].min())), 1.02))
    kinds = axes.get_legend_handles_labels()
    figure.legend(*kinds, frameon=False, fontsize=8, loc="outside lower right", ncols=2)
    return finish(figure, sessions)


def leads(table: pd.DataFrame, sessions: Sequence[Session]) -> Figure:
    """By how much NER leads each of the others, one panel a metric: the mean and its 95 % interval.

    Filled where the interval excludes zero; beside it, in how many recordings NER is ahead. ``table`` is
    that of `intervals.leads`.
    """
    order = list(dict.fromkeys(table["other"]))
    figure, panels = score_panels(table, "other", order, 1.1 + 0.3 * len(order))
    for axes, metric, rows, places in panels:
        ends = rows[["low", "high"]].astype(float).fillna({"low": rows["mean"], "high": rows["mean"]})
        sure = rows["verdict"].isin(["ahead", "behind"]).to_numpy()
        axes.axvline(0, color="0.6", linewidth=0.8)
        colors = [method_color(name) for name in rows["other"]]
        axes.hlines(places, ends["low"], ends["high"], color=colors, linewidth=1.6)
        filled = [color if full else "white" for color, full in zip(colors, sure, strict=True)]
        axes.scatter(rows["mean"], places, s=30, edgecolors=colors, facecolors=filled, zorder=3)
        for place, row in zip(places, rows.itertuples(), strict=True):
            axes.annotate(f"{row.positive}/{row.values}", (1.0, place), xycoords=("axes fraction", "data"),
                          fontsize=8, color="0.35", va="center", ha="left")  # fmt: skip
        axes.set(xlabel=f"NER minus the other,\n{METRICS.get(metric, metric)}")
    figure.axes[0].set_ylim(len(order) - 0.4, -0.6)
    return finish(figure, sessions)


def scores(table: pd.DataFrame, sessions: Sequence[Session]) -> Figure:
    """Scores of every session, one panel a metric: ours as points over seeds, the paper's as a ring.

    ``table`` is that of `comparison.compare`, of one split and one protocol.
    """
    order = sorted(table["recording"].unique())
    figure, panels = score_panels(table, "recording", order, 1.2 + 0.24 * len(order))
    for axes, metric, rows, places in panels:
        axes.scatter(rows["paper"], places, s=70, facecolors="none", edgecolors=TRUE, label="paper")
        axes.scatter(rows["ours"], places, s=14, color=DECODED, alpha=0.6, label="ours")
        axes.set(xlabel=METRICS[metric])
        axes.grid(axis="x", color="0.9")
        axes.margins(y=0.08)
    first = 0 if table["paper"].notna().any() else 1  # no key to rings where there are none
    kinds = [kind[first:] for kind in axes.get_legend_handles_labels()]
    figure.legend(*kinds, frameon=False, fontsize=8, loc="outside lower right", ncols=2)
    return finish(figure, sessions)


def matrices(table: pd.DataFrame, sessions: Sequence[Session], *, vmin: float = 0.0) -> Figure:
    """Scores of every source and target as coloured squares, one panel a method (Figure 5).

    ``table`` is that of `comparison.compare_transfer`, of one metric, protocol and decoder. Scores of
    ``vmin`` and below are drawn darkest.
    """
    shown = list(table["method"].unique())
    order = sorted({*table["from"], *table["to"]})
    columns = min(3 if len(order) <= 6 and len(shown) != 4 else 2, len(shown))
    rows = -(-len(shown) // columns)
    side = (plots.WIDTH - 2.3) / columns  # of a panel, beside names and scale
    # names are below, in two rows if need be
    size = (plots.WIDTH, (side + 0.3) * rows + 1.7 + 1.2 * (len(shown) % columns > 0))
    figure, panels = plt.subplots(
        rows, columns, sharex=True, sharey=True, squeeze=False, figsize=size, layout="constrained"
    )
    readable = side / len(order) >= 0.3  # inches for a number of 8 pt
    for axes, method in zip(panels.flat, shown, strict=False):
        square = table[table["method"] == method].pivot_table(values="ours", index="from", columns="to")
        sns.heatmap(
            square.reindex(index=order, columns=order), ax=axes, vmin=vmin, vmax=1, cmap="mako", square=True,
            annot=readable, fmt=".2f", annot_kws={"fontsize": 8}, cbar=False, linewidths=0.5,
            xticklabels=True, yticklabels=True,
        )  # fmt: skip
        axes.set(title=method, xlabel="", ylabel="")
        axes.tick_params(labelsize=8, length=0)
        axes.tick_params(axis="x", rotation=90)
        axes.tick_params(axis="y", rotation=0)
    for axes in panels.flat[len(shown) :]:
        axes.set_visible(False)
    for axes in panels.flat[len(shown) - columns : len(shown)]:  # the lowest panel of each column
        axes.tick_params(labelbottom=True)
    figure.supxlabel("decoded session", fontsize=9)
    for axes in panels[:, 0]:
        axes.set_ylabel("session of the decoder", fontsize=9)
    scale = plt.cm.ScalarMappable(plt.Normalize(vmin, 1), "mako")
    figure.colorbar(scale, ax=panels, shrink=0.8, aspect=30, label=METRICS[table["metric"].iloc[0]])
    return watermark_simulated(figure, sessions)


def consistency(table: pd.DataFrame, sessions: Sequence[Session]) -> Figure:
    """Consistency of pairs of sessions: means by the days between them, and every pair; one colour a method.

    ``table`` has one row a pair (and seed), with columns method, days and consistency.
    """
    shown = list(table["method"].unique())
    size = (plots.WIDTH, 0.9 + 0.32 * len(shown))
    figure, (left, right) = plt.subplots(1, 2, figsize=size, width_ratios=(1.4, 1), layout="constrained")
    lags = pd.cut(table["days"], [-1, 0, 31, 365, np.inf], labels=["0", "1 to 31", "32 to 365", "more"])
    for place, (method, style) in enumerate(line_styles(shown).items()):
        rows = table[table["method"] == method]
        means = rows.groupby(lags, observed=True)["consistency"].mean()
        left.plot(means.index.astype(str), means, marker="o", markersize=4, **style)
        right.barh(place, rows["consistency"].mean(), height=0.7, color=style["color"], alpha=0.45)
        right.scatter(rows["consistency"], np.full(len(rows), place), s=8, color=style["color"], alpha=0.7)
    left.set(xlabel="days between the sessions", ylabel="consistency (R²), mean", ylim=(0, 1.02))
    right.set(xlabel="consistency (R²), every pair", xlim=(0, 1.02))
    right.set_yticks(range(len(shown)), shown)
    right.invert_yaxis()
    return finish(figure, sessions)


def growth(curves: dict, sessions: Sequence[Session] = ()) -> Figure:
    """Seconds over size, both logarithmic, one line a curve and its slope in the legend.

    ``curves`` is a dict, name -> (sizes, seconds).
    """
    figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
    for (name, (sizes, seconds)), color in zip(curves.items(), sns.color_palette("colorblind"), strict=False):
        slope = np.polyfit(np.log(sizes), np.log(seconds), 1)[0]
        axes.loglog(sizes, seconds, "o-", color=color, label=f"{name}, grows as $n^{{{slope:.1f}}}$")
    marked = sorted({n for sizes, _ in curves.values() for n in sizes})
    axes.set_xticks(marked, marked)
    axes.set_xticks([], minor=True)
    axes.set(xlabel="points in the batch, n", ylabel="seconds")
    axes.legend(frameon=False, fontsize=9)
    return finish(figure, sessions)


def ratios(found: np.ndarray, published: float, label: str, sessions: Sequence[Session] = ()) -> Figure:
    """Ratios of paired timings as points on one line, their median as a bar, and the paper's value.

    ``found`` is an array (turns,), ``published`` the paper's value; ``label`` says what the ratios are of.
    """
    figure, axes = plt.subplots(figsize=(plots.WIDTH, 1.3), layout="constrained")
    axes.axvline(published, color="0.4", linestyle="--", linewidth=1, label="paper")
    sns.stripplot(x=found, color=method_color("NER"), alpha=0.6, size=6, ax=axes)
    axes.plot(2 * [np.median(found)], [-0.25, 0.25], color=method_color("NER"), linewidth=3, label="median")
    axes.set(xlim=(0, 1.25 * max(*found, published)), xlabel=label, yticks=[])
    axes.legend(frameon=False, fontsize=9, loc="upper left")
    return finish(figure, sessions, left=True)
