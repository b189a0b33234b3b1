"""The Kalman filter against the formula trial by trial; the network learns; neither looks ahead."""

import numpy as np
import pytest
from ceilings import GRU, KalmanFilter
from sklearn.metrics import r2_score
from toy import make_session


def test_kalman_filter_is_the_formula():
    """Predict and correct in the textbook form, one trial and one bin at a time."""
    session = make_session(n_trials=24, noise=1.0)
    train, test = session.split()
    model = KalmanFilter(5).fit(train.rates, train.labels, train.trial)
    expected = []
    for start, length in zip(test.trial_starts, test.trial_lengths, strict=True):
        observed = (test.rates[start : start + length] - model.mean_) @ model.components_.T
        x, p = model.start_, model.start_noise_
        for t, y in enumerate(observed):
            if t:
                x, p = model.motion_ @ x, model.motion_ @ p @ model.motion_.T + model.motion_noise_
            c = model.emission_
            gain = p @ c.T @ np.linalg.inv(c @ p @ c.T + model.emission_noise_)
            x, p = x + gain @ (y - c @ x), (np.eye(len(x)) - gain @ c) @ p
            expected.append(x[:-1])
    assert np.allclose(model.transform(test.rates, test.trial), expected, atol=1e-6)


@pytest.mark.parametrize("model", [KalmanFilter(8), GRU(n_hidden=16, max_epochs=40, random_state=0)])
def test_ceilings_decode_held_out_velocity_and_do_not_look_ahead(model):
    session = make_session(n_trials=80, noise=0.3)
    train, test = session.split()
    model.fit(train.rates, train.labels, train.trial)
    found = model.transform(test.rates, test.trial)
    scaled = found[:, :2] * (1 if isinstance(model, KalmanFilter) else train.velocity.std())
    assert r2_score(test.velocity, scaled) > 0.8
    later = test.rates.copy()
    later[test.bin_in_trial >= 8] += 3
    changed = model.transform(later, test.trial)
    past = test.bin_in_trial < 8
    assert np.allclose(found[past], changed[past], atol=1e-5) and not np.allclose(found, changed)
    alone = model.transform(test.rates[:16], test.trial[:16])  # trials do not touch one another
    assert np.allclose(alone, found[:16], atol=1e-5)


def test_the_network_chooses_its_epochs_and_repeats_itself():
    session = make_session(n_trials=24)
    fits = [GRU(n_hidden=8, max_epochs=5, random_state=1) for _ in range(2)]
    first, second = (m.fit(session.rates, session.labels, session.trial) for m in fits)
    assert 1 <= first.n_epochs_ <= 5
    embedded = [m.transform(session.rates, session.trial) for m in (first, second)]
    assert np.array_equal(*embedded)
