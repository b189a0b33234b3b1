"""Intervals over sessions: known answers, and how often they hold the truth."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from companion import intervals
from companion.intervals import Estimate, estimate, verdict


def test_a_mean_of_independent_normal_values_gets_students_interval():
    values = np.random.default_rng(0).normal(0.1, 1, size=40)
    found = estimate(values, np.arange(40))
    half = t.ppf(0.975, 39) * values.std(ddof=1) / np.sqrt(40)
    assert found.mean == pytest.approx(values.mean())
    assert [found.low, found.high] == pytest.approx([values.mean() - half, values.mean() + half], abs=0.03)
    assert (found.values, found.positive, found.sessions) == (40, (values > 0).sum(), 40)


def test_values_of_one_session_are_one_observation():
    """Every value twice, as of two areas on one day: the interval must not shrink."""
    values = np.random.default_rng(1).normal(size=12)
    once, twice = estimate(values, range(12)), estimate(np.tile(values, 2), np.tile(np.arange(12), 2))
    assert twice[:3] == pytest.approx(once[:3]) and twice.sessions == 12
    assert twice.values == 24


@pytest.mark.parametrize("areas", [1, 2])
@pytest.mark.parametrize("sessions", [6, 11])
def test_the_interval_holds_the_truth_as_often_as_it_says(monkeypatch, sessions, areas):
    """Differences share what is common to their session: 400 samples, 95 % ± two standard errors, and one."""
    monkeypatch.setattr(intervals, "_DRAWS", 1000)
    rng = np.random.default_rng(2)
    common = rng.normal(size=(400, sessions, 1))
    samples = (common + 0.3 * rng.normal(size=(400, sessions, areas))).reshape(400, -1)
    of_session = np.repeat(np.arange(sessions), areas)
    found = [estimate(sample, of_session) for sample in samples]
    held = np.mean([one.low < 0 < one.high for one in found])
    assert 0.92 <= held <= 0.98


def test_pairs_are_only_as_independent_as_their_sessions():
    """Effects of source and target, 8 sessions, 56 pairs: the interval of free values would be too short."""
    rng, pairs = np.random.default_rng(3), [(a, b) for a in range(8) for b in range(8) if a != b]
    source, target = np.array(pairs).T
    found = []
    for _ in range(200):
        effects = rng.normal(size=(2, 8))
        found.append(estimate(effects[0][source] + effects[1][target], source, target))
    assert np.mean([one.low < 0 < one.high for one in found]) >= 0.92
    free = estimate(effects[0][source] + effects[1][target], np.arange(56))
    assert found[-1].high - found[-1].low > 1.5 * (free.high - free.low)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.01, 0.2, "ahead"), (-0.2, -0.01, "behind"), (-0.1, 0.1, "level"), (None, None, "undecided")],
)
def test_verdicts(low, high, expected):
    assert verdict(Estimate(0.0, low, high, 9, 5, 9)) == expected


def test_five_sessions_of_one_sign_decide_nothing_and_six_do():
    five = estimate(np.linspace(0.1, 0.2, 5), range(5))
    assert (five.low, five.high, five.positive, verdict(five)) == (None, None, 5, "undecided")
    assert verdict(estimate(np.linspace(0.1, 0.2, 6), range(6))) == "ahead"


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [1.0]])
def test_what_has_no_mean_is_refused(values):
    with pytest.raises(ValueError, match="expected finite values and the session of each"):
        estimate(values, ["a", "b"])


def scores(methods, metric="velocity_r2"):
    """Eight recordings of eight sessions, two seeds of random methods: seeds differ, their mean is known."""
    rows = [
        {"session": f"s{i}", "recording": f"s{i} M1", "method": name, "metric": metric, "seed": seed}
        | {"ours": value + i / 10 + (0 if len(seeds) == 1 else (seed - 0.5) / 5)}
        for name, (value, seeds) in methods.items()
        for i in range(8)
        for seed in seeds
    ]
    return pd.DataFrame(rows)


def test_leads_are_paired_and_average_seeds_first():
    """Recordings differ far more than methods; paired, every difference is 0.05 to rounding."""
    table = scores({"NER": (0.1, [0, 1]), "ridge": (0.05, [0]), "PCA": (0.2, [0])})
    found = intervals.leads(table).set_index("other")
    assert found.loc["ridge", ["mean", "low", "high"]].tolist() == pytest.approx([0.05] * 3)
    assert found["verdict"].to_dict() == {"ridge": "ahead", "PCA": "behind"}
    assert found.loc["ridge", "positive"] == 8 and found.loc["PCA", "positive"] == 0
    words = intervals.lead_table(found.reset_index())
    assert words.loc["ridge", "R² of velocity"] == "+0.050 [+0.050, +0.050], 8 of 8: ahead"


def test_summaries_have_intervals_over_sessions_and_the_papers_means():
    table = scores({"NER": (0.1, [0, 1]), "PCA": (0.2, [0])}).assign(paper=0.4)
    found = intervals.summary(table)["velocity_r2"]
    expected = estimate(0.1 + np.arange(8) / 10, range(8))
    assert found.loc["NER"].to_dict() == {"ours": str(expected), "paper": "0.400"}
    assert str(expected).startswith("0.450 [0.2") and list(found.index) == ["NER", "PCA"]
    few = intervals.summary(table[table["session"] < "s4"].assign(paper=np.nan))
    assert few["velocity_r2", "ours"].to_dict() == {"NER": "0.250", "PCA": "0.350"}


def test_a_recording_that_lacks_one_of_the_two_does_not_count():
    table = scores({"NER": (0.1, [0]), "ridge": (0.05, [0])})
    table = table[(table["method"] == "NER") | (table["session"] != "s0")]
    assert intervals.lead(table, "NER", "ridge").values == 7


def test_leads_are_said_in_words():
    rows = [
        {"metric": "velocity_r2", "other": "PCA", "mean": 0.5, "verdict": "ahead"},
        {"metric": "velocity_r2", "other": "ridge", "mean": -0.0625, "verdict": "behind"},
        {"metric": "velocity_r2", "other": "CEBRA", "mean": 0.75, "verdict": "ahead"},
        {"metric": "order", "other": "PCA", "mean": 0.1, "verdict": "level"},
        {"metric": "order", "other": "UMAP", "mean": 0.1, "verdict": "undecided"},
    ]
    assert intervals.in_words(pd.DataFrame(rows)).splitlines() == [
        "- **R² of velocity**: NER is ahead of CEBRA (+0.750), PCA (+0.500); behind ridge (−0.062).",
        "- **order**: NER is level with PCA (+0.100); undecided, with too few sessions for an interval, "
        "against UMAP (+0.100).",
    ]
