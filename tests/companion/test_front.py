"""The front page: its claims come from the rows that ask for it, its numbers from what chapters found."""

import base64
import json
import re
from pathlib import Path

import nbformat
import pytest

from companion import front
from companion.results import BookError

ROOT = Path(__file__).resolve().parents[2]


def row(verdict="reproduced", metric="R² of velocity", text="It works", **changes):
    found = {"claim": "c", "sessions": "8 M1 + 6 PMd", "metric": metric, "paper": 0.8642, "ours": 0.853}
    found |= {"low": 0.82, "high": 0.87, "tolerance": 0.03, "verdict": verdict, "reason": "", "seconds": 1}
    return found | {"front": text} | changes


def chapters(*rows, findings=None):
    provenance = {
        "data": "recorded",
        "date": "2026-01-02",
        "sessions": {"A/M1": "0", "A/PMd": "1", "B/M1": "2"},
    }
    about = {"chapter": "03_test", "provenance": provenance, "findings": findings or {}}
    return [about | {"headline": list(rows)}]


@pytest.mark.parametrize(
    ("verdicts", "expected", "note"),
    [
        (["reproduced", "reproduced"], "reproduced", ""),
        (["ahead"], "reproduced", ""),
        (["higher by 0.087"], "higher", "velocity"),
        (["reproduced", "higher by 0.040"], "higher", "position"),
        (["higher by 0.040", "level"], "partly", "velocity higher than published; level in position"),
        (["ahead", "level"], "partly", "level in position"),
        (["lower by 0.1", "behind"], "not reproduced", ""),
        (["level"], "not reproduced", ""),
        (["undecided"], "undecided", ""),
        (["no published value"], "undecided", ""),
        (["simulated"], "not tested", ""),
    ],
)
def test_rows_with_the_same_words_are_one_claim(verdicts, expected, note):
    rows = [row(v, f"R² of {name}") for v, name in zip(verdicts, ("velocity", "position"), strict=False)]
    [claim] = front.claims(chapters(*rows, row(text="")))
    assert (claim["verdict"], claim["note"]) == (expected, note)
    if expected == "not tested":
        assert (claim["paper"], claim["ours"], claim["recordings"]) == ("—", "—", 0)
    else:
        recordings = 0 if expected == "undecided" else 14  # where they may be parts of one
        assert (claim["paper"], claim["recordings"]) == ("0.86", recordings)
        assert claim["ours"] == "0.85 [0.82, 0.87] R² of velocity"


def test_a_simulated_chapter_has_no_numbers_on_the_front_page():
    [result] = chapters(row("ahead"))
    result["provenance"] |= {"data": "simulated"}
    assert front.claims([result])[0]["verdict"] == "not tested"
    assert "0.8" not in front.table([result]) and "Paper" not in front.table([result])


def test_a_lead_has_its_sign_and_the_paper_no_number():
    [claim] = front.claims(
        chapters(row("ahead", "lead in R² of velocity", ours=0.1, low=0.08, high=0.12, paper=None))
    )
    assert (claim["paper"], claim["ours"]) == ("leads", "lead +0.10 [+0.08, +0.12] in R² of velocity")


def test_the_tally_and_the_key_have_the_verdicts_that_occur():
    results = chapters(row(), row("level", text="b"), row("behind", text="c"))
    said = re.sub("<.*?>", "", front.tally(results))
    assert said == "Of 3 claims: 1 reproduced 2 not reproduced"
    assert [line.split(">")[1].split("<")[0] for line in front.key(results).splitlines()] == [
        "reproduced",
        "not reproduced",
    ]
    assert "partly" not in front.key(results, markdown=True)


def test_a_higher_value_is_told_apart_from_a_claim_that_holds_in_part():
    both = [row("higher", text="a"), row(text="b"), row("level", text="b"), row("higher", text="c")]
    said = re.sub("<.*?>", "", front.tally(chapters(*both, row(text="c"))))
    assert said == "Of 3 claims: 2 higher 1 partly"


def test_more_than_ten_claims_are_refused():
    rows = [row(text=f"claim {i}") for i in range(11)]
    assert len(front.claims(chapters(*rows[:10]))) == 10
    with pytest.raises(BookError, match="11 claims ask for the front page, which has room for 10"):
        front.claims(chapters(*rows))


def test_digits_are_those_that_the_interval_deserves():
    assert front.number(-0.0456) == "−0.05"
    assert front.number(0.0231, 0.0176, 0.0297, sign=True) == "+0.023 [+0.018, +0.030]"
    assert front.number(0.239, 0.15, 0.358) == "0.24 [0.15, 0.36]"


def test_pages_quote_findings_and_refuse_unknown_ones():
    results = chapters(
        findings={"velocity": {"mean": 0.851, "low": 0.8, "high": 0.9}, "lead": {"mean": -0.1}}
    )
    page = 'R² {{ found("03_test", "velocity") }}, {{ found("03_test", "velocity", interval=True) }}, '
    page += '{{ lead("03_test", "lead") }}, {doc}`x`\n'
    assert front.fill(page, results, "recorded") == "R² 0.85, 0.85 [0.80, 0.90], −0.10, {doc}`x`\n"
    assert front.fill('{{ found("03_test", "velocity", digits=0) }}', results, "recorded") == "1"
    with pytest.raises(
        BookError, match="quotes the finding 'speed' of 03_test; its findings are: velocity, lead"
    ):
        front.fill('{{ found("03_test", "speed") }}', results, "recorded")
    assert front.fill('{{ found("03_test", "speed") }}', results, "recorded", strict=False) == "—"
    with pytest.raises(BookError, match="unknown: 'typo' is undefined"):
        front.fill("{{ typo }}", results, "recorded")


def test_the_readme_is_written_between_its_markers():
    before, after = "a\n<!-- headline: written by make publish-run -->\n", "<!-- /headline -->\nb\n"
    text = front.readme(before + "old\n" + after, chapters(row()))
    assert text.startswith(before) and text.endswith(after) and "old" not in text
    line = "| [It works](book/03_test.ipynb) (14 recordings) | 0.86 | 0.85 [0.82, 0.87] R² of velocity |"
    assert f"{line} 🟢 reproduced |" in text.splitlines()
    assert front.readme(text, chapters(row())) == text
    with pytest.raises(BookError, match="lacks the markers"):
        front.readme("no markers", chapters(row()))


def test_the_figure_comes_from_the_tagged_cell(tmp_path):
    outputs = [
        nbformat.v4.new_output("display_data", {"text/html": "<b>turn me</b>"}),
        nbformat.v4.new_output("display_data", {"image/png": base64.b64encode(b"picture").decode()}),
    ]
    metadata = {"tags": ["front-figure"], "mystnb": {"image": {"alt": "petals"}}}
    cells = [
        nbformat.v4.new_code_cell("1"),
        nbformat.v4.new_code_cell("2", outputs=outputs, metadata=metadata),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "a.ipynb")
    assert front.figure([tmp_path / "a.ipynb"]) == ("<b>turn me</b>", b"picture", "petals")
    assert front.figure([]) == ("", None, "")


def test_the_recordings_add_up():
    last = front.recordings().splitlines()[-1]
    assert last == "| **All** | 11/19 | 8/16 | 6/12 | 3/3 | 17/31 |"


def test_readme_has_the_published_headline():
    results = json.loads((ROOT / "book" / "published.json").read_text())
    text = (ROOT / "README.md").read_text()
    assert front.readme(text, results) == text, "run `make publish-run`"
