"""Curves over labelled trials, with a table whose answers are known."""

import numpy as np
import pandas as pd
import pytest
from toy import make_session

from companion import new_day
from nerlib import NER


@pytest.fixture
def table():
    """Eight sessions; NER reaches 0.8 with all trials, 0.7 with 8, and ridge half of it; two draws each."""
    records = []
    for i in range(8):
        about = {"session": f"S{i}", "area": "M1", "window": 10, "pool": "area", "split": "test"}
        for way, method, members, factor in (("frozen", "NER", 3, 1), ("ridge", "ridge", 1, 0.5)):
            for trials, is_all, r2 in (
                (8, False, 0.7),
                (16, False, 0.72),
                (32, False, 0.76),
                (90 + i, True, 0.8),
            ):
                for draw in (0, 1):
                    score = factor * (r2 + 0.01 * (draw - 0.5) + 0.001 * i)
                    own = {"way": way, "method": method, "members": members, "draw": draw}
                    records.append(about | own | {"trials": trials, "all": is_all, "velocity_r2": score})
    return new_day.curves(records)


def test_draws_are_averaged_and_all_trials_stand_in_one_column(table):
    curve = new_day.only(table, **new_day.BEST)
    assert list(curve) == [8, 16, 32, new_day.ALL] and curve.shape == (16, 4)
    assert new_day.by_recording(curve).loc["S3 M1", 8] == pytest.approx(0.703)
    assert new_day.summary(curve).loc[8, "mean"] == pytest.approx(0.7035)


def test_leads_and_goals(table):
    curve, ridge = new_day.only(table, **new_day.BEST), new_day.only(table, "ridge", "ridge")
    found = new_day.lead(curve, ridge)
    assert found[8].mean == pytest.approx(0.7035 / 2) and found[8].low > 0 and found[8].values == 8
    goals = new_day.goals(curve).set_index("trials")
    assert goals.loc[8, "share"] == pytest.approx(0.7035 / 0.8035)
    assert goals.loc[[8, 16, 32], "verdict"].tolist() == ["reached", "reached", "reached"]
    worse = curve.assign(**{"8": 0}).drop(columns="8")
    worse[8] = 0.5
    assert new_day.goals(worse).set_index("trials").loc[8, "verdict"] == "missed"
    assert "ahead" in new_day.lead_table(table, new_day.TABLE).loc["NER, new first layer, 3 fits", "8"]
    assert "against it NER is **ahead** with 8, 16, 32, all trials" in new_day.answer(table)
    assert "bottleneck" not in new_day.answer(table)
    like = table[table["way"] == "frozen"].assign(method="MSE bottleneck")
    both = pd.concat([table, like.assign(r2=like["r2"] + 0.1)])
    assert "0.80, 0.82, 0.86, 0.90; against it NER is **behind** with 8" in new_day.answer(both)


def test_leads_are_of_the_same_labelled_trials(table):
    """A method with the first draw alone, which is the harder one: it is compared on that draw."""
    alone = table[(table["way"] == "frozen") & (table["draw"] == 0)].assign(way="alone", members=1)
    both = pd.concat([table[table["way"] == "ridge"], alone])
    lines = {"NER": {"way": "alone"}, "ridge": {"way": "ridge", "method": "ridge"}}
    ner, ridge = (new_day.only(both, **line) for line in lines.values())
    assert new_day.lead(ner, ridge)[8].mean == pytest.approx((0.7035 - 0.005) / 2)
    found = {name: new_day.at(curve, 8) for name, curve in new_day.common(both, lines).items()}
    assert found["NER"].mean == pytest.approx(2 * found["ridge"].mean) and found["ridge"].values == 8
    assert new_day.at(ridge, 8).mean > found["ridge"].mean


def test_joint_training_less_the_day_alone(table):
    ner = table[table["way"] == "frozen"]
    both = pd.concat([ner.assign(way="joint"), ner.assign(way="alone", r2=ner["r2"] - 0.1)])
    told = new_day.joint_less_alone(both.assign(members=1))
    assert told.loc["NER, 10 bins", "16"].startswith("0.100") and "ahead" in told.loc["NER, 10 bins", "16"]
    assert set(told.loc["CEBRA-velocity, 1 bin"]) == {"—"}
    scores = new_day.score_table(table, {"NER": new_day.BEST})
    assert list(scores) == ["8", "16", "32", "all"] and scores.loc["NER", "all"].startswith("0.80")


def test_forms_are_candidates_with_their_validation_scores():
    about = {"split": "validation", "way": "frozen", "members": 1, "method": "NER", "monkey": "A"}
    forms = {0.6: {"max_iter": 100}, 0.8: {"max_iter": 100, "first_layer": "whole"}}
    records = [about | {"settings": form, "trials": 8, "velocity_r2": r2} for r2, form in forms.items()]
    records += [records[0] | {"velocity_r2": 0.7}, records[0] | {"members": 3, "velocity_r2": 0}]
    found = new_day.forms(records)["8 trials", "A"]["NER"]
    assert found.to_dict() == {"max_iter=100": 0.65, "max_iter=100, first_layer=whole": 0.8}
    records = [records[0] | {"chosen": False}, records[1] | {"chosen": True}]
    assert new_day.choices(records).loc[("frozen", "NER"), "A"] == "max_iter=100, first_layer=whole"


def test_lines_of_a_panel_show_the_same_recordings(table):
    fewer = table[~((table["way"] == "ridge") & (table["session"] == "S0"))]
    lines = {"NER": new_day.BEST, "ridge": {"way": "ridge", "method": "ridge"}, "absent": {"way": "joint"}}
    found = new_day.common(fewer, lines)
    assert list(found) == ["NER", "ridge"]
    for curve in found.values():
        assert list(new_day.by_recording(curve).index) == [f"S{i} M1" for i in range(1, 8)]
        assert curve.notna().all(axis=None) and len(curve) == 14


def test_lines_with_too_few_recordings_share_nothing(table):
    few = table[table["session"].isin(["S0", "S1"])]
    assert new_day.common(few, {"NER": new_day.BEST}) == {}
    assert new_day.score_table(few, {"NER": new_day.BEST}).empty


def test_agreement_is_one_for_copies_and_less_for_a_rotation():
    day = make_session()
    z = NER(max_iter=20, batch_size=32, random_state=0, device="cpu").fit_transform(
        day.rates, day.labels, day.trial
    )
    same, other = new_day.agreement([z, z, z], [day] * 3)
    assert same == pytest.approx(1) and other < 0.5
    turned = z @ np.diag([-1, -1, 1])
    assert new_day.agreement([z, turned], [day] * 2)[0] < 0.9


def test_parity_compares_means_over_runs_of_each_setting():
    runs = {10: [(0.60, 0.58), (0.50, 0.48)], 20: [(0.60, 0.50), (0.60, 0.50)]}  # ours, the package's
    records = [
        {"steps": steps, "rate": 0.1, "seed": seed, "session": session, "code": code, "velocity_r2": r2}
        for steps, pairs in runs.items()
        for seed, both in enumerate(pairs)
        for code, r2 in zip(("nerlib", "cebra"), both, strict=True)
        for session in ("A", "B")
    ]
    table, told = new_day.parity(records)
    assert table.shape == (4, 4) and told.startswith("Mean ± s.d. over 2 runs. ")
    assert "10 steps at rate 0.1: ours 0.550 ± 0.071, the package 0.530 ± 0.071, within 0.03;" in told
    assert "20 steps at rate 0.1: ours 0.600 ± 0.000, the package 0.500 ± 0.000, not within 0.03." in told
