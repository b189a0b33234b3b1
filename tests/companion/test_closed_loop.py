"""A closed loop decodes, bin by bin and from files, what the whole decodes at once."""

import pytest
from toy import make_session

from companion import closed_loop
from nerlib import NER


def test_a_closed_loop_decodes_as_the_whole_session_does(tmp_path):
    days = [make_session(seed=seed, n_neurons=8 + seed) for seed in (0, 1)]
    model = NER(max_iter=20, batch_size=32, window=4, random_state=0, device="cpu")
    model.fit(*([getattr(s, f) for s in days] for f in ("rates", "labels", "trial")))
    decoder = closed_loop.fit_decoder(model, days)
    model.save(tmp_path / "model.safetensors")
    closed_loop.save_decoder(tmp_path / "decoder.safetensors", decoder)
    loop = closed_loop.ClosedLoop(tmp_path / "model.safetensors", tmp_path / "decoder.safetensors", 1)
    velocity, seconds = closed_loop.replay(loop, days[1])
    whole = decoder.predict(model.transform(days[1].rates, days[1].trial, session=1))
    assert velocity == pytest.approx(whole, abs=1e-2) and (seconds > 0).all()


@pytest.mark.parametrize(("n_trials", "n_panels"), [(3, 3), (5, 5), (12, 8)])
def test_hand_paths_show_the_first_trials_and_a_bar_of_50_mm(n_trials, n_panels, closed):
    session = make_session(n_trials=n_trials)
    figure = closed_loop.hand_paths(session.velocity, session)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == [f"{d:.0f}°" for d in session.direction[session.trial_starts][:n_panels]]
    true, decoded, bar = (line.get_xydata() for line in figure.axes[0].lines)
    assert (true == decoded).all() and bar[1] - bar[0] == pytest.approx([50, 0])
    assert not any(len(axes.get_xticks()) for axes in figure.axes)
