"""The recorded data without anything from outside, and small NWB files made by hand."""

from functools import partial

import nwb_files
import pytest


@pytest.fixture(autouse=True)
def nothing_from_outside(monkeypatch, tmp_path):
    """Neither the caller's data folder nor the user's cache changes what a test sees."""
    monkeypatch.delenv("NERLIB_DATA", raising=False)
    monkeypatch.setenv("NERLIB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def write_nwb(tmp_path):
    """A function that writes a small NWB file from plain arrays and returns its path."""
    return partial(nwb_files.write_nwb, tmp_path / "hand.nwb")


@pytest.fixture
def maze():
    return nwb_files.maze_content()


@pytest.fixture
def random_targets():
    return nwb_files.random_target_content()
