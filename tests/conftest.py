"""What several tests share."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from toy import make_session

from nerlib import experiments, load_session


@pytest.fixture
def session():
    return make_session()


@pytest.fixture(scope="session")
def data_folder():
    """NERLIB_DATA, or the folder shared/data beside the repository; without it a test is skipped."""
    given = os.environ.get("NERLIB_DATA") or Path(__file__).parents[1] / ".." / "shared" / "data"
    if not Path(given).is_dir():
        pytest.skip("recorded data is not here: set NERLIB_DATA to the folder that holds it")
    return Path(given).resolve()


@pytest.fixture(scope="session")
def chewie(data_folder):
    """Chewie 20161007, M1, as recorded."""
    if not (data_folder / "perich").is_dir():
        pytest.skip("recorded sessions are absent; set NERLIB_DATA to their folder")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NERLIB_DATA", str(data_folder))
        return load_session("Chewie_20161007", "M1")


@pytest.fixture(scope="session")
def cells():
    """Cells of NER and PCA on two small sessions, S0 and S1."""
    sessions = [make_session(seed=s, name=f"S{s}", n_neurons=8 + s) for s in (0, 1)]
    with ThreadPoolExecutor(2) as executor:
        return experiments.embed(
            sessions, ["NER", "PCA"], [0], executor=executor, verbose=False, profile="quick"
        )
