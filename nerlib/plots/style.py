"""What the figures of the book share."""

from itertools import cycle

import seaborn as sns

from nerlib.models import CONTROLS

TRUE, DECODED = "0.25", "#d1495b"


def line_styles(names):
    """name -> colour and dashes of its line: methods in colours, NER the widest, controls in grey dashes."""
    colors, dashes = iter(sns.color_palette("colorblind", max(10, len(names)))), cycle(["--", ":", "-."])
    return {
        name: {"color": "0.4", "linestyle": next(dashes), "linewidth": 1.4}
        if name in (*CONTROLS, "movement")
        else {"color": next(colors), "linestyle": "-", "linewidth": 2.4 if name == "NER" else 1.2}
        for name in names
    }


def mark(figure, sessions):
    """Say SIMULATED in a corner of a figure that is made from simulated sessions."""
    if any(session.simulated for session in sessions):
        figure.suptitle("SIMULATED", x=0.995, ha="right", color="#b00020", fontsize=9, weight="bold")
    return figure
