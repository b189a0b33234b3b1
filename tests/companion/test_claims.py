"""Claims: verdicts with their reasons."""

import numpy as np
import pandas as pd
import pytest
from toy import make_session

from companion import claims, comparison


@pytest.mark.parametrize(
    ("arguments", "verdict"),
    [
        ({"paper": 0.52, "tolerance": 0.03}, "reproduced"),
        ({"paper": 0.58, "tolerance": 0.03}, "lower by 0.080"),
        ({"paper": 0.40, "tolerance": 0.03}, "higher by 0.100"),
        ({"paper": float("nan"), "tolerance": 0.03}, "no published value"),
        ({"at_least": 0.5}, "holds (≥ 0.5)"),
        ({"at_least": 0.6}, "does not hold (< 0.6)"),
    ],
)
def test_verdicts(session, arguments, verdict):
    row = claims.claim("c", [session, session], "m", [0.4, 0.6], **arguments, reason="why", seconds=1)
    assert (row["verdict"], row["sessions"], row["ours"]) == (verdict, "2 M1", 0.5)
    assert row["reason"] == ("differs by 0.020" if verdict == "reproduced" else "why")
    assert row["sd"] == pytest.approx(0.1414, abs=1e-4)


@pytest.mark.parametrize("simulated", [False, True])
def test_paper_value_without_tolerance_is_refused(simulated):
    with pytest.raises(ValueError, match="'c' has the paper's value 0.7 and no tolerance; give tolerance="):
        claims.claim("c", [make_session(simulated=simulated)], "m", [0.5], paper=0.7)


def test_no_paper_value_stands_beside_a_simulated_claim():
    simulated = make_session(simulated=True)
    row = claims.claim("c", [simulated], "m", [0.5], paper=0.7, tolerance=0.03, reason="why")
    assert (row["paper"], row["tolerance"], row["verdict"], row["reason"]) == (None, None, "simulated", "")


def scored(method, values, seconds=1.0):
    """Rows as `compare` makes them: two recordings, one a seed; a fit takes ``seconds``."""
    about = {"area": "M1", "method": method, "metric": "velocity_r2", "paper": 0.5, "seconds": seconds}
    rows = [about | {"seed": seed, "ours": value} for seed, value in enumerate(values)]
    return [row | {"session": name, "recording": name} for name in "ab" for row in rows]


def test_claims_of_means_have_spread_time_and_the_published_settings_as_reason(session):
    scores = pd.DataFrame(scored("NER", [0.60, 0.62]) * 2)
    kept = pd.DataFrame(scored("NER", [0.51]))
    [row] = claims.claim_scores("c", [session], scores, tolerance=0.03, kept=kept)
    assert (row["metric"], row["verdict"]) == ("R² of velocity", "higher by 0.110")
    assert row["reason"] == "0.510 at the published settings"
    assert (row["seconds"], row["sd"]) == (4, pytest.approx(0.02 / np.sqrt(2)))
    [row] = claims.claim_scores("c", [session], scores, tolerance=0.2)
    assert (row["verdict"], row["reason"]) == ("reproduced", "differs by 0.110")
    [row] = claims.claim_scores("c", [session], scores, tolerance=0.03, kept=kept.iloc[:0])
    assert row["reason"] == ""
    unknown = scores.assign(paper=np.nan, protocol="corrected")
    [row] = claims.claim_scores("c", [session], unknown, tolerance=0.03, kept=kept)
    assert (row["verdict"], row["reason"]) == (
        "no published value",
        "the paper gives none in this protocol",
    )


def test_only_recordings_that_the_paper_has_values_for_stand_beside_its_mean(session):
    rows = scored("NER", [0.8]) + scored("MSE bottleneck", [0.7])
    for row in rows:
        if row["session"] == "b":
            row |= {"ours": 0.2, "paper": np.nan}
        if row["method"] == "MSE bottleneck":
            row["paper"] = np.nan
    scores = pd.DataFrame(rows)
    [row] = claims.claim_scores("c", [session], scores.query("method == 'NER'"), tolerance=0.03)
    assert (row["ours"], row["paper"]) == (0.8, 0.5)
    table = comparison.summary(scores)["velocity_r2"]
    assert table["ours"].to_dict() == {"NER": "0.800", "MSE bottleneck": "0.700"}
    unknown = comparison.summary(scores.assign(paper=np.nan))["velocity_r2"]
    assert unknown["ours"].to_dict() == {"NER": "0.500", "MSE bottleneck": "0.450"}


def test_claims_of_leads_name_the_best_of_methods_and_of_controls(session):
    scores = scored("NER", [0.60, 0.70]) + scored("CEBRA", [0.50, 0.40]) + scored("PCA", [0.2])
    scores = pd.DataFrame(scores + scored("ridge", [0.68], seconds=3.0))
    methods, controls = claims.claim_leads("here", [session], scores)
    assert methods["claim"] == "here: NER is ahead of the best of CEBRA; PCA"
    assert (methods["verdict"], methods["reason"]) == ("holds (≥ 0)", "the best is CEBRA, 0.450")
    assert methods["ours"] == pytest.approx(
        comparison.margin_over(scores)["velocity_r2"][["CEBRA", "PCA"]].min()
    )
    assert (methods["sd"], methods["seconds"]) == (pytest.approx(0.2 / np.sqrt(2)), 10)
    assert controls["claim"] == "here: NER is ahead of ridge"
    assert (controls["verdict"], controls["reason"]) == ("does not hold (< 0)", "the best is ridge, 0.680")
    assert controls["seconds"] == 4 + 6 and controls["sd"] == pytest.approx(0.1 / np.sqrt(2))
    assert len(claims.claim_leads("here", [session], scores.query("method != 'ridge'"))) == 1
