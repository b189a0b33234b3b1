"""Small NWB files for the readers of nerlib.data."""

from functools import partial

import nwb_files
import pytest


@pytest.fixture
def write_nwb(tmp_path):
    """A function that writes a small NWB file from plain arrays and returns its path."""
    return partial(nwb_files.write_nwb, tmp_path / "hand.nwb")


@pytest.fixture
def content():
    return nwb_files.center_out_content()


@pytest.fixture
def maze():
    return nwb_files.maze_content()


@pytest.fixture
def random_targets():
    return nwb_files.random_target_content()
