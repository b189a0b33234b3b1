"""What several tests share."""

import os
from pathlib import Path

import pytest
from joblib import parallel_config
from toy import make_session, small

from nerlib import experiments


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
    from companion.catalogue import load_session

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NERLIB_DATA", str(data_folder))
        return load_session("Chewie_20161007", "M1")


@pytest.fixture
def threads():
    """Parallel runs in two threads of this process, which start at once."""
    with parallel_config(backend="threading", n_jobs=2):
        yield


@pytest.fixture(scope="session")
def runs():
    """Runs of NER and PCA on two small sessions, S0 and S1."""
    sessions = [make_session(seed=s, name=f"S{s}", n_neurons=8 + s) for s in (0, 1)]
    with parallel_config(backend="threading"):
        methods = small("NER", "PCA", max_iter=400, batch_size=128, learning_rate=3e-3)
        return experiments.embed(sessions, methods, [0], verbose=False)
