"""Figures of the chapter *A new day*: curves over labelled trials, and one sphere for all days.

``sessions`` are those that the data come from; figures of simulated ones say so.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import seaborn as sns
from IPython.display import HTML
from matplotlib.figure import Figure

from companion import new_day
from companion.interactive import AXES, as_html
from companion.style import COLORS, finish, grid, method_color, small_text
from nerlib.plots import WIDTH, direction_color
from nerlib.session import Session


@small_text
def curves(table: pd.DataFrame, panels: dict, sessions: Sequence[Session]) -> Figure:
    """R² of the rest of the day against the number of labelled trials; bands are 95 % intervals.

    ``table`` is that of `new_day.curves`; ``panels`` is a dict, title -> dict, name of a line -> arguments of
    `new_day.only`.
    """
    drawn, axes = grid(len(panels), size=(WIDTH / len(panels), 3.6), sharey=True)
    for panel, (title, lines) in zip(axes[0], panels.items(), strict=True):
        others = iter(sns.color_palette("colorblind")[2:])
        own = {n: method_color(n) if n in COLORS or "ridge" in n else next(others) for n in lines}
        found_lines = new_day.common(table, lines)
        for name, curve in found_lines.items():
            style = {"color": own[name], "linewidth": 2} | ({"linestyle": "--"} if "ridge" in name else {})
            found = new_day.summary(curve)
            place = np.log2([k if k != new_day.ALL else 180 for k in found.index])
            panel.plot(place, found["mean"].astype(float), marker="o", markersize=3.5, label=name, **style)
            ends = found[["low", "high"]].astype(float)
            panel.fill_between(place, ends["low"], ends["high"], color=own[name], alpha=0.15, linewidth=0)
        marked = [1, 2, 4, 8, 16, 32, 64]
        panel.set_xticks([*np.log2(marked), np.log2(180)], [*marked, "all"])
        n = len(new_day.by_recording(next(iter(found_lines.values()))))
        panel.set(title=f"{title} (n = {n})", xlabel="labelled trials of the new day", ylim=(-0.15, 1))
        panel.axhline(0, color="0.85", linewidth=0.8, zorder=0)
        low = len(panels) > 2 or len(lines) > 4  # where the curves leave room
        panel.legend(frameon=False, loc="lower right" if low else "upper left")
    axes[0, 0].set_ylabel("velocity R², held out")
    return finish(drawn, sessions)


def sphere(embeddings: Sequence[np.ndarray], sessions: Sequence[Session]) -> HTML:
    """The average reach of each direction in every recording, in one figure to turn by hand.

    ``embeddings`` are arrays (T, 3) from one joint fit, one a session.
    """
    drawn, gap = go.Figure(), np.full((1, 3), np.nan)
    parts: dict[float, list] = {}
    for embedding, session in zip(embeddings, sessions, strict=True):
        for direction, average in zip(*session.average_by_direction(embedding), strict=True):
            average = average / np.linalg.norm(average, axis=1, keepdims=True)
            parts.setdefault(direction, []).extend([average, gap])
    middle = np.nanmean(np.vstack([row for paths in parts.values() for row in paths]), axis=0)
    eye = dict(zip("xyz", 1.8 * middle / np.linalg.norm(middle), strict=True))  # looks at the reaches
    for direction, paths in sorted(parts.items()):
        x, y, z = np.vstack(paths).astype(np.float32).T
        name, line = f"{direction:.0f}°", {"color": direction_color(direction), "width": 4}
        drawn.add_scatter3d(x=x, y=y, z=z, mode="lines", line=line, name=name, hoverinfo="name")
    title = f"{len(sessions)} recordings, no rotation" + " · SIMULATED" * any(s.simulated for s in sessions)
    drawn.update_layout(
        title={"text": title, "font": {"size": 14}}, height=480, margin={"l": 0, "r": 0, "t": 40, "b": 0},
        scene={"aspectmode": "cube", "camera": {"eye": eye}} | dict.fromkeys(AXES, {"visible": False}),
        legend={"title": {"text": "direction"}},
    )  # fmt: skip
    label = "Average trajectories of all recordings on one sphere, coloured by direction; directions coincide"
    return as_html(drawn, label)
