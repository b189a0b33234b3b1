"""Figures show what they are given, and say when it is simulated."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from toy import make_session

from nerlib import comparison, plots
from nerlib.models import CONTROLS, METHODS

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def drawn(session):
    """One figure of each kind."""
    n = len(session.trial)
    embedding = np.random.default_rng(0).normal(size=(n, 3))
    embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)
    record = {
        "session": "Toy",
        "area": "M1",
        "monkey": "Toy",
        "date": "1",
        "method": "NER",
        "split": "train",
        "simulated": False,
    }
    record |= {"form": "published", "decoder": "linear", **dict.fromkeys(comparison.METRICS, 0.5)}
    table = comparison.compare([record], "book/reference/published_within_session.csv")
    pairs = table.assign(**{"from": "A M1", "to": "B M1"})
    return {
        "loss_curve": plots.loss_curve(np.arange(5.0), session),
        "distances": plots.distances({"a": (np.arange(9.0), np.arange(9.0))}, session),
        "trajectories": plots.trajectories(embedding, session),
        "decoded": plots.decoded(session.velocity, session, n_trials=2),
        "accuracy": plots.accuracy({"test": np.linspace(0, 1, 5)}, session, chance=0.125),
        "scores": plots.scores(table, [session]),
        "methods": plots.methods(table, [session]),
        "gallery": plots.gallery({"a": (embedding, session), "b": (embedding[:, :2], session)}),
        "matrices": plots.matrices(pairs[pairs["metric"] == "position_r2"], [session]),
        "consistency": plots.consistency(pairs.assign(days=3, consistency=0.5), [session]),
        "growth": plots.growth({"a": ([1, 2, 4], [1.0, 4.0, 16.0])}, [session]),
    }


def test_simulated_figures_say_so(monkeypatch, request):
    monkeypatch.chdir(request.config.rootpath)
    for simulated in (True, False):
        for name, figure in drawn(make_session(simulated=simulated)).items():
            assert ("SIMULATED" in [text.get_text() for text in figure.texts]) == simulated, name
            figure.canvas.draw()
            plt.close(figure)
        html = plots.interactive(np.zeros((640, 3)), make_session(simulated=simulated)).data
        assert ("SIMULATED" in html) == simulated


def test_decoded_draws_truth_and_decoded_with_gaps_between_trials(session):
    panels = plots.decoded(session.velocity / 2, session, n_trials=3).axes
    true, read = (line.get_ydata() for line in panels[0].lines[:2])
    assert np.isnan(true).sum() == 2
    assert np.allclose(true[:16], session.velocity[:16, 0]) and np.allclose(read[:16], true[:16] / 2)


def test_interactive_shares_one_library_in_the_book(session, monkeypatch):
    embedding = np.zeros((640, 3))
    monkeypatch.setenv("NERLIB_BOOK", "1")
    shared = plots.interactive(embedding, session).data
    assert 'src="plotly.min.js"' in shared and len(shared) < 500_000
    monkeypatch.delenv("NERLIB_BOOK")
    assert len(plots.interactive(embedding, session).data) > 3_000_000
    assert "aria-label" in shared


def test_colours_are_cyclic_distinct_and_not_too_light():
    colors = [plots.direction_color(d) for d in range(0, 360, 45)]
    assert len(set(colors)) == 8
    assert plots.direction_color(0) == plots.direction_color(360)
    rgb = np.array([matplotlib.colors.to_rgb(c) for c in colors])
    assert (rgb @ [0.3, 0.59, 0.11]).max() < 0.7


def test_matrices_show_the_score_of_every_pair(session):
    table = pd.DataFrame(
        [["NER", a, b, s, "velocity_r2"] for a, b, s in (("A", "A", 0.9), ("A", "B", 0.4), ("A", "B", 0.6))],
        columns=["method", "from", "to", "ours", "metric"],
    )
    texts = [text.get_text() for text in plots.matrices(table, [session]).axes[0].texts]
    assert texts == ["0.90", "0.50"]  # the mean over seeds; nothing where there is no pair


def test_growth_tells_the_slope(session):
    legend = plots.growth({"a": ([1, 2, 4], [1.0, 4.0, 16.0])}, [session]).axes[0].get_legend()
    assert "n^{2.0}" in legend.get_texts()[0].get_text()


def test_lines_of_methods_differ_and_controls_are_grey_dashes():
    styles = plots.style.line_styles(METHODS)
    assert len({(str(s["color"]), s["linestyle"]) for s in styles.values()}) == len(METHODS)
    assert [name for name, s in styles.items() if s["linestyle"] != "-"] == list(CONTROLS)
    assert max(styles, key=lambda name: styles[name]["linewidth"]) == "NER"
