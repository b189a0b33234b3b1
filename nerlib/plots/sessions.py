"""Figures of one session or several: embeddings and decoded movements."""

import os

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from nerlib import metrics
from nerlib.plots.style import DECODED, TRUE, mark


def direction_color(direction):
    """Colour of a direction (degrees): cyclic, and ordered in lightness for colour-blind readers.

    Returns
    -------
    str, hexadecimal; the map "twilight", its light end darkened so that it shows on white
    """
    color = np.array(plt.get_cmap("twilight")((0.5 + direction / 360) % 1)[:3])
    luminance = color @ [0.3, 0.59, 0.11]
    return to_hex(color * min(1.0, 0.66 / luminance))


def _from_rest(embedding, session):
    """A unit vector to look from: slanted off where trials begin, so that they open like petals."""
    start = np.zeros(3)
    start[: embedding.shape[1]] = embedding[session.trial_starts].mean(axis=0)
    start += 0.5 * np.linalg.norm(start) * np.roll(start, 1) / max(np.linalg.norm(start), 1e-12) + 1e-6
    return start / np.linalg.norm(start)


def loss_curve(curve, session):
    """Loss over training steps.

    Parameters
    ----------
    curve : array (steps,)
    session : Session it was trained on
    """
    figure, axes = plt.subplots(figsize=(7, 2.6), layout="constrained")
    axes.plot(curve, color=DECODED, linewidth=0.8)
    axes.set(xlabel="training step", ylabel="loss")
    sns.despine(figure)
    return mark(figure, [session])


def distances(pairs, session):
    """Distance in the embedding against distance between movements, one panel an embedding.

    Parameters
    ----------
    pairs : dict, title -> (label distances, embedding distances), two arrays of one shape
    session : Session
    """
    size = (2.6 * len(pairs), 2.9)
    figure, panels = plt.subplots(
        1, len(pairs), figsize=size, layout="constrained", sharex=True, sharey=True, squeeze=False
    )
    for axes, (title, (labels, embedded)) in zip(panels[0], pairs.items(), strict=True):
        axes.hexbin(
            labels.ravel(),
            embedded.ravel() / embedded.max(),
            gridsize=40,
            bins="log",
            cmap="Greys",
            linewidths=0.1,
        )
        axes.set(title=title, xlabel="label distance d\n(mm/s and degrees, added)", ylim=(0, 1))
    panels[0, 0].set_ylabel("distance in the embedding\n(share of the largest)")
    return mark(figure, [session])


def trajectories(embedding, session):
    """Latent trajectories in 3-D, coloured by direction: single trials, and their averages.

    Parameters
    ----------
    embedding : array (T, 3)
    session : Session with T bins
    """
    figure = plt.figure(figsize=(9, 4.6), layout="constrained")
    directions, averages = session.average_by_direction(embedding)
    single, mean = (figure.add_subplot(1, 2, k, projection="3d") for k in (1, 2))
    for start, length in zip(session.trial_starts, session.trial_lengths, strict=True):
        path = embedding[start : start + length]
        single.plot(*path.T, color=direction_color(session.direction[start]), linewidth=0.6, alpha=0.7)
    for direction, path in zip(directions, averages, strict=True):
        color = direction_color(direction)
        mean.plot(*path.T, color=color, linewidth=2.2)
        farthest = path[np.argmax(np.linalg.norm(path - path[0], axis=1))]
        label = mean.text(*(1.25 * farthest), f"{direction:.0f}°", color=color, fontsize=9, ha="center")
        label.set(weight="bold", zorder=100, path_effects=[withStroke(linewidth=3, foreground="white")])
    x, y, z = _from_rest(embedding, session)
    for axes, title in ((single, f"{session.n_trials} single trials"), (mean, "average of each direction")):
        axes.set(title=title, xlim=(-1, 1), ylim=(-1, 1), zlim=(-1, 1))
        axes.set_box_aspect((1, 1, 1), zoom=1.1)
        axes.view_init(np.degrees(np.arcsin(z)), np.degrees(np.arctan2(y, x)))
        axes.set(xticks=(-1, 0, 1), yticks=(-1, 0, 1), zticks=(-1, 0, 1))
        axes.set(xticklabels=[], yticklabels=[], zticklabels=[])
    return mark(figure, [session])


def interactive(embedding, session):
    """The same trajectories, single ones of the first 64 trials, to turn by hand: HTML for a notebook.

    In the built book the drawing library is one file beside the pages; elsewhere it is part of the output.

    Parameters
    ----------
    embedding : array (T, 3)
    session : Session with T bins
    """
    import plotly.graph_objects as go
    from IPython.display import HTML

    figure = go.Figure()
    directions, averages = session.average_by_direction(embedding)
    first = session.select(slice(0, 64))
    for direction, average in zip(directions, averages, strict=True):
        color, name = direction_color(direction), f"{direction:.0f}°"
        singles = [
            np.vstack([embedding[s : s + n], [[None] * 3]])
            for s, n in zip(first.trial_starts, first.trial_lengths, strict=True)
            if session.direction[s] == direction
        ]
        for path, width, shown in ((np.vstack(singles) if singles else None, 1.5, False), (average, 7, True)):
            if path is not None:
                x, y, z = np.asarray(path, dtype=object).T
                line = {"color": color, "width": width}
                figure.add_scatter3d(
                    x=x, y=y, z=z, mode="lines", line=line, name=name, legendgroup=name, showlegend=shown,
                    opacity=1.0 if shown else 0.45, hoverinfo="name",
                )  # fmt: skip
    mark = " · SIMULATED" if session.simulated else ""
    eye = _from_rest(embedding, session)
    figure.update_layout(
        title={"text": f"{session.name} {session.area}{mark}", "font": {"size": 14}},
        height=460,
        margin={"l": 0, "r": 0, "t": 40, "b": 0},
        scene={"aspectmode": "cube", "camera": {"eye": dict(zip("xyz", 1.7 * eye, strict=True))}},
        legend={"title": {"text": "direction"}},
    )
    source = "plotly.min.js" if os.environ.get("NERLIB_BOOK") else True
    html = figure.to_html(full_html=False, include_plotlyjs=source, config={"responsive": True})
    label = f"Interactive 3-D latent trajectories of {session.name} {session.area}, coloured by direction"
    return HTML(f'<div role="img" aria-label="{label}">{html}</div>')


def gallery(views):
    """Averages of each direction in several embeddings side by side, two- or three-dimensional, and the key.

    Parameters
    ----------
    views : dict, title -> (embedding (T, 2) or (T, 3), Session with T bins)
    """
    columns = min(4, len(views))
    rows = -(-len(views) // columns)
    figure = plt.figure(figsize=(2.4 * columns, 2.6 * rows), layout="constrained")
    for place, (title, (embedding, session)) in enumerate(views.items(), 1):
        flat = embedding.shape[1] == 2
        axes = figure.add_subplot(rows, columns, place, projection=None if flat else "3d")
        for direction, path in zip(*session.average_by_direction(embedding), strict=True):
            axes.plot(*path.T[:3], color=direction_color(direction), linewidth=1.6)
        axes.set_title(title, fontsize=10)
        axes.tick_params(labelbottom=False, labelleft=False, length=0)
        if not flat:
            axes.tick_params(axis="z", labelright=False, labelleft=False)
    directions = sorted({d for _, session in views.values() for d in session.direction.tolist()})
    key = [Line2D([], [], color=direction_color(d), linewidth=3, label=f"{d:.0f}°") for d in directions]
    figure.legend(handles=key, loc="outside lower center", ncols=8, fontsize=8, frameon=False, handlelength=1)
    return mark(figure, [session for _, session in views.values()])


def decoded_against_true(velocities, session):
    """Decoded against true velocity, x and y together, one panel a method (Figure 1).

    Parameters
    ----------
    velocities : dict, title -> array (T, 2), decoded (mm/s)
    session : Session with T bins
    """
    size = (3.4 * len(velocities), 3.4)
    figure, panels = plt.subplots(
        1, len(velocities), figsize=size, sharey=True, layout="constrained", squeeze=False
    )
    reach = 1.05 * np.abs(session.velocity).max()
    for axes, (title, velocity) in zip(panels[0], velocities.items(), strict=True):
        for axis, color in ((0, DECODED), (1, "#2e86ab")):
            axes.plot(session.velocity[:, axis], velocity[:, axis], ".", color=color, markersize=2, alpha=0.4)
        axes.axline((0, 0), slope=1, color=TRUE, linewidth=0.8)
        axes.set(title=title, xlabel="true velocity (mm/s)", xlim=(-reach, reach), ylim=(-reach, reach))
    panels[0, 0].set_ylabel("decoded velocity (mm/s)")
    panels[0, 0].legend(["x", "y"], frameon=False, fontsize=8, markerscale=4)
    sns.despine(figure)
    return mark(figure, [session])


def decoded(velocity, session, *, n_trials=8):
    """Decoded against true velocity and position over time, for the first trials of a session.

    Parameters
    ----------
    velocity : array (T, 2), decoded (mm/s)
    session : Session with T bins
    n_trials : int
    """
    shown = session.select(slice(0, n_trials))
    n_bins = len(shown.trial)
    seconds = np.arange(n_bins) * session.bin_width
    rows = [("velocity (mm/s)", shown.velocity, velocity[:n_bins])]
    rows.append(("position (mm)", *(metrics.position(v, shown) for v in rows[0][1:])))
    figure, panels = plt.subplots(4, 1, figsize=(9, 6), sharex=True, layout="constrained")
    for row, (quantity, true, read) in enumerate(rows):
        for column, axis in enumerate("xy"):
            axes = panels[2 * row + column]
            for values, color, name in ((true, TRUE, "true"), (read, DECODED, "decoded")):
                broken = np.insert(values[:, column], shown.trial_starts[1:], np.nan)
                axes.plot(np.insert(seconds, shown.trial_starts[1:], np.nan), broken, color=color, label=name)
            axes.set_ylabel(f"{axis} {quantity}", fontsize=8)
    for start in shown.trial_starts:
        panels[0].annotate(
            f"{shown.direction[start]:.0f}°",
            (seconds[start], 1.02),
            xycoords=("data", "axes fraction"),
            fontsize=8,
        )
    panels[-1].legend(ncols=2, loc="upper left", bbox_to_anchor=(0, -0.25), fontsize=8, frameon=False)
    panels[-1].set_xlabel("time (s), trials end to end")
    sns.despine(figure)
    return mark(figure, [session])
