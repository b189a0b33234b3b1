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


def find_data_folder():
    """NERLIB_DATA, or the folder shared/data beside the repository, with files that do not come with it."""
    given = os.environ.get("NERLIB_DATA") or Path(__file__).parents[1] / ".." / "shared" / "data"
    return Path(given).resolve() if (Path(given) / "perich").is_dir() else None


def pytest_collection_modifyitems(config, items):
    """What compares with those files is left out where they are not, and counted as deselected."""
    if find_data_folder() is None:
        without = [item for item in items if "data_folder" in item.fixturenames]
        config.hook.pytest_deselected(items=without)
        items[:] = [item for item in items if item not in without]


@pytest.fixture(scope="session")
def data_folder():
    return find_data_folder()


@pytest.fixture(scope="session")
def chewie():
    """Chewie 20161007, M1, as recorded."""
    from companion.catalogue import load_session

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
