"""Figures of one recording: embeddings and decoded movements. Those of simulated sessions say so."""

from collections.abc import Iterable

import numpy as np

from nerlib import metrics
from nerlib.session import Session

try:
    import matplotlib.pyplot as plt
    import seaborn as sns
    from matplotlib.colors import to_hex, to_rgb
    from matplotlib.figure import Figure
    from matplotlib.patheffects import withStroke
    from mpl_toolkits.mplot3d import Axes3D
    from mpl_toolkits.mplot3d.art3d import Line3DCollection
except ImportError:
    message = "figures need matplotlib and seaborn; install them with: pip install 'nerlib[plots]'"
    raise ImportError(message) from None

TRUE, DECODED = "0.25", "#d1495b"
WIDTH = 6.9  # of a figure that takes the width of a page, in inches: text keeps its size there


def watermark_simulated(figure: Figure, sessions: Iterable[Session]) -> Figure:
    """Write SIMULATED in a corner of a figure that shows any simulated session."""
    if any(session.simulated for session in sessions):
        figure.suptitle("SIMULATED", x=0.995, ha="right", color="#b00020", fontsize=9, weight="bold")
    return figure


# A circle of light pink, yellow, brown, dark violet, blue and light blue: lightness against yellow or blue,
# which readers without red or green cones see too. All stand out on white.
_AROUND = ["#d4688f", "#c28700", "#9c5f00", "#5c3d0a", "#231942", "#2b3a9f", "#2273c9", "#4799c8"]


def direction_color(direction: float) -> str:
    """Colour (hexadecimal) of a direction (degrees): cyclic, from lightest at 0° to darkest at 180°."""
    place = direction / 45 % 8
    colors = np.array([to_rgb(_AROUND[(int(place) + step) % 8]) for step in (0, 1)])
    return to_hex((1 - place % 1) * colors[0] + place % 1 * colors[1])


def draw_sphere(axes: Axes3D, radius: float = 1.0) -> None:
    """A faint sphere around the origin in place of the box of 3-D axes, which are cut to fit it."""
    axes.set_axis_off()
    axes.set_box_aspect((1, 1, 1), zoom=1.55)
    axes.set(**dict.fromkeys(("xlim", "ylim", "zlim"), (-radius, radius)))
    angle = np.linspace(0, 2 * np.pi, 73)
    ring = radius * np.array([np.cos(angle), np.sin(angle), 0 * angle])
    rings = [ring[list(turn)].T for turn in ((0, 1, 2), (0, 2, 1), (2, 0, 1))]
    axes.add_collection3d(Line3DCollection(rings, colors="0.82", linewidths=0.6, zorder=0))


def viewpoint(embedding, session):
    """A unit vector to look from: tilted away from where trials begin, so that they open like petals."""
    start = np.zeros(3)
    start[: embedding.shape[1]] = embedding[session.trial_starts].mean(axis=0)
    start += 0.5 * np.linalg.norm(start) * np.roll(start, 1) / max(np.linalg.norm(start), 1e-12) + 1e-6
    return start / np.linalg.norm(start)


def column_names(velocity: np.ndarray) -> list[str]:
    """Names of the columns of a velocity (T, k): x, y, z, 4, 5, …"""
    return list("xyz"[: velocity.shape[1]]) + [str(k + 1) for k in range(3, velocity.shape[1])]


def trajectories(embedding: np.ndarray, session: Session) -> Figure:
    """Latent trajectories in 3-D: single trials, coloured by direction, and the average of each direction.

    ``embedding`` is an array (T, 3). In a session without directions, single trials are drawn in one colour.
    """
    directed = session.direction is not None
    figure = plt.figure(figsize=(WIDTH if directed else WIDTH / 2, 3.6), layout="constrained")
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
            label = panels[1].text(*(1.1 * farthest), f"{direction:.0f}°", color=color, ha="center")
            label.set(size=9, clip_on=False, weight="bold", zorder=100, path_effects=[outline])
    x, y, z = viewpoint(embedding, session)
    for axes in panels:
        draw_sphere(axes, max(1.0, np.linalg.norm(embedding, axis=1).max()))
        axes.view_init(np.degrees(np.arcsin(z)), np.degrees(np.arctan2(y, x)))
    return watermark_simulated(figure, [session])


def decoded(velocity: np.ndarray, session: Session, *, n_trials: int = 8) -> Figure:
    """Decoded ``velocity`` (T, k), mm/s, and position against the truth over time: ``n_trials`` trials."""
    shown = session.select(slice(0, n_trials))
    gaps, true = shown.trial_starts[1:], shown.velocity
    seconds = np.insert(np.arange(len(true)) * session.bin_width, gaps, np.nan)
    names = [f"{x} {what}" for what in ("velocity (mm/s)", "position (mm)") for x in column_names(true)]
    size = (WIDTH, 1.4 * len(names))
    figure, panels = plt.subplots(len(names), sharex=True, figsize=size, layout="constrained")
    for values, color, label in ((true, TRUE, "true"), (velocity[: len(true)], DECODED, "decoded")):
        columns = np.column_stack([values, metrics.position(values, shown)])
        broken = np.insert(columns, gaps, np.nan, axis=0).T  # lines have gaps between trials
        for axes, name, line in zip(panels, names, broken, strict=True):
            axes.plot(seconds, line, color=color, label=label)
            axes.set_ylabel(name, fontsize=8)
    for start in shown.trial_starts if shown.direction is not None else ():
        place, coordinates = (start * session.bin_width, 1.02), ("data", "axes fraction")
        panels[0].annotate(f"{shown.direction[start]:.0f}°", place, xycoords=coordinates, fontsize=8)
    panels[-1].legend(ncols=2, loc="upper left", bbox_to_anchor=(0, -0.25), fontsize=8, frameon=False)
    panels[-1].set_xlabel("time (s), trials end to end")
    sns.despine(figure)
    return watermark_simulated(figure, [session])
