"""Imports run one way, chapters -> companion -> nerlib, and never in a circle."""

import ast
import graphlib
import json
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BOOK = ROOT / "book"
HOMES = {"nerlib": ROOT / "nerlib", "companion": BOOK / "companion"}


def sources(package):
    """Module name -> source, of all modules of a package."""
    folder = HOMES[package]
    found = {}
    for path in folder.rglob("*.py"):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text()
    return found


def chapter_source(path):
    """The code cells of a notebook, without lines that only IPython understands."""
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    lines = "\n".join("".join(cell["source"]) for cell in cells).splitlines()
    return "\n".join(line for line in lines if not line.startswith(("%", "!")))


def imported(source):
    """Every name that a source imports, at the top or within functions: "a.b" for `from a import b`."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"relative import: {ast.unparse(node)}"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def roots(source):
    return {name.split(".")[0] for name in imported(source)}


def module_of(name, modules):
    """The module that an imported name is in: "nerlib.losses" for "nerlib.losses.ner_loss"."""
    while name not in modules:
        name = name.rpartition(".")[0]
    return name


def lazy_homes(source, module):
    """The modules of the names that a package resolves on first use (its table `_HOME`)."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_HOME":
            return {name: f"{module}.{home}" for name, home in ast.literal_eval(node.value).items()}
    return {}


def graph(package):
    """Module -> the modules of its package that it imports; names that a package resolves lazily included."""
    modules = sources(package)
    lazy = {name: lazy_homes(source, name) for name, source in modules.items()}
    edges = {}
    for module, source in modules.items():
        edges[module] = set()
        for name in imported(source):
            if name.split(".")[0] == package:
                home, attribute = module_of(name, modules), name.rpartition(".")[2]
                while attribute in lazy[home]:
                    home = lazy[home][attribute]
                edges[module].add(home)
        edges[module].discard(module)
    return edges


@pytest.mark.parametrize("package", HOMES)
def test_no_module_imports_itself_through_others(package):
    edges = graph(package)
    assert len(edges) > 5
    graphlib.TopologicalSorter(edges).prepare()  # CycleError names the circle


def test_a_circle_within_functions_is_found():
    edges = {"a": {"b"}, "b": {"a"}}
    assert imported("def f():\n    from nerlib.data import read_nwb\n    import nerlib.losses as l") == {
        "nerlib.data.read_nwb",
        "nerlib.losses",
    }
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(edges).prepare()


def test_nerlib_imports_nothing_of_the_book():
    own = {path.stem for path in [*BOOK.glob("*.py"), *HOMES["companion"].glob("*.py")]} | {
        "companion",
        "book",
    }
    for module, source in sources("nerlib").items():
        assert not roots(source) & own, module
        for word in ("NERLIB_BOOK", "NERLIB_DATA", "NERLIB_CACHE", "companion"):
            assert word not in source, f"{module} mentions {word}"


def test_companion_imports_nothing_of_chapters_and_runner():
    own = {path.stem for path in [*BOOK.glob("*.ipynb"), *BOOK.glob("*.py")]} | {"book"}
    for module, source in sources("companion").items():
        assert not roots(source) & own, module


@pytest.mark.parametrize("chapter", sorted(BOOK.glob("*.ipynb")), ids=lambda path: path.stem)
def test_chapters_import_companion_nerlib_and_others_packages(chapter):
    others = set(packages_distributions()) | set(sys.stdlib_module_names)
    assert roots(chapter_source(chapter)) <= {"companion", "nerlib"} | others - {"run", "book", "tests"}
