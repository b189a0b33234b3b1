"""Each statement of the audit, on a small example whose answer is known by hand."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from toy import make_session

from companion import audit, audit_figures, authors_embeddings, comparison
from nerlib.decoders import LinearDecoder
from nerlib.models import UMAP, PiVAE

REFERENCE = Path(__file__).resolve().parents[2] / "book" / "reference"


def test_a_decoder_that_shrinks_falls_below_zero_when_arguments_are_exchanged():
    """It returns a quarter of the truth: errors are 9/16 of the true variance, 9 of the decoded one."""
    true = np.array([-1.0, 1.0, -1.0, 1.0])
    assert r2_score(true, true / 4) == pytest.approx(1 - 9 / 16)
    assert r2_score(true / 4, true) == pytest.approx(1 - 9)


@pytest.mark.parametrize("r2", [0.2, 0.5, 0.8])
def test_exchanged_r2_of_a_least_squares_decoder(r2):
    """R² of 1/2 becomes 0, 4/5 becomes 3/4, 1/5 becomes −3."""
    true, noise = np.linalg.qr(np.random.default_rng(0).normal(size=(200, 2)))[0].T
    true, noise = true - true.mean(), noise - noise.mean()
    noise -= true * (noise @ true) / (true @ true)
    seen = true + noise * np.sqrt((1 - r2) / r2 * (true @ true) / (noise @ noise))
    decoded = LinearRegression().fit(seen[:, None], true).predict(seen[:, None])
    assert r2_score(true, decoded) == pytest.approx(r2)
    assert r2_score(decoded, true) == pytest.approx(2 - 1 / r2) == audit.exchanged(r2)


def test_guesses_are_above_chance_at_the_best_bin_of_the_scored_trials():
    """The best of 40 bins is the largest of 40 binomial counts; a bin chosen elsewhere is at 1/8."""
    n_trials, draws = 32, [audit.random_peak(32, seed=seed) for seed in range(100)]
    found = pd.DataFrame(draws).mean()
    counts = np.arange(n_trials)
    largest = (1 - binom.cdf(counts, n_trials, 1 / 8) ** 40).sum() / n_trials  # the mean is Σ P(X > k)
    assert found["published"] == pytest.approx(largest, abs=0.01) and largest > 0.25
    assert found["corrected"] == pytest.approx(1 / 8, abs=0.02)


def test_a_rotation_fitted_to_test_trials_flatters_random_embeddings():
    session = make_session()
    found = pd.DataFrame([audit.random_rotation(session, 8, seed) for seed in range(10)])
    assert (found["test trials"] > found["training trials"]).mean() >= 0.8
    assert found["training trials"].mean() < 0 < (found["test trials"] - found["training trials"]).mean()


def test_pivae_given_the_labels_decodes_rates_that_hold_none():
    """Rates of noise: nothing can be decoded from them, all that is decoded are the labels."""
    session = make_session()
    noise = np.random.default_rng(1).poisson(1.0, size=session.rates.shape).astype(float)
    train = session.split()[0]
    n = len(train.trial)
    model = PiVAE(max_iter=60, learning_rate=3e-3, random_state=0).fit(noise[:n], train.labels, train.trial)
    found = {}
    for name, embed in (
        ("given labels", lambda rates, part: model.published_embedding(rates, part.labels, part.trial)),
        ("rates alone", lambda rates, part: model.transform(rates, part.trial)),
    ):
        test = session.split()[1]
        decoder = LinearDecoder().fit(embed(noise[:n], train), train)
        scores = decoder.score(embed(noise[n:], test), test, held_out=True)
        found[name] = scores["corrected"]["velocity_r2"]
    assert found["given labels"] > 0.3 and found["rates alone"] < 0.05


def test_training_trials_flatter_a_decoder_of_noise():
    """With as many dimensions as bins a regression explains all of its training data, and nothing else."""
    rng = np.random.default_rng(0)
    noise, moved = rng.normal(size=(2, 40, 39)), rng.normal(size=(2, 40, 2))
    decoder = LinearRegression().fit(noise[0], moved[0])
    assert decoder.score(noise[0], moved[0]) == pytest.approx(1) and decoder.score(noise[1], moved[1]) < 0


def test_an_angle_in_degrees_puts_neighbours_far_apart():
    """0° and 315° are neighbours among eight targets, as 0° and 45° are; as numbers they are 315 apart."""
    angles = np.array([0.0, 45.0, 315.0])
    linear = np.abs(angles - angles[0])
    assert linear.tolist() == [0, 45, 315] and np.minimum(linear, 360 - linear).tolist() == [0, 45, 45]


def test_fewer_dimensions_than_the_movement_has_cannot_hold_it():
    """Four independent signals of equal variance: three of them explain three quarters of their sum."""
    rng = np.random.default_rng(0)
    signals = rng.normal(size=(20_000, 4))
    total = signals.sum(axis=1)
    explained = [LinearRegression().fit(signals[:, :d], total).score(signals[:, :d], total) for d in (3, 4)]
    assert explained == pytest.approx([0.75, 1], abs=0.02)


def test_a_second_fit_of_umap_has_axes_of_its_own():
    """The decoder of the first fit is worth less than the mean on a second one, and much on `transform`."""
    train, test = make_session().split()
    first, second = (
        UMAP(random_state=0, max_iter=50).fit(part.rates, part.labels, part.trial) for part in (train, test)
    )
    decoder = LinearRegression().fit(first.transform(train.rates, train.trial), train.velocity)
    by_fit = [decoder.score(fit.transform(test.rates, test.trial), test.velocity) for fit in (first, second)]
    assert by_fit[0] > 0.3 and by_fit[1] < 0


@pytest.fixture(scope="module")
def kept():
    return audit.tables(json.loads(authors_embeddings.KEPT.read_text())["records"])


def test_kept_scores_are_whole_and_say_what_they_are_of(kept):
    assert {name: len(rows) for name, rows in kept.items()} == {
        "within": 34 * 4, "curved": 16 * 4, "transfer": 298 * 3, "rotations": 264,
    }  # fmt: skip
    origin = json.loads(authors_embeddings.KEPT.read_text())["provenance"]
    pinned = {e.file: e.blob for e in authors_embeddings.ENTRIES}
    assert len(origin["files"]) == 50 and origin["files"].items() <= pinned.items()
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in origin["sessions"].values())


def test_each_published_score_of_a_pair_is_that_of_one_rotation_from_all_trials(kept):
    pairs = pd.DataFrame(kept["rotations"]).dropna(subset="paper")
    assert pairs.groupby("method").size().to_dict() == {"CEBRA": 90, "NER": 42, "piVAE": 90}
    assert pairs["off"].max() < 5.1e-5


def test_the_least_squares_rule_picks_another_rotation_in_most_pairs(kept):
    transfer = comparison.compare_transfer(kept["transfer"], str(REFERENCE / "published_cross_session.csv"))
    found = audit.same_rotation(transfer)
    assert found["same"].to_dict() == {"CEBRA": 24, "NER": 7, "piVAE": 17}
    assert 0 < found.loc["NER", "ours"] - found.loc["NER", "paper"] < 0.03


def test_on_curved_reaches_ner_leads_only_with_many_types_held_out(kept):
    held = pd.DataFrame(kept["curved"]).query("split == 'test' and protocol == 'corrected'")
    velocity = held.pivot(index="session", columns="method", values="velocity_r2")
    many = velocity.index.str.contains("13 38 18|37 1 31")
    lead = velocity["NER"] - velocity["CEBRA"]
    assert (lead[many] > 0.05).all() and (lead[~many] < 0).all()


def test_the_scores_are_shown_kept_where_the_files_are_absent(kept):
    shown, files, said = audit.open_scores("recorded", str(REFERENCE / "published_cross_session.csv"))
    assert shown == kept and len(files) == 50 and said.startswith("**Kept scores.**") and "50 of the" in said
    assert "simulated data" in audit.open_scores("simulated", "")[2]
    scores, runs, said = audit.open_curved("recorded")
    assert len(scores) == 64 and not runs and "16 of the authors' files are not here" in said
    assert len(audit.train_and_test(scores, "velocity_r2")) == 16


def test_recordings_in_common_and_their_means():
    scores = pd.DataFrame({"method": ["A", "A", "B"], "recording": ["x", "y", "x"], "ours": [1.0, 9.0, 2.0]})
    assert audit.common(scores, ["A", "B"])["ours"].tolist() == [1.0, 2.0]


def test_figures(kept, session):
    held = pd.DataFrame(kept["within"]).query("split == 'test'")
    wide = held.pivot_table("velocity_r2", ["session", "method"], "protocol").reset_index()
    figure = audit_figures.exchange(wide)
    assert [t.get_text() for t in figure.axes[0].get_legend().texts][0] == "2 − 1 / R²"
    pairs = pd.DataFrame(kept["rotations"]).query("method == 'NER'")
    assert len(audit_figures.rotations(pairs).axes[0].lines[1].get_xdata()) == 42
    panel = audit_figures.scatter({"half": session.velocity / 2}, session).axes[0]
    assert panel.get_title() == "half\nR² 0.75; exchanged 0.00"
    table = pd.DataFrame({"recording": ["a"], "method": ["NER"], "train": [0.8], "test": [0.7]})
    assert audit_figures.train_test(table).axes[0].get_yticklabels()[0].get_text() == "a"
    audit_figures.peaks(pd.DataFrame({"published": [0.3], "corrected": [0.1]}, index=[32]), 1 / 8)


def test_both_values_of_a_score_stand_in_one_row(session):
    table = pd.DataFrame({"NER": [0.8, 0.9], "CEBRA": [-0.5, 0.7]}, index=["velocity", "position"])
    figure = audit_figures.both_values(table, [replace(session, simulated=True)])
    ner, cebra = figure.axes[0].lines[:2]
    assert ner.get_xdata().tolist() == [0.8, 0.9] and cebra.get_xdata().tolist() == [-0.5, 0.7]
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["velocity", "position"]
    assert figure.get_suptitle() == "SIMULATED"


def test_losses_have_a_panel_for_each_recording_and_method():
    record = {"method": "NER", "session": "a", "loss_ours": [3.0, 2, 1], "loss_theirs": [3.0, 2, 1]}
    records = [record, record | {"loss_ours": [4.0, 2, 1]}, record | {"session": "b"}]
    first, second = audit_figures.losses(records, 30).axes
    assert len(first.lines) == 3 and len(second.lines) == 2
    assert first.lines[0].get_xdata().tolist() == [5, 15, 25]
