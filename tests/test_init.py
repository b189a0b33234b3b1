"""Importing the library loads nothing heavy; every public name is there."""

import subprocess
import sys

import pytest

import nerlib


def test_import_is_light():
    heavy = {"torch", "sklearn", "pynwb", "scipy", "pandas", "numba", "joblib"}
    code = f"import sys, nerlib; print(*({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("name", nerlib.__all__)
def test_public_names_exist(name):
    assert getattr(nerlib, name) is not None
    assert name in dir(nerlib)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'NERD'"):
        nerlib.__getattr__("NERD")
    assert not hasattr(nerlib, "NERD")
