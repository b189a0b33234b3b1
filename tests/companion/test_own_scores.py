"""Fits over blocks of trials and their scores: against nerlib's scores, and on cases with a known answer."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from sklearn.linear_model import LinearRegression
from toy import make_session

from companion import own_figures, own_folds, own_scores
from companion.own_folds import Fit
from companion.simulated_track import median_errors, simulate_track
from nerlib import NER, Session, metrics

matplotlib.use("Agg")
LABELS = "velocity, direction"


def fitted(session, methods=("ridge",), number=5, **more):
    models = own_folds.make_models(methods, "quick", session, LABELS, 4)
    for model in models.values():
        if hasattr(model, "max_iter"):
            model.set_params(max_iter=30)
    return own_folds.fit(session, models, own_folds.held_out(session, number), LABELS, 0, n_jobs=1, **more)


@pytest.fixture(scope="module")
def fits():
    return fitted(make_session(), ["ridge", "NER"])


def named(fits, name):
    return [one for one in fits if one.name == name]


def test_blocks_are_fifths_in_a_row_and_cover_all_trials():
    blocks = own_folds.held_out(make_session(n_trials=43), 5)
    assert np.array_equal(sum(block.astype(int) for block in blocks), np.ones(43))
    assert all((np.diff(np.flatnonzero(block)) == 1).all() and 8 <= block.sum() <= 9 for block in blocks)
    assert blocks[0][-1] and np.array_equal(own_folds.held_out(make_session(n_trials=43), 2), blocks[:2])
    with pytest.raises(ValueError, match="9 usable trials; folds need at least 10"):
        own_folds.held_out(make_session(n_trials=9), 5)


def test_labels_by_name():
    session = make_session()
    labels, periods = own_folds.training_labels(session, "direction, velocity")
    np.testing.assert_array_equal(labels, session.labels)
    assert periods == session.periods
    labels, periods = own_folds.training_labels(session, "position")
    np.testing.assert_array_equal(labels, metrics.position(session.velocity, session))
    aimless = Session(session.rates, session.velocity, trial=session.trial)
    assert own_folds.training_labels(aimless, LABELS)[1] == (None, None)
    with pytest.raises(ValueError, match="leaves nothing to train on: session has no directions"):
        own_folds.training_labels(aimless, "direction")
    with pytest.raises(ValueError, match="labels must be some of velocity, position, direction; got 'speed'"):
        own_folds.training_labels(session, "speed")


def test_every_method_sees_one_bin_and_the_history():
    session = make_session()
    models = own_folds.make_models(
        ["NER", "ridge, 10 bins", "piVAE", "CEBRA-velocity"], "quick", session, LABELS, 4
    )
    names = ["NER, 1 bin", "NER, 4 bins", "ridge, 1 bin", "ridge, 4 bins", "piVAE"]
    assert list(models) == [*names, "CEBRA-velocity, 1 bin", "CEBRA-velocity, 4 bins"]
    assert own_folds.longest(models) == ["NER, 4 bins", "ridge, 4 bins", "piVAE", "CEBRA-velocity, 4 bins"]
    assert own_folds.first_method(models) == "NER, 4 bins"
    for flat in ("ridge", "UMAP"):
        with pytest.raises(ValueError, match=f"three dimensions: put NER, .* before {flat}, 4 bins"):
            own_folds.first_method(own_folds.make_models([flat, "NER"], "quick", session, LABELS, 4))
    assert models["NER, 4 bins"].window == 4 and models["ridge, 1 bin"].window == 1
    assert models["NER, 4 bins"].periods == (None, None, 360.0)
    three = Session(session.rates, np.resize(session.velocity, (640, 3)), trial=session.trial)
    models = own_folds.make_models("CEBRA-velocity", "quick", three, LABELS, 1)
    assert [m.label_columns for m in models.values()] == [(0, 1, 2)]
    models = own_folds.make_models("CEBRA-velocity", "quick", three, "position", 1)
    assert [m.label_columns for m in models.values()] == [None]


def test_scores_are_those_of_nerlib(fits):
    """Block by block, and over all trials together."""
    session = make_session()
    for one in named(fits, "ridge, 4 bins"):
        test = session.select(one.held)
        scored = metrics.score(one.velocity, one.direction, test, held_out=True, peak_bin=one.peak_bin)
        found = own_scores.draws(session, [one])
        assert set(found) == set(own_scores.SCORES)
        for key, values in found.items():
            assert values[0] == pytest.approx(scored["corrected"][key], abs=1e-9), key
    its = named(fits, "ridge, 4 bins")
    order = np.argsort([np.flatnonzero(one.held)[0] for one in its])
    decoded = np.concatenate([its[i].velocity for i in order])
    whole = metrics.score(decoded, session.direction, session, held_out=False)["corrected"]
    found = own_scores.table(session, its).set_index("metric")
    assert found.loc["velocity_r2", "score"] == pytest.approx(whole["velocity_r2"], abs=1e-9)
    assert found.loc["position_r2", "score"] == pytest.approx(whole["position_r2"], abs=1e-9)
    assert (found["test_trials"] == 40).all() and (found["train_trials"] == 32).all()
    assert ((found["low"] <= found["score"]) & (found["score"] <= found["high"])).all()


def made(session, velocity, direction=None):
    """A fit of everything at once, which decoded this."""
    held = np.ones(session.n_trials, bool)
    return Fit("made", None, held, 0, np.zeros((len(velocity), 3)), velocity, direction, None)


def test_a_trial_that_ends_before_the_peak_bin_is_scored_in_its_own_last_bin():
    """The second trial has half the bins, and the direction of the third is decoded wrongly."""
    whole = make_session(n_bins=16)
    kept = (whole.trial != 1) | (whole.bin_in_trial < 8)
    session = Session(
        *(values[kept] for values in (whole.rates, whole.velocity, whole.direction, whole.trial))
    )
    velocity = session.velocity + np.random.default_rng(0).normal(0, 20, session.velocity.shape)
    direction = np.where(session.trial == 2, session.direction + 45, session.direction)
    found = own_scores.draws(session, [made(session, velocity, direction)._replace(peak_bin=8)])
    assert found["direction_accuracy"][0] == pytest.approx(1 - 1 / 40)
    expected = metrics.single_trial(velocity, session)["single_trial_correlation"]
    assert found["single_trial_correlation"][0] == pytest.approx(expected, abs=1e-9)


def test_intervals_hold_the_truth_as_often_as_they_say(monkeypatch):
    """R² of 0.8 by construction, errors that trials share in part: 200 recordings of 40 trials."""
    monkeypatch.setattr(own_scores, "_DRAWS", 300)
    rng, held = np.random.default_rng(0), 0
    trial = np.repeat(np.arange(40), 10)
    for _ in range(200):
        true = rng.normal(size=(400, 1))
        error = np.sqrt(0.1) * (rng.normal(size=(400, 1)) + rng.normal(size=(40, 1)).repeat(10, axis=0))
        session = Session(np.ones((400, 1)), true, trial=trial)
        row = own_scores.table(session, [made(session, true + error)]).iloc[0]
        held += row["low"] < 0.8 < row["high"]
    assert 0.9 <= held / 200 <= 0.98


def test_a_gain_over_oneself_is_zero_and_other_trials_are_refused(fits):
    session, its = make_session(), named(fits, "ridge, 1 bin")
    assert own_scores.gain(session, its, its) == {"score": 0.0, "low": 0.0, "high": 0.0}
    with pytest.raises(ValueError, match="ridge, 1 bin and NER, 1 bin were scored on different trials"):
        own_scores.gain(session, its[:1], named(fits, "NER, 1 bin")[1:2])


def test_gains_name_what_they_compare_and_agree_with_the_scores(fits):
    session = make_session()
    fewer = fitted(session, number=1, share=0.5)[1:]
    assert [one.n_train for one in fewer] == [16]
    rows = own_scores.gains(session, fits, fewer).set_index("change")
    half = "ridge, 4 bins: 32 training trials instead of 16"
    assert list(rows.index) == [
        "ridge, 4 bins instead of ridge, 1 bin",
        "NER, 4 bins instead of NER, 1 bin",
        "ridge, 4 bins instead of NER, 4 bins",
        half,
    ]
    score = own_scores.table(session, fits).query("metric == 'velocity_r2'").set_index("method")["score"]
    expected = score["ridge, 4 bins"] - score["NER, 4 bins"]
    assert rows.loc["ridge, 4 bins instead of NER, 4 bins", "score"] == pytest.approx(expected)
    full = named(fits, "ridge, 4 bins")[0]
    expected = own_scores.gain(session, [full], fewer)["score"]
    assert rows.loc[half, "score"] == expected


@pytest.mark.parametrize(
    ("low", "high", "against", "trials"),
    [
        (
            0.01,
            0.05,
            "better than ridge, 4 bins here (+0.03 [+0.01, +0.05])",
            "a doubling usually brings less",
        ),
        (-0.01, 0.07, "about as well as ridge, 4 bins here (+0.03 [−0.01, +0.07])", "promise little"),
        (-0.07, -0.01, "worse than ridge, 4 bins here", "promise little"),
    ],
)
def test_advice_follows_the_interval(low, high, against, trials):
    changes = ["NER, 4 bins instead of NER, 1 bin", "NER, 4 bins instead of ridge, 4 bins"]
    changes += [
        "NER, 4 bins: 32 training trials instead of 16",
        "ridge, 4 bins: 32 training trials instead of 16",
    ]
    rows = pd.DataFrame({"change": changes, "score": 0.03, "low": low, "high": high})
    first, second = own_scores.advice(rows, "NER, 4 bins").split("\n")
    assert against in first
    assert second.startswith("- NER, 4 bins: 32 training trials instead of 16 changed") and trials in second


def test_permuted_movements_cannot_be_decoded():
    session = make_session()
    right = own_scores.table(session, fitted(session)).query("metric == 'velocity_r2'")["score"].min()
    permuted = session.permute_movements(0)
    chance = own_scores.table(permuted, fitted(permuted)).query("metric == 'velocity_r2'")["score"].max()
    assert right > 0.8 and chance < 0.1


def test_consistency_of_a_rotated_copy_is_one_and_of_noise_near_zero():
    session, rng = make_session(), np.random.default_rng(0)
    first, second = own_folds.held_out(session, 2)
    z = rng.normal(size=(len(session.trial), 3))
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]

    def agreement(other):
        two = [made(session, z)._replace(held=first), made(session, z)._replace(held=second, embedding=other)]
        two[0] = two[0]._replace(embedding=z)
        return own_scores.consistency(session, two)

    same, noise = agreement(2 * z @ rotation + 1), agreement(rng.normal(size=z.shape))
    assert same[["pairs", "mean", "lowest"]].to_numpy() == pytest.approx(np.array([[1, 1, 1]]))
    assert noise["mean"].item() < 0.1
    assert own_scores.consistency(session, [made(session, z)]).empty


def test_files_to_take_away_hold_what_was_found(fits, tmp_path):
    session = make_session()
    one = named(fits, "NER, 4 bins")[0]
    scores, units = own_scores.table(session, fits), pd.DataFrame({"unit": [0], "dropped": [False]})
    written = own_scores.take_away(tmp_path / "new", session, one, scores, units)
    assert {path.name for path in written} == {path.name for path in (tmp_path / "new").iterdir()}
    assert all(path.stat().st_size > 0 for path in written) and not plt.get_fignums()
    table = pd.read_csv(tmp_path / "new" / "embedding.csv")
    z = table[["z1", "z2", "z3"]].to_numpy()
    loaded = NER.load(tmp_path / "new" / "model.safetensors").transform(session.rates, session.trial)
    np.testing.assert_allclose(z, loaded, atol=1e-5)
    held = (table["split"] == "held out").to_numpy()
    np.testing.assert_array_equal(held, one.held_bins(session))
    np.testing.assert_allclose(table.loc[held, "decoded_x_mm_s"], one.velocity[:, 0], rtol=1e-4)
    assert table.loc[~held, "decoded_x_mm_s"].isna().all()
    np.testing.assert_array_equal(table["trial"], session.trial)
    ridge = own_scores.take_away(tmp_path / "ridge", session, named(fits, "ridge, 1 bin")[0], scores, units)
    assert "model.safetensors" not in {path.name for path in ridge}


def test_a_session_without_directions_has_the_scores_that_need_none():
    session = make_session()
    aimless = Session(session.rates, session.velocity, trial=session.trial)
    found = own_scores.table(aimless, fitted(aimless, number=2))
    assert set(found["metric"]) == {"velocity_r2", "position_r2"}
    assert list(own_scores.wide(found).columns) == ["R² of velocity", "R² of position"]
    assert len(own_figures.scores(found, aimless).axes) == 2
    plt.close("all")


@pytest.mark.parametrize("simulated", [False, True])
def test_figures_say_when_they_are_simulated(fits, simulated):
    session = make_session(simulated=simulated)
    table = own_scores.table(session, named(fits, "ridge, 1 bin"))
    drawn = [
        own_figures.overview(session, "go cue", 0.1),
        own_figures.scores(table, session),
        own_figures.more_trials(pd.concat([table, table.assign(train_trials=16)]), session),
    ]
    for figure in drawn:
        figure.canvas.draw()
        assert (figure._suptitle is not None) == simulated
    assert own_figures.track((np.arange(3),) * 2, (np.arange(3),) * 2)._suptitle.get_text() == "SIMULATED"
    plt.close("all")


def test_the_track_holds_position_and_heading():
    rates, position, heading, lap = simulate_track(3)
    assert rates.shape == (6400, 60) and len(np.unique(lap)) == 40
    assert (np.diff(position)[np.diff(lap) == 0] > 0).all() and position.max() == pytest.approx(200)
    assert 0 <= heading.min() and heading.max() < 360
    angle, train = np.deg2rad(heading), lap < 32
    y = np.column_stack([position, np.cos(angle), np.sin(angle)])
    assert LinearRegression().fit(rates[train], y[train]).score(rates[~train], y[~train]) > 0.8
    true, decoded = np.array([1.0, 2, 3]), np.array([2.0, 2, 6])
    around = np.array([350.0, 10, 90]), np.array([10.0, 350, 95])
    assert median_errors((true, decoded), around) == (1.0, 20.0)
    for again, first in zip(simulate_track(3), (rates, position, heading, lap), strict=True):
        np.testing.assert_array_equal(again, first)
