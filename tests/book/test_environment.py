"""One environment, described in pyproject.toml, constraints.txt and environment.yml: the three agree."""

import ast
import json
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
ASKED = [
    requirement
    for lines in (PROJECT["dependencies"], *EXTRAS.values())
    for requirement in map(Requirement, lines)
    if requirement.name != PROJECT["name"]  # an extra that includes other extras
]
LINES = (ROOT / "constraints.txt").read_text().splitlines()
PINS = {canonicalize_name(line.split("==")[0]): line for line in LINES if line and line[0] != "#"}
HOMES = metadata.packages_distributions()


def asked(*extras):
    """Names of the distributions that the core and these extras install."""
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in EXTRAS[extra])]
    found = {canonicalize_name(Requirement(line).name) for line in lines}
    for line in map(Requirement, lines):
        found |= asked(*line.extras) if line.name == PROJECT["name"] else set()
    return found


def imports(tree, inside_functions=True):
    """Names of the top-level packages that a parsed module imports, the standard library left out."""
    found, waiting = set(), [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module.split(".")[0])
        if inside_functions or not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            waiting += ast.iter_child_nodes(node)
    return found - set(sys.stdlib_module_names)


def absent(names, distributions):
    """Those of the imported names that none of the distributions provides."""
    homes = {name: {canonicalize_name(home) for home in HOMES.get(name, [])} for name in names}
    return {name for name in names if not homes[name] & distributions}


def test_constraints_pin_one_public_version_each():
    for line in PINS.values():
        pinned = Requirement(line)
        (specifier,) = pinned.specifier
        assert specifier.operator == "==" and "+" not in line and not pinned.marker, line


@pytest.mark.parametrize("requirement", ASKED, ids=str)
def test_pins_lie_within_the_ranges_of_the_project(requirement):
    (pinned,) = Requirement(PINS[canonicalize_name(requirement.name)]).specifier
    assert requirement.specifier.contains(pinned.version), (
        f"pyproject.toml asks {requirement}; pinned is {pinned.version}"
    )


def test_everything_that_gets_installed_is_pinned():
    """Follow the requirements of what is installed; what its parent pins exactly needs no pin of ours."""
    waiting, seen = list(ASKED), set()
    while waiting:
        requirement = waiting.pop()
        name, key = canonicalize_name(requirement.name), str(requirement)
        exact = any(specifier.operator == "==" for specifier in requirement.specifier)
        if key in seen or (exact and name not in PINS):
            continue
        seen.add(key)
        assert name in PINS, f"{name} gets installed; pin the version that was tested in constraints.txt"
        for line in metadata.requires(name) or []:
            child = Requirement(line)
            extras = requirement.extras or {""}
            if child.marker is None or any(child.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(child)


def test_the_core_is_light():
    core = {"joblib", "numba", "numpy", "pandas", "safetensors", "scikit-learn", "scipy", "torch", "tqdm"}
    assert asked() == core


@pytest.mark.parametrize("path", sorted((ROOT / "nerlib").rglob("*.py")), ids=lambda path: path.name)
def test_the_library_imports_extras_inside_functions_only(path):
    """Loading a module needs the core alone (`nerlib.plots`: its extra); calls may need one of the extras."""
    tree, plots = ast.parse(path.read_text()), path.name == "plots.py"
    missing = absent(imports(tree, False) - {"nerlib"}, asked(*["plots"] * plots))
    assert not missing, f"{path.name} imports {missing} at module level; add it to pyproject.toml or move it"
    missing = absent(imports(tree) - {"nerlib"}, asked("nwb", "umap", "plots"))
    assert not missing, f"{path.name} imports {missing}; add it to pyproject.toml"


def test_what_the_book_imports_is_asked_for():
    sources = [path.read_text() for path in (ROOT / "book").rglob("*.py")]
    for notebook in (ROOT / "book").glob("*.ipynb"):
        cells = json.loads(notebook.read_text())["cells"]
        sources += ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    own = {"nerlib", "companion", "recordings", "pages"}
    names = set().union(*(imports(ast.parse(source)) for source in sources)) - own
    missing = absent(names, asked("book"))
    assert not missing, f"the book imports {missing}; add it to the extra `book` in pyproject.toml"


def test_conda_environment_is_that_of_the_project():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *conda, pip = environment["dependencies"]
    assert environment["name"] == PROJECT["name"]
    assert set(conda) == {"python=3.11", "pip", "make"}
    assert SpecifierSet(PROJECT["requires-python"]).contains("3.11")
    assert pip["pip"] == ["--constraint constraints.txt", "--editable .[book,test]"]
    assert asked("book", "test") == asked(*EXTRAS), "an extra is not part of `book` or `test`"


def test_citation_names_the_version_of_the_library():
    import nerlib

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert str(citation["version"]) == nerlib.__version__


def test_changelog_begins_with_the_version_of_the_library():
    import nerlib

    versions = [line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## ")]
    assert versions[0].startswith(f"## {nerlib.__version__}")
