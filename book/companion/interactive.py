"""Trajectories to turn by hand and to play, and their HTML."""

import os

import numpy as np
import plotly.graph_objects as go
from IPython.display import HTML

from nerlib.plots import DECODED, direction_color, viewpoint
from nerlib.session import Session

AXES = ("xaxis", "yaxis", "zaxis")


def trajectories(embedding: np.ndarray, session: Session) -> go.Figure:
    """Latent trajectories to turn by hand: the first 64 trials, and the average of each direction.

    A point tells its trial and time; *play* runs a dot along each average. ``embedding`` is an array (T, 3),
    ``session`` has T bins; without directions, single trials are drawn in one colour.
    """
    figure = go.Figure()
    draw(figure, embedding, session)
    title = f"{session.name} {session.area}" + " · SIMULATED" * session.simulated
    return figure.update_layout(title={"text": title, "font": {"size": 14}}, height=460)


def draw(figure: go.Figure, values: np.ndarray, session: Session, *, legend: bool = True) -> None:
    """Draw trials and averages into a plotly figure, and a button that plays them if there are directions.

    Parameters
    ----------
    figure : plotly Figure; the frames of what it already plays are extended
    values : array (T, 2) or (T, 3), drawn in the plane or in space
    session : Session with T bins
    legend : bool, whether these lines explain the colours
    """
    flat = values.shape[1] == 2
    kind = go.Scatter if flat else go.Scatter3d
    starts = session.trial_starts
    told = np.column_stack([session.trial, session.bin_in_trial * session.bin_width])
    paths, about = (np.split(its, starts[1:])[:64] for its in (values, told))
    lines, averages = [], np.empty((0, 0, values.shape[1]))
    if session.direction is None:
        lines = [("trials", DECODED, list(map(list, zip(paths, about, strict=True))), 1.5)]
    else:
        of_trial = session.direction[starts]
        directions, averages = session.average_by_direction(values)
        for direction, average in zip(directions, averages, strict=True):
            name, color = f"{direction:.0f}°", direction_color(direction)
            singles = [pair for *pair, its in zip(paths, about, of_trial, strict=False) if its == direction]
            times = np.column_stack([np.full(len(average), -1), np.arange(len(average)) * session.bin_width])
            lines.append((name, color, singles, 1.0 if flat else 1.5))
            lines.append((name, color, [[average, times]], 3 if flat else 7))
    gap = np.full((1, values.shape[1]), np.nan)
    for name, color, parts, width in lines:
        if parts:
            drawn = np.vstack([row for path, _ in parts for row in (path, gap)]).astype(np.float32)
            hover = np.vstack([row for _, times in parts for row in (times, times[-1:])]).astype(np.float32)
            single = width < 2
            figure.add_trace(kind(
                **dict(zip("xyz", drawn.T, strict=False)), mode="lines", name=name, legendgroup=name,
                line={"color": color, "width": width}, opacity=0.45 if single else 1.0, customdata=hover,
                showlegend=legend and not single,
                hovertemplate=("trial %{customdata[0]:.0f}" if single else "average")
                + f", {name}, " + "%{customdata[1]:.2f} s<extra></extra>",
            ))  # fmt: skip
    colors = [color for _, color, _, width in lines if width >= 2]
    _play(figure, kind, averages, colors, session.bin_width)
    if not flat:
        eye = dict(zip("xyz", 1.5 * viewpoint(values, session), strict=True))
        hidden = {"visible": False, "range": [-1.05, 1.05] if np.abs(values).max() <= 1.05 else None}
        scene = {"aspectmode": "cube", "camera": {"eye": eye}} | dict.fromkeys(AXES, hidden)
        figure.update_layout(scene=scene)
    figure.update_layout(margin={"l": 0, "r": 0, "t": 40, "b": 0}, legend={"title": {"text": "direction"}})


def _play(figure, kind, averages, colors, bin_width):
    """A dot that runs along each average, in frames that figures drawn before are part of."""
    if not len(averages):
        return
    averages, place = averages.astype(np.float32).round(3), len(figure.data)
    dots = [
        kind(**dict(zip("xyz", at.T, strict=False)), mode="markers", hoverinfo="skip", showlegend=False,
             marker={"color": colors, "size": 9 if kind is go.Scatter else 6})
        for at in averages.transpose(1, 0, 2)
    ]  # fmt: skip
    figure.add_trace(dots[0])
    earlier = figure.frames or [go.Frame(data=[], traces=[])] * len(dots)
    figure.frames = [
        go.Frame(data=[*frame.data, dot], traces=[*frame.traces, place], name=f"{i * bin_width:.2f} s")
        for i, (frame, dot) in enumerate(zip(earlier, dots, strict=True))
    ]
    frame = {"frame": {"duration": 60, "redraw": True}, "fromcurrent": True, "transition": {"duration": 0}}
    button = {"label": "▶ play", "method": "animate", "args": [None, frame]}
    place = {"x": 0, "y": 0, "xanchor": "left", "yanchor": "bottom", "pad": {"l": 4, "b": 4}}
    figure.update_layout(updatemenus=[{"type": "buttons", "buttons": [button], **place}])


def as_html(figure: go.Figure, label: str, **options) -> HTML:
    """A plotly figure as HTML; ``options`` go to its ``to_html``.

    In the built book (environment variable NERLIB_BOOK) the drawing library is one file beside the pages;
    elsewhere it is part of the output.
    """
    source = "plotly.min.js" if os.environ.get("NERLIB_BOOK") else True
    config = {"responsive": True, "displayModeBar": False}  # its buttons would cover titles
    html = figure.to_html(full_html=False, include_plotlyjs=source, auto_play=False, config=config, **options)
    return HTML(f'<div class="interactive" role="img" aria-label="{label}">{html}</div>')
