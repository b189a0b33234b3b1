"""What the figures of a new day show: each line's means, and all recordings on one sphere."""

import numpy as np
import pandas as pd
import pytest
from toy import make_session

from companion import new_day, new_day_figures

SCORES = {8: 0.4, 32: 0.6, new_day.ALL: 0.8}


@pytest.mark.usefixtures("closed")
def test_a_line_has_the_means_of_its_curve():
    about = {"way": "frozen", "method": "NER", "window": 10, "pool": "area", "members": 1, "draw": 0}
    table = pd.DataFrame(
        [
            about | {"session": f"S{i}", "recording": f"S{i} M1", "trials": trials, "r2": r2 + i / 100}
            for i in range(8)
            for trials, r2 in SCORES.items()
        ]
    )
    drawn = new_day_figures.curves(table, {"panel": {"NER": {"way": "frozen"}}}, [make_session()])
    (panel,) = drawn.axes
    (line, _zero) = panel.lines
    assert line.get_label() == "NER" and "n = 8" in panel.get_title()
    assert line.get_ydata() == pytest.approx(np.array(list(SCORES.values())) + 0.035)
    assert line.get_xdata()[:2] == pytest.approx([3, 5])  # log2 of the trials


def test_the_sphere_has_every_direction_and_says_what_is_simulated():
    days = [make_session(simulated=True), make_session(seed=1, simulated=True)]
    points = [np.random.default_rng(i).normal(size=(len(day.trial), 3)) for i, day in enumerate(days)]
    page = new_day_figures.sphere(points, days).data
    assert all(f"{angle}\\u00b0" in page or f"{angle}°" in page for angle in range(0, 360, 45))
    assert "2 recordings, no rotation" in page and "SIMULATED" in page
