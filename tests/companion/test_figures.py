"""Figures of comparisons show what they are given, and say when it is simulated."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from toy import make_session

from companion import comparison, figures

matplotlib.use("Agg")


LEADS = pd.DataFrame(
    [
        ["velocity_r2", "PCA", 0.2, 0.1, 0.3, 9, 8, "ahead"],
        ["velocity_r2", "ridge", 0.0, None, None, 3, 1, ""],
    ],
    columns=["metric", "other", "mean", "low", "high", "values", "positive", "verdict"],
)


pytestmark = pytest.mark.usefixtures("closed")


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
    record |= {"protocol": "published", "decoder": "linear", **dict.fromkeys(comparison.METRICS, 0.5)}
    table = comparison.compare([record], "book/reference/published_within_session.csv")
    pairs = table.assign(**{"from": "A M1", "to": "B M1"})
    return {
        "accuracy": figures.accuracy({"test": np.linspace(0, 1, 5)}, session, chance=0.125),
        "scores": figures.scores(table, [session]),
        "methods": figures.methods(table, [session]),
        "gallery": figures.gallery({"a": (embedding, session), "b": (embedding[:, :2], session)}),
        "matrices": figures.matrices(pairs[pairs["metric"] == "position_r2"], [session]),
        "consistency": figures.consistency(pairs.assign(days=3, consistency=0.5), [session]),
        "leads": figures.leads(LEADS, [session]),
        "growth": figures.growth({"a": ([1, 2, 4], [1.0, 4.0, 16.0])}, [session]),
        "ratios": figures.ratios(np.array([1.9, 2.1]), 2.0, "time of a step", [session]),
    }


def test_simulated_figures_say_so(monkeypatch, request):
    monkeypatch.chdir(request.config.rootpath)
    for simulated in (True, False):
        for name, figure in drawn(make_session(simulated=simulated)).items():
            assert ("SIMULATED" in [text.get_text() for text in figure.texts]) == simulated, name
            figure.canvas.draw()
            plt.close(figure)


def test_accuracy_draws_lines_of_methods_over_seconds(session):
    lines = figures.accuracy({"a": [0, 1], "ridge": [1, 0]}, session, chance=0.5).axes[0].lines
    assert (lines[1].get_color(), lines[1].get_linestyle(), lines[0].get_linestyle()) == ("0.45", ":", "-")
    assert np.allclose(lines[0].get_xdata(), [0, session.bin_width])


def test_matrices_show_the_score_of_every_pair(session):
    table = pd.DataFrame(
        [["NER", a, b, s, "velocity_r2"] for a, b, s in (("A", "A", 0.9), ("A", "B", 0.4), ("A", "B", 0.6))],
        columns=["method", "from", "to", "ours", "metric"],
    )
    texts = [text.get_text() for text in figures.matrices(table, [session]).axes[0].texts]
    assert texts == ["0.90", "0.50"]  # the mean over seeds; nothing where there is no pair


def test_leads_tell_in_how_many_recordings_and_fill_what_is_sure(session):
    axes = figures.leads(LEADS, [session]).axes[0]
    assert [text.get_text() for text in axes.texts] == ["8/9", "1/3"]
    filled = [tuple(color[:3]) != (1, 1, 1) for color in axes.collections[-1].get_facecolors()]
    assert filled == [True, False]


def test_growth_tells_the_slope(session):
    legend = figures.growth({"a": ([1, 2, 4], [1.0, 4.0, 16.0])}, [session]).axes[0].get_legend()
    assert "n^{2.0}" in legend.get_texts()[0].get_text()


def test_no_text_is_smaller_than_eight_points(session):
    for kind, figure in drawn(session).items():
        figure.draw_without_rendering()
        texts = [text for text in figure.findobj(matplotlib.text.Text) if text.get_text().strip()]
        assert min(text.get_size() for text in texts) >= 8, kind
