"""Interactive figures show trials and averages, play them, and say when they are simulated."""

from dataclasses import replace

import numpy as np
import pytest
from toy import make_session

from companion import figures, interactive


def on_sphere(session):
    embedding = np.random.default_rng(0).normal(size=(len(session.rates), 3))
    return embedding / np.linalg.norm(embedding, axis=1, keepdims=True)


@pytest.mark.parametrize("simulated", [True, False])
def test_simulated_figures_say_so(simulated):
    session = make_session(simulated=simulated)
    assert ("SIMULATED" in interactive.trajectories(on_sphere(session), session).to_json()) == simulated
    html = figures.show_interactive(np.zeros((640, 3)), session).data
    assert ("SIMULATED" in html) == simulated


def test_sessions_without_direction_are_drawn_in_one_colour(session):
    figure = interactive.trajectories(on_sphere(session), replace(session, direction=None))
    assert len(figure.data) == 1 and not figure.data[0].showlegend


def test_interactive_draws_singles_of_64_trials_and_all_averages():
    session = make_session(n_trials=80)
    embedding = on_sphere(session)
    figure = interactive.trajectories(embedding, session)
    lines = [line for line in figure.data if line.mode == "lines"]
    singles, averages = ([line for line in lines if line.showlegend == shown] for shown in (False, True))
    assert [line.name for line in averages] == [f"{d}°" for d in range(0, 360, 45)]
    assert sum(np.isfinite(line.x).sum() for line in singles) == 64 * 16
    assert np.isnan(singles[0].x).sum() == 8  # a gap after each trial
    assert np.array_equal(singles[0].x[:16], embedding[:16, 0].astype(np.float32))
    _, paths = session.average_by_direction(embedding)
    assert np.array_equal(averages[3].y[:16], paths[3][:, 1].astype(np.float32))
    assert singles[0].customdata[17].tolist() == pytest.approx([8, session.bin_width * 0])  # trial and time
    dots = [frame.data[0] for frame in figure.frames]
    assert len(dots) == 16 and np.allclose([d.z for d in dots], np.transpose(paths)[2], atol=1e-3)
    assert [frame.traces[0] for frame in figure.frames] == [len(lines)] * 16


def test_two_views_play_together(session):
    figure = interactive.trajectories(on_sphere(session), session)
    interactive.draw(figure, session.velocity, session, legend=False)
    assert [len(frame.data) for frame in figure.frames] == [2] * 16
    assert (
        figure.frames[3].data[1].type == "scatter"
        and figure.data[figure.frames[3].traces[1]].mode == "markers"
    )


def test_interactive_shares_one_library_in_the_book(session, monkeypatch):
    embedding = np.zeros((640, 3))
    monkeypatch.setenv("NERLIB_BOOK", "1")
    shared = figures.show_interactive(embedding, session).data
    assert 'src="plotly.min.js"' in shared and len(shared) < 500_000
    monkeypatch.delenv("NERLIB_BOOK")
    assert len(figures.show_interactive(embedding, session).data) > 3_000_000
    assert "aria-label" in shared
