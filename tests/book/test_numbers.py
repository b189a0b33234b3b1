"""No result is typed by hand: numbers in prose that look like results stop here, but for those listed.

A number of a result comes from a results file that a run wrote: a cell prints it, or a page asks for it by
`found`. What is looked at is what people write: Markdown cells, captions and texts of code cells, the pages
in Markdown, and the README outside the blocks that a command writes.
"""

import ast
import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "book"
NOT_PROSE = [
    r"\A---\n.*?\n---\n",  # settings of a page
    r"(?s)<!-- (\w+): written by .*?<!-- /\1 -->",  # blocks that a command writes
    r"`[^`\n]*`",
    r"(?s)\{\{.*?\}\}|\{%.*?%\}",  # numbers that a page asks for
    r"(?s)\$\$.*?\$\$|\$[^$]*\$",  # formulas
    r"https?://\S+|\]\([^)]*\)|\bdoi 10\.\S+",
    r"[:+,]*\.\d+[efg%]",  # how a cell writes a number
    r"\b(?:Python|CC-BY|CC0|MIT)[- ]\d+\.\d+",  # versions and licences
]
NUMBER = r"(?<![\w.])[+−-]?\d+(?:[.,]\d+)?"
CODE = ("{raw}", "{code", "{eval-rst}", "{literalinclude}")
RESULT = re.compile(
    rf"{NUMBER}\s?(?:%|‰|per ?cent\b|percent\b)|{NUMBER}(?:-fold|fold\b|\s?×(?!\s?\d)|\s+times\b)"
    r"|(?<![\w.])[+−-]?\d*\.\d+(?!\.?\d)"
    r"|\b(?:dozens|hundreds|thousands) of times\b|\btwice as\b|\bhalf (?:of )?(?:it|the variance)\b"
    r"|\b\d+ of (?:the )?\d+\b",
    re.IGNORECASE,
)

DESIGN = {  # phrase, wherever it stands: why it is no result
    "95 % interval": "the level of all intervals",
    "95 % bootstrap interval": "the level of all intervals",
    "first 80 % of": "the split",
    "last 20 %": "the split",
}
PAPER = "a value of the paper, in the sentence that states its claim"
EXCEPTIONS = {  # file: {phrase: why its number is no result of ours}
    "02_one_session.ipynb": {
        "40 bins, or 1.2 s": "length of a trial",
        "chance is 0.5": "area under the curve by chance",
    },
    "03_explained_variance.ipynb": {
        "explains 86 % of the variance of velocity and 97 % of that": PAPER,
        "training hides 30 % of the neurons": "a setting",
    },
    "05_another_day.ipynb": {
        "64 % of the variance of velocity and 88 % of that of position": PAPER,
        "direction of 90 % of trials": PAPER,
    },
    "07_somatosensory_cortex.ipynb": {"colour scale begins at −0.5": "an axis"},
    "09_cost.ipynb": {
        "step of NER takes about twice as long as one of CEBRA": PAPER,
        "A training step takes twice as long": PAPER,
    },
    "10_audit.ipynb": {
        "0.8 becomes 0.75, 0.5 becomes 0, and 0.2 becomes": "the formula before it, evaluated"
    },
    "12_new_day.ipynb": {
        "65, 88 and 94 %": "goals, set before the run",
        "that was set; 95 % take less than": "a quantile; the value follows from the data",
    },
    "13_your_recording.ipynb": {"correlated above 0.9": "a threshold"},
    "methods.md": {
        "45 ms (1.5 bins)": "a setting",
        "40 bins (1.2 s)": "length of a trial",
        "used 60 % of the trials for training and 20 %": "the published runs' split",
        "30 % of the neurons' mean": "a setting",
        "last 75 % of the steps": "a setting",
        "it is 0.17 on average and at most 0.43 in 95 % of all orders": "chance; counted in this file",
        "0.5 is chance": "area under the curve by chance",
        "more often than 5 %": "1 of 16",
    },
}


def without_code(text):
    """The lines outside blocks of code; those of directives that hold text, such as figures, stay."""
    kept, fences = [], []  # of each open fence its ticks, and whether code is inside
    for line in text.splitlines(keepends=True):
        ticks, after = re.match(r" *(`{3,}|)(.*)", line).groups()
        if ticks and not after.strip() and fences and len(ticks) >= len(fences[-1][0]):
            fences.pop()
        elif ticks:
            fences.append((ticks, not after.startswith("{") or after.startswith(CODE)))
        elif not any(code for _, code in fences):
            kept.append(line)
    return "".join(kept)


def prose(text):
    """The text without code, formulas, addresses and what a command writes."""
    text = without_code(text)
    for pattern in NOT_PROSE:
        text = re.sub(pattern, " … ", text, flags=re.MULTILINE)
    return re.sub(r"\s+", " ", text)


def results_in(text, allowed=()):
    """Numbers that look like results, each with the words around it."""
    text = prose(text)
    for phrase in allowed:
        text = text.replace(phrase, " … ")
    return [
        f"{found[0]!r} in {text[max(0, found.start() - 60) : found.end() + 40]!r}"
        for found in RESULT.finditer(text)
    ]


def texts(cell):
    """What a cell of a notebook says: Markdown, or the caption and the texts in the code."""
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return [source]
    if "parameters" in cell["metadata"].get("tags", []):
        return []
    shown = cell["metadata"].get("mystnb", {})
    said = [shown.get("figure", {}).get("caption", ""), shown.get("image", {}).get("alt", "")]
    return said + [
        node.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]


def parts(path):
    if path.suffix == ".md":
        return [path.read_text()]
    return [text for cell in json.loads(path.read_text())["cells"] for text in texts(cell)]


PAGES = [*sorted(BOOK.glob("*.ipynb")), *sorted(BOOK.glob("*.md")), ROOT / "README.md"]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_no_result_is_typed_by_hand(path):
    allowed = [*DESIGN, *EXCEPTIONS.get(path.name, {})]
    found = [result for text in parts(path) for result in results_in(text, allowed)]
    assert not found, "print it from the data, or say it without the number:\n" + "\n".join(found)


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_exceptions_are_still_needed(name):
    text = "\n".join(map(prose, parts(BOOK / name)))
    assert not [phrase for phrase in EXCEPTIONS[name] if phrase not in text]


@pytest.mark.parametrize(
    "sentence",
    [
        "NER reaches 0.79, ridge 0.66.",
        "The lead is .02.",
        "The difference is −0.004 and hardly matters.",
        "It explains 86 % of the variance.",
        "Half, or 50 percent, is the average reach.",
        "A step takes 2.0 × as long.",
        "It is 4 times faster.",
        "The loss is thousands of times faster.",
        "A threefold gain, or a 3-fold one.",
        "A step takes twice as long.",
        "A linear map explains half of it at most.",
        "NER is ahead in 13 of 17 recordings.",
        "With `alpha=0.1` R² is\n0.5.",
        "````{div} a\n```{raw} html\n<b>\n```\n````\n\nR² is 0.5.",
        "```{figure} a.png\n:alt: b\n\nR² is 0.5.\n```\n",
        "```python\nx = 1\n```\nR² is 0.5.",
        "Chance is $1/8$, we found 0.9.",
    ],
)
def test_results_are_seen(sentence):
    assert results_in(sentence)


@pytest.mark.parametrize(
    "text",
    [
        "Bins of 30 ms, 40 of them; 20 000 steps; seed 42; eight directions; 0 to 360°.",
        "R² is {{ found('03', 'velocity', interval=True) }}, +{{ 0.5 }}.",
        "It is {:+.2f} or {:.0%}.",
        "With Python 3.11 and `temperature=0.25`, $C = 0.5$.",
        "```python\nx = 0.79\n```\n",
        "```{figure} a.png\nA caption.\n```\n\n```python\nx = 0.79\n```\n",
        "<!-- speed: written by a script -->\n| 0.275 × |\n<!-- /speed -->\n",
        "[a link](https://doi.org/10.5061/dryad.1), doi 10.5061/dryad.xd2547dkt, CC-BY-4.0",
        "transform, 10⁶ bins × 100 neurons",
    ],
)
def test_design_code_and_what_machines_write_are_free(text):
    assert not results_in(text)


def test_circular_order_by_chance_is_as_methods_says():
    """All orders of eight directions, by the triples that follow each other in the same sense."""
    orders = np.array([(0, *rest) for rest in itertools.permutations(range(1, 8))])
    triples = np.array([*itertools.combinations(range(8), 3)])
    a, b, c = (orders[:, column] for column in triples.T)
    same = ((b - a) % 8 < (c - a) % 8).mean(axis=1)
    tau = np.abs(2 * same - 1)
    assert round(tau.mean(), 2) == 0.17
    assert (tau <= 0.43).mean() >= 0.95 > (tau < 0.42).mean()
