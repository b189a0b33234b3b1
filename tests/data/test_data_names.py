import inspect
import subprocess
import sys

import pytest

import nerlib
from nerlib import data


def test_public_names_are_there_and_light():
    for name in set(data.__all__) - {"MAZE_SCHEMA"}:
        assert callable(getattr(data, name))
    assert set(data.__all__) <= set(dir(data))
    assert set(data.MAZE_SCHEMA) <= set(inspect.signature(data.read_nwb).parameters)
    assert nerlib.simulate_session is data.simulate_session and nerlib.read_nwb is data.read_nwb
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = data.nothing
    code = "import sys, nerlib.data; assert not {'pynwb', 'h5py', 'pooch', 'pandas'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})
