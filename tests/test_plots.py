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


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def on_sphere(session):
    embedding = np.random.default_rng(0).normal(size=(len(session.rates), 3))
    return embedding / np.linalg.norm(embedding, axis=1, keepdims=True)


def drawn(session):
    """One figure of each kind."""
    return {
        "loss_curve": plots.loss_curve(np.arange(5.0), session),
        "trajectories": plots.trajectories(on_sphere(session), session),
        "decoded": plots.decoded(session.velocity, session, n_trials=2),
        "decoded_against_true": plots.decoded_against_true({"a": session.velocity}, session),
        "accuracy": plots.accuracy({"test": np.linspace(0, 1, 5)}, session, chance=0.125),
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
        assert ("SIMULATED" in plots.interactive(on_sphere(session), session).to_json()) == simulated


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

    axes = plots.decoded_against_true({"half": session.velocity / 2}, session).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == names
    for line, true in zip(axes.lines, session.velocity.T, strict=False):
        assert np.array_equal(line.get_xdata(), true) and np.array_equal(line.get_ydata(), true / 2)
    assert len({line.get_color() for line in axes.lines}) == columns + 1  # and the diagonal


def test_sessions_without_direction_are_drawn_in_one_colour(session):
    embedding, session = on_sphere(session), undirected(session, 2)
    figures = drawn(session)
    (axes,) = figures["trajectories"].axes
    assert len(axes.lines) == session.n_trials and len({line.get_color() for line in axes.lines}) == 1
    figure = plots.interactive(embedding, session)
    assert len(figure.data) == 1 and not figure.data[0].showlegend
    for figure in figures.values():
        figure.canvas.draw()
        assert not any("°" in text.get_text() for text in figure.findobj(matplotlib.text.Text))


def test_interactive_draws_singles_of_64_trials_and_all_averages():
    session = make_session(n_trials=80)
    embedding = on_sphere(session)
    lines = plots.interactive(embedding, session).data
    singles, averages = ([line for line in lines if line.showlegend == shown] for shown in (False, True))
    assert [line.name for line in averages] == [f"{d}°" for d in range(0, 360, 45)]
    assert sum(np.isfinite(line.x).sum() for line in singles) == 64 * 16
    assert np.isnan(singles[0].x).sum() == 8  # a gap after each trial
    assert np.array_equal(singles[0].x[:16], embedding[:16, 0])
    _, paths = session.average_by_direction(embedding)
    assert np.array_equal(averages[3].y[:16], paths[3][:, 1])


def test_accuracy_takes_line_styles(session):
    styles = {"b": {"color": "red", "linestyle": "--"}}
    lines = plots.accuracy({"a": [0, 1], "b": [1, 0]}, session, chance=0.5, styles=styles).axes[0].lines
    assert (lines[1].get_color(), lines[1].get_linestyle(), lines[0].get_linestyle()) == ("red", "--", "-")
    assert np.allclose(lines[0].get_xdata(), [0, session.bin_width])


def test_colours_are_cyclic_distinct_and_not_too_light():
    colors = [plots.direction_color(d) for d in range(0, 360, 45)]
    assert len(set(colors)) == 8
    assert plots.direction_color(0) == plots.direction_color(360)
    rgb = np.array([matplotlib.colors.to_rgb(c) for c in colors])
    assert (rgb @ [0.3, 0.59, 0.11]).max() < 0.7


@pytest.mark.parametrize("package", ["matplotlib", "seaborn", "plotly"])
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
    for scale, reach in ((1.0, 1.0), (3.0, 3 * np.abs(embedding).max())):
        for axes in plots.trajectories(scale * embedding, session).axes:
            np.testing.assert_allclose(axes.get_xlim(), (-reach, reach))
