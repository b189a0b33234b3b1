"""The figure of the front page: what the hand did, and beside it where NER put the neurons' activity."""

import numpy as np
from IPython.display import HTML
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from plotly.subplots import make_subplots
from scipy.linalg import orthogonal_procrustes

from companion.interactive import as_html, draw
from nerlib import plots
from nerlib.session import Session

TITLES = ("hand velocity", "NER: three numbers from the neurons' activity")
# On a phone the two stand one above the other.
_NARROW = """
const figure = document.getElementById('{plot_id}');
const tall = () => { figure.style.height = figure.parentElement.style.height = '700px'; };
if (figure.clientWidth < 520) tall(), Plotly.relayout(figure, {
  'xaxis.domain': [0.12, 0.98], 'yaxis.domain': [0.64, 1],
  'scene.domain.x': [0, 1], 'scene.domain.y': [0, 0.5],
  'annotations[0].x': 0.5, 'annotations[1].x': 0.5, 'annotations[1].y': 0.52, 'height': 700,
  'annotations[1].text': 'NER', 'legend.orientation': 'h', 'legend.y': -0.02, 'legend.title.text': '',
  'updatemenus[0].y': 0.02});
"""


def turned(embedding: np.ndarray, session: Session) -> np.ndarray:
    """The embedding (T, 3), turned (and reflected, if need be) to lie like hand velocity, start in front.

    An embedding is free to lie any way round; this one is only for looking at. The orthogonal map fits the
    averages of directions, without their mean, to those of velocity. ``session`` has T bins, directions and
    velocity of two columns.
    """
    _, latent = session.average_by_direction(embedding)
    _, hand = session.average_by_direction(session.velocity)
    latent, hand = (its.reshape(-1, its.shape[-1]) - its.mean(axis=(0, 1)) for its in (latent, hand))
    matrix, _ = orthogonal_procrustes(latent, np.column_stack([hand, np.zeros(len(hand))]))
    found = embedding @ matrix
    return found * [1, 1, np.sign(found[session.trial_starts, 2].mean()) or 1]


def static(embedding: np.ndarray, session: Session) -> Figure:
    """Velocity in the plane and trajectories on the sphere: single trials thin, averages of directions thick.

    ``embedding`` is an array (T, 3) on the unit sphere; ``session`` is as in `turned`.
    """
    embedding = turned(embedding, session)
    figure = plt.figure(figsize=(plots.WIDTH, 3.5), layout="constrained")
    grid = figure.add_gridspec(1, 2, width_ratios=(1, 1.15))
    flat, space = figure.add_subplot(grid[0]), figure.add_subplot(grid[1], projection="3d")
    for axes, values in ((flat, session.velocity), (space, embedding)):
        for start, path in zip(session.trial_starts, np.split(values, session.trial_starts[1:]), strict=True):
            color = plots.direction_color(session.direction[start])
            axes.plot(*path.T, color=color, linewidth=0.5, alpha=0.45)
        directions, averages = session.average_by_direction(values)
        for direction, path in zip(directions, averages, strict=True):
            axes.plot(*path.T, color=plots.direction_color(direction), linewidth=2.2)
    flat.set_title(TITLES[0], fontsize=10)
    flat.set(xlabel="x (mm/s)", ylabel="y (mm/s)", aspect="equal")
    flat.spines[["top", "right"]].set_visible(False)
    space.set_title(TITLES[1], fontsize=10)
    plots.draw_sphere(space)
    space.view_init(70, -90)  # x to the right and y up, as in the plane
    key = [Line2D([], [], color=plots.direction_color(d), linewidth=3, label=f"{d:.0f}°") for d in directions]
    figure.legend(handles=key, loc="outside lower center", ncols=8, frameon=False, handlelength=1)
    return plots.watermark_simulated(figure, [session])


def turning(embedding: np.ndarray, session: Session) -> HTML:
    """The figure of `static`, to turn by hand and to play."""
    figure = make_subplots(1, 2, specs=[[{"type": "xy"}, {"type": "scene"}]], subplot_titles=TITLES,
                           column_widths=[0.42, 0.58], horizontal_spacing=0.02)  # fmt: skip
    draw(figure, session.velocity, session, legend=False)
    draw(figure, turned(embedding, session), session)
    figure.update_layout(scene_camera={"eye": {"x": 0, "y": -0.5, "z": 1.4}, "up": {"x": 0, "y": 1, "z": 0}})
    figure.update_xaxes(title="x (mm/s)", constrain="domain", zeroline=False)
    figure.update_yaxes(
        title="y (mm/s)", scaleanchor="x", constrain="domain", zeroline=False, title_standoff=2
    )
    figure.layout.updatemenus[0].update(x=1, y=0, xanchor="right")  # below the key
    if session.simulated:
        figure.update_layout(title={"text": "SIMULATED"})
    figure.update_layout(height=430, template="simple_white", margin={"l": 10, "r": 0, "t": 40, "b": 30})
    label = f"Hand velocity of {session.name} and NER's three-dimensional trajectories, coloured by direction"
    return as_html(figure, label, post_script=_NARROW)
