"""Rotated trajectories lie where they should, in the colours of their directions."""

from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from toy import make_session

from companion.geometry_figures import paths
from nerlib.plots import direction_color
from nerlib.runs import Run

matplotlib.use("Agg")


pytestmark = pytest.mark.usefixtures("closed")


def run_of(session):
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0][:2]
    parts = dict(zip(("train", "test"), session.split(), strict=True))
    embedding = {split: 0.1 * part.velocity @ turn for split, part in parts.items()}
    return Run({}, session, embedding, embedding, 0.0)


def test_a_rotated_velocity_lies_on_the_hands_path(session):
    figure = paths({"a": run_of(session), "b": run_of(session)})
    for axes in figure.axes:
        lines = [line for line in axes.lines if len(line.get_xdata()) > 1]
        assert len(lines) == 16
        for hand, latent in zip(lines[::2], lines[1::2], strict=True):
            assert np.allclose(hand.get_xydata(), latent.get_xydata())
        assert [line.get_color() for line in lines[1::2]] == [direction_color(45 * k) for k in range(8)]


def test_every_method_has_a_panel_and_simulated_says_so():
    for simulated in (True, False):
        figure = paths(dict.fromkeys("abcde", run_of(make_session(simulated=simulated))))
        assert ("SIMULATED" in [text.get_text() for text in figure.texts]) == simulated
        assert figure.get_supxlabel() == "x (mm)"
        assert [axes.get_visible() for axes in figure.axes] == 5 * [True] + 3 * [False]


def test_runs_of_several_sessions_are_refused(session):
    run = run_of(session)
    other = replace(run, session=make_session(seed=1))
    with pytest.raises(ValueError, match="runs of 2"):
        paths({"a": run, "b": other})
