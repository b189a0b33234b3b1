"""Figures of one recording: embeddings and decoded movements. Those of simulated sessions say so."""

from collections.abc import Iterable
from itertools import cycle

import numpy as np

from nerlib import metrics
from nerlib.session import Session

try:
    import matplotlib.pyplot as plt
    import plotly.graph_objects as go
    import seaborn as sns
    from matplotlib.colors import to_hex
    from matplotlib.figure import Figure
    from matplotlib.patheffects import withStroke
except ImportError:
    raise ImportError(
        "figures need matplotlib, seaborn and plotly; install them with: pip install 'nerlib[plots]'"
    ) from None

TRUE, DECODED = "0.25", "#d1495b"


def watermark_simulated(figure: Figure, sessions: Iterable[Session]) -> Figure:
    """Write SIMULATED in a corner of a figure that shows any simulated session."""
    if any(session.simulated for session in sessions):
        figure.suptitle("SIMULATED", x=0.995, ha="right", color="#b00020", fontsize=9, weight="bold")
    return figure


def direction_color(direction: float) -> str:
    """Colour of a direction (degrees): cyclic, and ordered in lightness for colour-blind readers.

    Returns
    -------
    str, hexadecimal; the map "twilight", its light end darkened so that it shows on white
    """
    color = np.array(plt.get_cmap("twilight")((0.5 + direction / 360) % 1)[:3])
    luminance = color @ [0.3, 0.59, 0.11]
    return to_hex(color * min(1.0, 0.66 / luminance))


def _viewpoint(embedding, session):
    """A unit vector to look from: tilted away from where trials begin, so that they open like petals."""
    start = np.zeros(3)
    start[: embedding.shape[1]] = embedding[session.trial_starts].mean(axis=0)
    start += 0.5 * np.linalg.norm(start) * np.roll(start, 1) / max(np.linalg.norm(start), 1e-12) + 1e-6
    return start / np.linalg.norm(start)


def column_names(velocity: np.ndarray) -> list[str]:
    """Names of the columns of a velocity (T, k): x, y, z, 4, 5, …"""
    return list("xyz"[: velocity.shape[1]]) + [str(k + 1) for k in range(3, velocity.shape[1])]


def loss_curve(curve: np.ndarray, session: Session) -> Figure:
    """Loss over training steps.

    Parameters
    ----------
    curve : array (steps,), e.g. ``loss_curve_`` of a fitted method
    session : Session it was trained on
    """
    figure, axes = plt.subplots(figsize=(7, 2.6), layout="constrained")
    axes.plot(curve, color=DECODED, linewidth=0.8)
    axes.set(xlabel="training step", ylabel="loss")
    sns.despine(figure)
    return watermark_simulated(figure, [session])


def trajectories(embedding: np.ndarray, session: Session) -> Figure:
    """Latent trajectories in 3-D: single trials, coloured by direction, and the average of each direction.

    Parameters
    ----------
    embedding : array (T, 3)
    session : Session with T bins; without directions, single trials are drawn in one colour
    """
    directed = session.direction is not None
    figure = plt.figure(figsize=(9 if directed else 4.5, 4.6), layout="constrained")
    panels = [figure.add_subplot(1, 1 + directed, k, projection="3d") for k in range(1, 2 + directed)]
    panels[0].set_title(f"{session.n_trials} single trials")
    for start, path in zip(session.trial_starts, np.split(embedding, session.trial_starts[1:]), strict=True):
        color = direction_color(session.direction[start]) if directed else DECODED
        panels[0].plot(*path.T, color=color, linewidth=0.6, alpha=0.7)
    if directed:
        panels[1].set_title("average of each direction")
        outline = withStroke(linewidth=3, foreground="white")
        for direction, path in zip(*session.average_by_direction(embedding), strict=True):
            color = direction_color(direction)
            panels[1].plot(*path.T, color=color, linewidth=2.2)
            farthest = path[np.argmax(np.linalg.norm(path - path[0], axis=1))]
            label = panels[1].text(*(1.25 * farthest), f"{direction:.0f}°", color=color, ha="center")
            label.set(size=9, weight="bold", zorder=100, path_effects=[outline])
    x, y, z = _viewpoint(embedding, session)
    reach = float(np.abs(embedding).max())
    reach = reach if reach > 1.001 else 1.0  # the sphere's, but for embeddings that are not on it, as PCA's
    for axes in panels:
        axes.set_box_aspect((1, 1, 1), zoom=1.1)
        axes.view_init(np.degrees(np.arcsin(z)), np.degrees(np.arctan2(y, x)))
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), zlim=(-reach, reach))
        for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
            axis.set_ticks((-reach, 0, reach), ["", "", ""])
    return watermark_simulated(figure, [session])


def interactive(embedding: np.ndarray, session: Session) -> go.Figure:
    """The same trajectories to turn by hand: the first 64 trials, and the average of each direction.

    Parameters
    ----------
    embedding : array (T, 3)
    session : Session with T bins; without directions, single trials are drawn in one colour
    """
    figure = go.Figure()
    paths = np.split(embedding, session.trial_starts[1:])[:64]
    if session.direction is None:
        lines = [("trials", DECODED, paths, 1.5)]
    else:
        lines, of_trial = [], session.direction[session.trial_starts]
        for direction, average in zip(*session.average_by_direction(embedding), strict=True):
            name, color = f"{direction:.0f}°", direction_color(direction)
            singles = [path for path, its in zip(paths, of_trial, strict=False) if its == direction]
            lines += [(name, color, singles, 1.5), (name, color, [average], 7)]
    gap = np.full((1, 3), np.nan)
    for name, color, parts, width in lines:
        if parts:
            x, y, z = np.vstack([row for part in parts for row in (part, gap)]).T
            figure.add_scatter3d(
                x=x, y=y, z=z, mode="lines", line={"color": color, "width": width}, name=name,
                legendgroup=name, showlegend=width > 2, opacity=1.0 if width > 2 else 0.45, hoverinfo="name",
            )  # fmt: skip
    title = f"{session.name} {session.area}" + " · SIMULATED" * session.simulated
    eye = dict(zip("xyz", 1.7 * _viewpoint(embedding, session), strict=True))
    return figure.update_layout(
        title={"text": title, "font": {"size": 14}},
        height=460,
        margin={"l": 0, "r": 0, "t": 40, "b": 0},
        scene={"aspectmode": "cube", "camera": {"eye": eye}},
        legend={"title": {"text": "direction"}},
    )


def decoded_against_true(velocities: dict, session: Session) -> Figure:
    """Decoded against true velocity, all its columns together, one panel a method (Figure 1 of the paper).

    Parameters
    ----------
    velocities : dict, title -> array (T, k), decoded (mm/s)
    session : Session with T bins
    """
    size = (3.4 * len(velocities), 3.4)
    figure, grid = plt.subplots(1, len(velocities), figsize=size, sharey=True, squeeze=False)
    figure.set_layout_engine("constrained")
    reach = 1.05 * np.abs(session.velocity).max()
    for axes, (title, velocity) in zip(grid[0], velocities.items(), strict=True):
        colors = cycle([DECODED, "#2e86ab", "#edae49"])
        for true, read in zip(session.velocity.T, velocity.T, strict=True):
            axes.plot(true, read, ".", color=next(colors), markersize=2, alpha=0.4)
        axes.axline((0, 0), slope=1, color=TRUE, linewidth=0.8)
        axes.set(title=title, xlabel="true velocity (mm/s)", xlim=(-reach, reach), ylim=(-reach, reach))
    grid[0, 0].set_ylabel("decoded velocity (mm/s)")
    grid[0, 0].legend(column_names(session.velocity), frameon=False, fontsize=8, markerscale=4)
    sns.despine(figure)
    return watermark_simulated(figure, [session])


def decoded(velocity: np.ndarray, session: Session, *, n_trials: int = 8) -> Figure:
    """Decoded against true velocity and position over time, for the first trials of a session.

    Parameters
    ----------
    velocity : array (T, k), decoded (mm/s)
    session : Session with T bins
    n_trials : int
    """
    shown = session.select(slice(0, n_trials))
    read, true = velocity[: len(shown.velocity)], shown.velocity
    gaps, seconds = shown.trial_starts[1:], np.arange(len(true)) * session.bin_width
    quantities, columns = ("velocity (mm/s)", "position (mm)"), column_names(true)
    names = [f"{column} {quantity}" for quantity in quantities for column in columns]
    true, read = (np.column_stack([v, metrics.position(v, shown)]) for v in (true, read))
    size = (9, 1.5 * len(names))
    figure, panels = plt.subplots(len(names), sharex=True, figsize=size, layout="constrained")
    for column, (axes, name) in enumerate(zip(panels, names, strict=True)):
        for values, color, label in ((true, TRUE, "true"), (read, DECODED, "decoded")):
            broken = np.insert(values[:, column], gaps, np.nan)
            axes.plot(np.insert(seconds, gaps, np.nan), broken, color=color, label=label)
        axes.set_ylabel(name, fontsize=8)
    for start in shown.trial_starts if shown.direction is not None else ():
        place, coordinates = (seconds[start], 1.02), ("data", "axes fraction")
        panels[0].annotate(f"{shown.direction[start]:.0f}°", place, xycoords=coordinates, fontsize=8)
    panels[-1].legend(ncols=2, loc="upper left", bbox_to_anchor=(0, -0.25), fontsize=8, frameon=False)
    panels[-1].set_xlabel("time (s), trials end to end")
    sns.despine(figure)
    return watermark_simulated(figure, [session])


def accuracy(over_time: dict, session: Session, *, chance: float, styles: dict | None = None) -> Figure:
    """Direction accuracy over the time of a trial.

    Parameters
    ----------
    over_time : dict, name -> array (bins,), values in [0, 1], e.g. of `metrics.accuracy_over_time`
    session : Session
    chance : float, accuracy of a decoder that has learned nothing
    styles : dict, name -> properties of its matplotlib line, or None
    """
    figure, axes = plt.subplots(figsize=(7, 2.8), layout="constrained")
    for name, values in over_time.items():
        style = (styles or {}).get(name, {})
        axes.plot(np.arange(len(values)) * session.bin_width, values, label=name, **style)
    axes.axhline(chance, color="0.6", linestyle=":", label="chance")
    axes.set(xlabel="time in the trial (s)", ylabel="share of trials", ylim=(0, 1.02))
    figure.legend(frameon=False, fontsize=8, loc="outside right center")
    sns.despine(figure)
    return watermark_simulated(figure, [session])
