"""Rotated trajectories lie where they should, in the colours of their directions."""

from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from toy import make_session

from companion.geometry_figures import UNITS, paths
from nerlib.plots import direction_color
from nerlib.runs import Run

matplotlib.use("Agg")


pytestmark = pytest.mark.usefixtures("closed")


def run_of(session):
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0][:2]
    parts = dict(zip(("train", "test"), session.split(), strict=True))
    embedding = {split: 0.1 * part.velocity @ turn for split, part in parts.items()}
    return Run({}, session, embedding, embedding, 0.0)


@pytest.mark.parametrize("quantity", ["velocity", "integrated"])
def test_a_rotated_velocity_lies_on_the_hands_path(session, quantity):
    figure = paths({"a": run_of(session), "b": run_of(session)}, quantity=quantity)
    for axes in figure.axes:
        lines = [line for line in axes.lines if len(line.get_xdata()) > 1]
        assert len(lines) == 16
        for hand, latent in zip(lines[::2], lines[1::2], strict=True):
            assert np.allclose(hand.get_xydata(), latent.get_xydata())
        assert [line.get_color() for line in lines[1::2]] == [direction_color(45 * k) for k in range(8)]


def test_every_quantity_is_drawn_and_simulated_says_so():
    for simulated in (True, False):
        run = run_of(make_session(simulated=simulated))
        for quantity in UNITS:
            figure = paths(dict.fromkeys("abc", run), quantity=quantity, columns=2)
            assert ("SIMULATED" in [text.get_text() for text in figure.texts]) == simulated
            assert UNITS[quantity] in figure.get_supxlabel()
            assert [axes.get_visible() for axes in figure.axes] == [True, True, True, False]


def test_bad_input_is_refused(session):
    run = run_of(session)
    with pytest.raises(ValueError, match="quantity must be position, velocity, integrated; got 'speed'"):
        paths({"a": run}, quantity="speed")
    other = replace(run, session=make_session(seed=1))
    with pytest.raises(ValueError, match="runs of 2"):
        paths({"a": run, "b": other})
