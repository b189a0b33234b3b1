"""Templates explain what is alike in all reaches to a target, and nothing of a single one."""

import numpy as np
import pandas as pd
import pytest
from toy import make_session

from companion import templates


def test_sessions_of_templates_are_explained_without_single_trials():
    table = pd.DataFrame(templates.records([make_session(noise=0.1)])).set_index("method")
    own, decoded, time = (table.loc[name] for name in templates.NAMES)
    assert own["velocity_r2"] == pytest.approx(1) and own["position_r2"] == pytest.approx(1)
    assert own["direction_accuracy"] == 1 and decoded["direction_accuracy"] == 1
    assert decoded["velocity_r2"] == pytest.approx(1)  # rates tell the direction, so both are the same
    assert time["velocity_r2"] == pytest.approx(0, abs=0.02)  # opposite reaches cancel
    assert np.isnan(time["direction_accuracy"])
    assert (table["single_trial_r2"].abs() < 1e-9).all()


def test_rates_that_tell_no_direction_decode_at_chance():
    session = make_session(n_trials=240, noise=0.3)
    scores = [
        templates.records([session.permute_movements(seed)])[1]["direction_accuracy"] for seed in range(5)
    ]
    assert np.mean(scores) == pytest.approx(1 / 8, abs=0.1)


def test_one_decoded_direction_a_trial():
    """The right direction in some trials, wrong in others: R² falls, and the accuracy counts trials."""
    found = pd.DataFrame(templates.records([make_session(noise=40, n_trials=160)])).set_index("method")
    own, decoded = (found.loc[name] for name in templates.NAMES[:2])
    assert 1 / 8 < decoded["direction_accuracy"] < 1
    assert decoded["velocity_r2"] < own["velocity_r2"] == pytest.approx(1)


def test_a_direction_without_training_trials_is_refused():
    session = make_session(n_trials=5)
    with pytest.raises(ValueError, match="some directions of test trials have no training trial"):
        templates.records([session])
