"""Figures show what they are given, and say when it is simulated."""

import sys
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot as plt
from toy import make_session

from nerlib import plots

matplotlib.use("Agg")


pytestmark = pytest.mark.usefixtures("closed")


def on_sphere(session):
    embedding = np.random.default_rng(0).normal(size=(len(session.rates), 3))
    return embedding / np.linalg.norm(embedding, axis=1, keepdims=True)


def drawn(session):
    """One figure of each kind."""
    return {
        "trajectories": plots.trajectories(on_sphere(session), session),
        "decoded": plots.decoded(session.velocity, session, n_trials=2),
    }


def undirected(session, columns):
    """The session without directions, its velocity with this many columns."""
    velocity = np.column_stack([session.velocity, session.velocity[:, :1]])[:, :columns]
    return replace(session, direction=None, velocity=velocity)


def test_simulated_figures_say_so():
    for simulated in (True, False):
        session = make_session(simulated=simulated)
        for name, figure in drawn(session).items():
            assert ("SIMULATED" in [text.get_text() for text in figure.texts]) == simulated, name
            figure.canvas.draw()
            plt.close(figure)


def test_decoded_draws_truth_and_decoded_with_gaps_between_trials(session):
    panels = plots.decoded(session.velocity / 2, session, n_trials=3).axes
    true, read = (line.get_ydata() for line in panels[0].lines[:2])
    assert np.isnan(true).sum() == 2
    assert np.allclose(true[:16], session.velocity[:16, 0]) and np.allclose(read[:16], true[:16] / 2)


@pytest.mark.parametrize(("columns", "names"), [(1, ["x"]), (2, ["x", "y"]), (3, ["x", "y", "z"])])
def test_velocity_of_any_number_of_columns(session, columns, names):
    session = undirected(session, columns)
    panels = plots.decoded(session.velocity / 2, session).axes
    what = ("velocity (mm/s)", "position (mm)")
    assert [axes.get_ylabel() for axes in panels] == [f"{name} {which}" for which in what for name in names]
    true, read = (line.get_ydata() for line in panels[columns - 1].lines)
    assert np.allclose(true[:16], session.velocity[:16, -1]) and np.allclose(read[:16], true[:16] / 2)


def test_sessions_without_direction_are_drawn_in_one_colour(session):
    session = undirected(session, 2)
    figures = drawn(session)
    (axes,) = figures["trajectories"].axes
    assert len(axes.lines) == session.n_trials and len({line.get_color() for line in axes.lines}) == 1
    for figure in figures.values():
        figure.canvas.draw()
        assert not any("°" in text.get_text() for text in figure.findobj(matplotlib.text.Text))


def test_colours_are_cyclic_distinct_and_not_too_light():
    colors = [plots.direction_color(d) for d in range(0, 360, 45)]
    assert len(set(colors)) == 8
    assert plots.direction_color(0) == plots.direction_color(360)
    rgb = np.array([matplotlib.colors.to_rgb(c) for c in colors])
    assert (rgb @ [0.3, 0.59, 0.11]).max() < 0.7


# Machado, Oliveira, Fernandes (IEEE TVCG 2009): colours (linear RGB) without green, and without red cones
DEUTERANOPIA = [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]
PROTANOPIA = [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]
XYZ = np.array([[0.4339, 0.3762, 0.1899], [0.2126, 0.7152, 0.0722], [0.0178, 0.1095, 0.8727]])  # of D65 white


@pytest.mark.parametrize("sight", [np.eye(3), DEUTERANOPIA, PROTANOPIA], ids=["all", "no green", "no red"])
def test_all_readers_tell_directions_apart(sight):
    rgb = np.array([matplotlib.colors.to_rgb(plots.direction_color(d)) for d in range(0, 360, 45)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    x, y, z = np.cbrt(np.clip(linear @ np.transpose(sight), 0, 1) @ XYZ.T).T  # CIELAB, but for the very dark
    lab = np.column_stack([116 * y, 500 * (x - y), 200 * (y - z)])
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=-1)[~np.eye(8, dtype=bool)]
    assert apart.min() > 14
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    assert (1.05 / (luminance + 0.05)).min() >= 3  # contrast with white


@pytest.mark.parametrize("package", ["matplotlib", "seaborn"])
def test_without_the_extra_one_line_says_what_to_install(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "nerlib.plots")
    with pytest.raises(
        ImportError, match=r"^figures need .*; install them with: pip .*'nerlib\[plots\]'$"
    ) as e:
        import nerlib.plots  # noqa: F401
    assert e.value.__suppress_context__


def test_trajectories_beyond_the_sphere_are_in_view(session):
    embedding = on_sphere(session)
    for radius in (1.0, 3.0):
        for axes in plots.trajectories(radius * embedding, session).axes:
            for limits in (axes.get_xlim(), axes.get_ylim(), axes.get_zlim()):
                np.testing.assert_allclose(limits, (-radius, radius))
