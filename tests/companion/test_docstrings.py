"""Docstrings as the API page shows them; and all of the library's have the layout that this needs."""

import ast
from pathlib import Path

import pytest

from companion import docstrings

EXAMPLE = """Summary.

Parameters
----------
X, y : arrays (T, N), rates
    and more of them
seed : int

Returns
-------
list of dict, one
a row

Raises
------
ValueError : NaN, or
    too short
"""


def test_the_text_of_an_entry_stands_below_its_name():
    shown = docstrings.numpydoc(EXAMPLE.split("\n"))
    assert shown[:9] == ["Summary.", "", "", "Parameters", "-" * 10, "X, y", "    arrays (T, N), rates",
                         "    and more of them", "seed"]  # fmt: skip
    assert ":returns: list of dict, one" in shown and "    a row" in shown
    assert shown[shown.index(":raises ValueError: NaN, or") + 1] == "    too short"
    assert docstrings.numpydoc(["Only a summary."]) == ["Only a summary."]


def test_returned_values_with_names_stay_a_section():
    shown = docstrings.numpydoc(["Returns", "-------", "a : int", "b : float, with", "    more"])
    assert shown == ["", "Returns", "-------", "a", "    int", "b", "    float, with", "    more", ""]


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[2] / "nerlib").rglob("*.py")), ids=lambda path: path.stem
)
def test_sections_of_the_library_hold_entries_alone(path):
    kinds = (ast.FunctionDef, ast.ClassDef)
    for node in (n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, kinds)):
        for title, body in docstrings.sections((ast.get_docstring(node) or "").split("\n")):
            if title not in ("", "Returns"):
                loose = [line for line in body if line and not line.startswith(" ") and " : " not in line]
                assert not loose, f"{node.name}, {title}"
