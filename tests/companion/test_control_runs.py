"""Rows of folds, drift and broken sessions."""

import pytest
from toy import make_session

from companion import control_runs, controls
from companion.control_runs import CONTROLS


@pytest.fixture(scope="module")
def session():
    return make_session(n_trials=80, n_bins=40, seed=0, name="S0")


def test_broken_sessions_are_decoded_worse_and_permuted_movements_at_chance(session):
    """The toy's summed rate and its periodic targets still tell something, so the others are above chance."""
    train, test = session.split()
    embedded = control_runs.embed(control_runs.build("ridge", 0), train, train, test)
    plain = controls.score(train, test, embedded)
    rows = {row["value"]: row for row in control_runs.broken_scores(session, "ridge", 0)}
    assert rows.keys() == CONTROLS.keys()
    assert max(row["velocity_r2"] for row in rows.values()) < 0.9 < plain["velocity_r2"]
    assert rows["movements permuted"]["velocity_r2"] < 0


def test_rows_say_what_they_are_of(session):
    about = {"session": "S0", "area": session.area, "method": "ridge, 10 bins", "seed": 1}
    for rows in (control_runs.fold_scores, control_runs.drift_scores):
        assert all(about.items() <= row.items() for row in rows(session, "ridge, 10 bins", 1))
    assert control_runs.build("ridge, 10 bins", 1).window == 10
    assert control_runs.build("NER", 1).random_state == 1
