"""Sentences say what the numbers say; means that stand beside one another are of the same recordings."""

import json

import numpy as np
import pandas as pd
import pytest
from toy import make_session

from companion import control_figures, results
from companion import control_tables as tables

DAYS = [f"S{i}" for i in range(8)]


def rows_of(method, score, sessions=DAYS, **more):
    each = np.broadcast_to(score, len(sessions))
    return pd.DataFrame(
        [
            {"method": method, "session": s, "area": "M1", "seed": 0, "velocity_r2": v, **more}
            for s, v in zip(sessions, each, strict=True)
        ]
    )


def test_leads_are_paired_and_told_by_their_verdict():
    own = np.linspace(0.2, 0.9, 8)
    rows = pd.concat([rows_of("a", own), rows_of("b", own - 0.1 + 0.01 * (np.arange(8) % 2))])
    lead = tables.lead(rows, "method", "a", "b")
    assert lead.mean == pytest.approx(0.095) and tables.told(lead).startswith("ahead, +0.095 [+0.09")
    assert tables.compare(rows, "method", "b", "a").startswith("behind, −0.095 [−0.09")
    words = {"ahead": "A", "level": "L", "behind": "B"}
    assert tables.settle(lead, **words) == "A"
    assert tables.settle(tables.lead(rows, "method", "b", "a"), **words) == "B"
    alternating = pd.concat([rows_of("a", 0.1 * (-1.0) ** np.arange(8)), rows_of("b", 0)])
    level = tables.lead(alternating, "method", "a", "b")
    assert tables.settle(level, **words) == "L" and tables.told(level).startswith("level, ")
    few = rows[rows["session"].isin(DAYS[:3])]
    assert tables.compare(few, "method", "a", "b").startswith("undecided")
    assert tables.lead(rows, "method", "a", "c") is None and tables.told(None) == "not run yet"
    assert tables.settle(None, **words, undecided="U") == "U"


def test_seeds_are_averaged_first():
    rows = pd.concat([rows_of("a", 0.0), rows_of("a", 1.0).assign(seed=1)])
    (found,) = tables.means(rows, ["method"], "velocity_r2").values()
    assert found.mean == 0.5 and found.values == 8
    assert tables.value(rows).startswith("0.500") and tables.value(rows.iloc[:0]) == "—"


def test_pairs_of_days_are_led_pair_by_pair_and_beside_single_days_by_their_session():
    two = pd.concat([rows_of("a", 0.3, target=f"T{i}", target_area="M1") for i in range(2)])
    other = two.assign(method="b", velocity_r2=0.1)
    assert tables.lead(pd.concat([two, other]), "method", "a", "b").values == 16
    single = rows_of("b", 0.1)
    mixed = pd.concat([two, single])
    assert tables.lead(mixed, "method", "a", "b") is None  # a pair is no single day
    found = tables.lead(mixed.drop(columns="target"), "method", "a", "b")
    assert found.values == found.sessions == 8 and found.mean == pytest.approx(0.2)


def test_only_recordings_that_all_have_stand_beside_one_another():
    rows = pd.concat([rows_of("a", 1), rows_of("b", 1, DAYS[:6])])
    assert set(tables.shared(rows, ["method"])["session"]) == set(DAYS[:6])
    pairs = pd.concat([rows_of("a", 1, target="T"), rows_of("b", 1, DAYS[:6], target="T")])
    assert len(tables.shared(pairs, ["method"])) == 12


def test_verdicts_on_chance():
    noise = 0.01 * (-1.0) ** np.arange(8)
    rows = pd.concat([rows_of("fair", noise - 0.02), rows_of("leak", 0.5 + noise)])
    rows = rows.assign(value="movements permuted", direction_accuracy=rows["velocity_r2"] + 0.125)
    told = tables.above_chance(rows, {(s, "M1"): 0.125 for s in DAYS})
    assert told.loc[("movements permuted", "fair")].str.endswith("no better than chance").all()
    assert told.loc[("movements permuted", "leak")].str.endswith("above chance").all()


def test_a_matrix_of_controls_marks_what_is_above_chance():
    noise = 0.01 * (-1.0) ** np.arange(8)
    fair, leak = rows_of("ridge", noise - 0.02, value="permuted"), rows_of("NER", 0.5 + noise, value="none")
    table = tables.chance_matrix(pd.concat([fair, leak]))
    assert table.columns.tolist() == ["permuted", "none"] and table.index.tolist() == ["NER", "ridge"]
    assert table.to_numpy().tolist() == [["—", "0.50 ▲"], ["−0.02", "—"]]


def test_kept_rows_are_those_of_the_sessions_and_say_where_they_come_from(tmp_path):
    session = make_session(name="S0")
    rows = rows_of("a", 1, ["S0"], table="t").to_dict("records")
    path = tmp_path / "kept.json"
    results.write_results(path, sessions=[session], profile="fast", seeds=[0], records=rows)
    kept, origin = tables.open_kept(path, [session])
    device = json.loads(path.read_text())["provenance"]["device"]
    assert len(kept) == 1 and origin.startswith("*Kept result: 1 rows of 1 recordings") and device in origin
    none, origin = tables.open_kept(path, [make_session(name="S0", seed=5)])
    assert not len(none) and "there are none of these" in origin
    assert tables.lead(none, "method", "a", "b") is None and tables.value(none) == "—"
    tables.show(none, ["method"], ["velocity_r2"])


def test_figures_draw_every_choice_and_method():
    choices = pd.concat(
        [rows_of("NER", 0.5 + 0.1 * v, table="dimensions", value=v) for v in (2, 4)]
        + [rows_of("ridge", 0.5, table="labels", value=name) for name in ("both", "velocity")]
    )
    figure = control_figures.choices(choices, "velocity_r2", [make_session()])
    shown = [axes.get_xlabel() for axes in figure.axes if axes.get_visible()]
    assert shown == ["dimensions", "label"]
    ladder = pd.concat([rows_of("time alone", -3), rows_of("NER", 0.5)])
    figure = control_figures.ladder(ladder, ["velocity_r2"], [make_session()])
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["time alone", "NER"]
    square = control_figures.confusion(
        {"NER": (np.array([0.0, 45.0]), np.eye(2, dtype=int))}, [make_session()]
    )
    assert square.axes[0].get_title() == "NER"
