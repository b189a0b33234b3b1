"""Figures of the first chapter show what they are given, and say when it is simulated; scores by hand."""

from dataclasses import replace

import matplotlib
import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from toy import make_session

from companion import idea
from nerlib.losses import label_distances

matplotlib.use("Agg")


pytestmark = pytest.mark.usefixtures("closed")


def drawn(session):
    """One figure of each kind."""
    return {
        "loss_curve": idea.loss_curve(np.arange(5.0), session),
        "distances": idea.distances({"a": (np.arange(9.0), np.arange(9.0))}, session),
        "decoded_against_true": idea.decoded_against_true({"a": session.velocity}, session),
    }


def test_simulated_figures_say_so_in_text_of_eight_points_or_more():
    for simulated in (True, False):
        for name, figure in drawn(make_session(simulated=simulated)).items():
            assert ("SIMULATED" in [text.get_text() for text in figure.texts]) == simulated, name
            figure.draw_without_rendering()
            texts = [text for text in figure.findobj(matplotlib.text.Text) if text.get_text().strip()]
            assert min(text.get_size() for text in texts) >= 8, name


@pytest.mark.parametrize(("columns", "names"), [(1, ["x"]), (2, ["x", "y"]), (3, ["x", "y", "z"])])
def test_velocity_of_any_number_of_columns(session, columns, names):
    velocity = np.column_stack([session.velocity, session.velocity[:, :1]])[:, :columns]
    session = replace(session, direction=None, velocity=velocity)
    axes = idea.decoded_against_true({"half": session.velocity / 2}, session).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == names
    for line, true in zip(axes.lines, session.velocity.T, strict=False):
        assert np.array_equal(line.get_xdata(), true) and np.array_equal(line.get_ydata(), true / 2)
    assert len({line.get_color() for line in axes.lines}) == columns + 1  # and the diagonal


def test_the_same_error_costs_slow_bins_more(session):
    noise = np.random.default_rng(0).normal(0, 5, session.velocity.shape)
    found = idea.r2_by_speed(session.velocity + noise, session)
    assert found["slow"] < found["all"] < 1 and found["slow"] < found["fast"] < 1
    assert set(idea.r2_by_speed(session.velocity, session).values()) == {1.0}


def test_rank_agreement_is_spearmans():
    rng = np.random.default_rng(0)
    labels = np.column_stack([100 * rng.normal(size=(30, 2)), 45.0 * rng.integers(0, 8, 30)])
    embedding = rng.normal(size=(30, 3))
    found = idea.rank_agreement(embedding, labels, seed=4, periods=(None, None, 360.0))
    rows = np.random.default_rng(4).permutation(30)
    labels, embedding = labels[rows], embedding[rows]
    apart = label_distances(torch.as_tensor(labels), (None, None, 360.0)).numpy()
    for i in range(30):
        others = np.arange(30) != i
        embedded = np.linalg.norm(embedding - embedding[i], axis=1)
        assert found[i] == pytest.approx(spearmanr(apart[i][others], embedded[others]).statistic)


def test_rank_agreement_of_a_perfect_and_of_a_random_embedding():
    rng = np.random.default_rng(0)
    line = rng.random((300, 1))
    assert idea.rank_agreement(line, 5 * line) == pytest.approx(1)
    random = idea.rank_agreement(rng.random((300, 1)), line)
    assert abs(random.mean()) < 0.05
    assert idea.rank_agreement(line, line, n_rows=50).shape == (50,)
