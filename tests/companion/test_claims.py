"""Claims: verdicts with their reasons."""

import numpy as np
import pandas as pd
import pytest
from toy import make_session

from companion import claims, intervals
from companion.intervals import Estimate

HALF = Estimate(0.5, 0.4, 0.6, 9, 9, 9)


@pytest.mark.parametrize(
    ("arguments", "verdict"),
    [
        ({"paper": 0.52, "tolerance": 0.03}, "reproduced"),
        ({"paper": 0.58, "tolerance": 0.03}, "lower by 0.080"),
        ({"paper": 0.40, "tolerance": 0.03}, "higher by 0.100"),
        ({"paper": float("nan"), "tolerance": 0.03}, "no published value"),
        ({"lead": True}, "ahead"),
    ],
)
def test_verdicts(session, arguments, verdict):
    row = claims.claim("c", [session, session], "m", HALF, **arguments, reason="why", seconds=1)
    assert (row["verdict"], row["sessions"], row["reason"]) == (verdict, "2 M1", "why")
    assert (row["ours"], row["low"], row["high"]) == (0.5, 0.4, 0.6)


@pytest.mark.parametrize("simulated", [False, True])
def test_paper_value_without_tolerance_is_refused(simulated):
    with pytest.raises(ValueError, match="'c' has the paper's value 0.7 and no tolerance; give tolerance="):
        claims.claim("c", [make_session(simulated=simulated)], "m", HALF, paper=0.7)


def test_no_paper_value_stands_beside_a_simulated_claim():
    simulated = make_session(simulated=True)
    row = claims.claim("c", [simulated], "m", HALF, paper=0.7, tolerance=0.03, reason="why")
    assert (row["paper"], row["tolerance"], row["verdict"], row["reason"]) == (None, None, "simulated", "")


def scored(method, values, seconds=1.0, names="abcdefgh"):
    """Rows as `compare` makes them, one a recording and seed; recordings differ by 0.01."""
    about = {"area": "M1", "method": method, "metric": "velocity_r2", "protocol": "published"}
    about |= {"paper": 0.5, "seconds": seconds}
    return [
        about | {"session": name, "recording": name, "seed": seed, "ours": value + 0.01 * i}
        for i, name in enumerate(names, start=-(len(names) // 2))
        for seed, value in enumerate(values)
    ]


def test_claims_of_means_say_how_far_they_are_from_the_paper(session):
    scores = pd.DataFrame(scored("NER", [0.60, 0.62]))  # recordings: 0.57 to 0.64, mean 0.605
    kept = pd.DataFrame(scored("NER", [0.51]))
    [row] = claims.claim_scores("c", [session], scores, tolerance=0.08, kept=kept)
    assert (row["metric"], row["verdict"], row["seconds"]) == ("R² of velocity", "higher by 0.105", 16)
    assert row["ours"] == pytest.approx(0.605) and row["low"] < row["ours"] < row["high"]
    assert row["reason"].startswith("differs by 0.105 [0.0")
    assert row["reason"].endswith("; 2 of 8 within 0.08; 0.505 at the paper's settings")
    [row] = claims.claim_scores("c", [session], scores, tolerance=0.2, kept=kept.iloc[:0])
    assert row["verdict"] == "reproduced" and row["reason"].endswith("; 8 of 8 within 0.2")
    unknown = scores.assign(paper=np.nan, protocol="corrected")
    [row] = claims.claim_scores("c", [session], unknown, tolerance=0.03, kept=kept)
    assert (row["verdict"], row["reason"]) == (
        "no published value",
        "the paper gives none in this protocol",
    )


def test_only_recordings_that_the_paper_has_values_for_stand_beside_its_mean(session):
    rows = scored("NER", [0.8], names="ab") + scored("MSE bottleneck", [0.7], names="ab")
    for row in rows:
        if row["session"] == "b":
            row |= {"ours": 0.2, "paper": np.nan}
        if row["method"] == "MSE bottleneck":
            row["paper"] = np.nan
    scores = pd.DataFrame(rows)
    [row] = claims.claim_scores("c", [session], scores.query("method == 'NER'"), tolerance=0.03)
    assert (row["ours"], row["paper"], row["low"]) == (pytest.approx(0.79), 0.5, None)
    table = intervals.summary(scores)["velocity_r2"]
    assert table["ours"].to_dict() == {"NER": "0.790", "MSE bottleneck": "0.690"}
    unknown = intervals.summary(scores.assign(paper=np.nan))["velocity_r2"]
    assert unknown["ours"].to_dict() == {"NER": "0.495", "MSE bottleneck": "0.445"}


def test_claims_of_leads_name_the_best_of_methods_and_of_controls(session):
    scores = scored("NER", [0.60, 0.70]) + scored("CEBRA", [0.50, 0.40]) + scored("PCA", [0.2])
    scores = pd.DataFrame(scores + scored("ridge, 10 bins", [0.68], seconds=3.0))
    methods, controls = claims.claim_leads("here", [session], scores)
    assert methods["claim"] == "here: NER against the best of the paper's methods"
    assert methods["verdict"] == "ahead"
    assert methods["reason"] == "least certain over CEBRA; NER is ahead in 8 of 8"
    assert methods["ours"] == pytest.approx(0.2)
    assert methods["ours"] == intervals.leads(scores).set_index("other").loc["CEBRA", "mean"]
    assert (methods["low"], methods["seconds"]) == (pytest.approx(0.2), 40)
    assert controls["claim"] == "here: NER against the best of the controls"
    assert (controls["verdict"], controls["ours"]) == ("behind", pytest.approx(-0.03))
    assert controls["reason"] == "least certain over ridge, 10 bins; NER is ahead in 0 of 8"
    assert controls["seconds"] == 16 + 24
    assert len(claims.claim_leads("here", [session], scores[scores["method"].isin(["NER", "PCA"])])) == 1


def test_without_other_methods_there_is_no_claim_of_a_lead(session):
    assert claims.claim_leads("here", [session], pd.DataFrame(scored("NER", [0.9]))) == []


def test_a_lead_on_few_sessions_is_undecided(session):
    scores = pd.DataFrame(scored("NER", [0.9], names="abcd") + scored("PCA", [0.2], names="abcd"))
    [row] = claims.claim_leads("here", [session], scores)
    assert (row["verdict"], row["low"]) == ("undecided", None)


def test_the_rival_that_is_named_is_the_one_over_which_the_lead_is_least_sure(session):
    """Ahead of a rival with the higher mean, level with one that varies: the verdict is level."""
    varying = scored("CEBRA", [0.5])
    for row, shift in zip(varying, [0.4, -0.5, 0.4, -0.5, 0.3, -0.5, 0.3, 0.0], strict=True):
        row["ours"] += shift
    scores = pd.DataFrame(scored("NER", [0.6]) + scored("PCA", [0.5]) + varying)
    [row] = claims.claim_leads("here", [session], scores)
    assert row["verdict"] == "level" and row["reason"].startswith("least certain over CEBRA;")
    assert row["ours"] == pytest.approx(0.1125)
