"""How figures look: the colour of each method, the smallest text, grids of panels, a panel a metric."""

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import wraps
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from nerlib.plots import DECODED, WIDTH, watermark_simulated
from nerlib.session import Session

# one colour a method, in every chapter; controls are grey and dashed
COLORS = {
    "NER": DECODED, "CEBRA": "#0072b2", "CEBRA-velocity": "#56a7d8", "CEBRA-16": "#003f63",
    "piVAE": "#009e73", "UMAP": "#8a5a9e", "UMAP-label": "#c48fc9", "PCA": "#8c6d1f", "dPCA": "#d3862b",
    "MSE bottleneck": "0.25", "flat bottleneck": "0.35", "ridge": "0.45", "ridge, 10 bins": "0.6",
    "movement": "0.55",
}  # fmt: skip
_DASHES = {"MSE bottleneck": "--", "ridge": ":", "ridge, 10 bins": "-.", "movement": (0, (6, 2, 1, 2, 1, 2))}


def small_text(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Make a function draw its figure, one with many panels, with the smallest text that a page may show.

    A page shows a figure of `WIDTH` inches at its size, so no text may be smaller than 8 points.
    """

    @wraps(draw)
    def drawn(*args, **kwargs):
        figure = draw(*args, **kwargs)  # not in plt.rc_context, after which cells show no figures
        legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes if axes.get_legend())]
        labels = [label for axes in figure.axes for label in (axes.xaxis.label, axes.yaxis.label)]
        for text in [*labels, *(text for legend in legends for text in legend.get_texts())]:
            text.set_size(8)
        for axes in figure.axes:
            axes.title.set_size(9)
            axes.tick_params(labelsize=8)
        return figure

    return drawn


def method_color(name: str) -> str:
    """The colour of a method, whatever it is given: "NER, 10 bins" has the colour of "NER"."""
    return COLORS.get(name) or COLORS.get(name.split(",")[0], "0.5")


def line_styles(names: Collection[str]) -> dict[str, dict]:
    """Matplotlib line properties by name: methods in their colours, NER widest, controls in grey dashes."""
    others = cycle(sns.color_palette("colorblind").as_hex())
    styles = {}
    for name in names:
        color = method_color(name) if name.split(",")[0] in COLORS else next(others)
        about = {"linestyle": _DASHES[name], "linewidth": 1.4} if name in _DASHES else {"linestyle": "-"}
        styles[name] = {"color": color, "linewidth": 2.4 if name == "NER" else 1.2} | about
    return styles


def grid(
    count: int, columns: int | None = None, *, size: tuple[float, float], more: float = 0.0, **options
) -> tuple[Figure, np.ndarray]:
    """A figure of ``count`` panels, each ``size`` inches, in one row or in rows of ``columns``.

    It is ``more`` inches higher than its panels; those left over in the last row are hidden. ``options`` go
    to ``plt.subplots``. Returns the figure and an array (rows, columns) of axes.
    """
    columns = min(columns or count, count)
    rows = -(-count // columns)
    options |= {"figsize": (size[0] * columns, size[1] * rows + more), "layout": "constrained"}
    figure, panels = plt.subplots(rows, columns, squeeze=False, **options)
    for axes in panels.flat[count:]:
        axes.set_visible(False)
    return figure, panels


def score_panels(
    table: pd.DataFrame, by: str, order: Sequence[str], height: float
) -> tuple[Figure, list[tuple]]:
    """A figure as wide as a page and ``height`` inches high, with a panel for each metric of a table.

    A panel has one row for each name in ``order``, values of the column ``by``, from the top. Returns the
    figure and for each panel a tuple: axes, metric, the rows of the table with that metric, their places.
    """
    metrics = table["metric"].unique()
    figure, panels = grid(len(metrics), size=(WIDTH / len(metrics), height), sharey=True)
    panels[0, 0].set_yticks(range(len(order)), order)
    panels[0, 0].invert_yaxis()
    parts = [table[table["metric"] == metric] for metric in metrics]
    places = [part[by].map(order.index) for part in parts]
    return figure, list(zip(panels[0], metrics, parts, places, strict=True))


def finish(figure: Figure, sessions: Iterable[Session], **options) -> Figure:
    """Remove upper and right spines (``options`` of ``sns.despine``) and mark what is simulated."""
    sns.despine(figure, **options)
    return watermark_simulated(figure, sessions)
