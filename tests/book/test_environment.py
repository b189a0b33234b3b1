"""One environment, said three times (pyproject.toml, constraints.txt, environment.yml): the three agree."""

import ast
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
ASKED = [
    Requirement(line)
    for lines in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    for line in lines
]
LINES = (ROOT / "constraints.txt").read_text().splitlines()
PINS = {canonicalize_name(line.split("==")[0]): line for line in LINES if line and line[0] != "#"}


def test_constraints_pin_one_public_version_each():
    for line in PINS.values():
        pinned = Requirement(line)
        (specifier,) = pinned.specifier
        assert specifier.operator == "==" and "+" not in line and not pinned.marker, line


@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_pins_lie_within_the_ranges_of_the_project(asked):
    (pinned,) = Requirement(PINS[canonicalize_name(asked.name)]).specifier
    assert asked.specifier.contains(pinned.version), (
        f"pyproject.toml asks {asked}; pinned is {pinned.version}"
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


def test_what_the_library_imports_is_asked_for():
    distributions, imported = metadata.packages_distributions(), set()
    for path in (ROOT / "nerlib").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add(node.module.split(".")[0])
    asked = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
    for name in imported - set(sys.stdlib_module_names) - {"nerlib"}:
        homes = {canonicalize_name(home) for home in distributions[name]}
        assert homes & asked, f"nerlib imports {name}; add {' or '.join(homes)} to pyproject.toml"


def test_conda_environment_is_that_of_the_project():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *conda, pip = environment["dependencies"]
    assert environment["name"] == PROJECT["name"]
    assert set(conda) == {"python=3.11", "pip", "make"}
    assert SpecifierSet(PROJECT["requires-python"]).contains("3.11")
    options = [line for line in pip["pip"] if line.startswith("--")]
    assert options == ["--constraint constraints.txt", "--editable ."]
    listed = {str(Requirement(line)) for line in pip["pip"] if line not in options}
    assert listed == {str(requirement) for requirement in ASKED}


def test_citation_names_the_version_of_the_library():
    import nerlib

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert str(citation["version"]) == nerlib.__version__
