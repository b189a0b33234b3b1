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


@pytest.fixture
def closed():
    """For tests that draw: no figure stays open."""
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def find_folders():
    """Files that do not come with the repository: fixture -> their folder, None where it is absent.

    They are in NERLIB_DATA, or in the folder shared beside the repository.
    """
    shared = Path(__file__).resolve().parents[2] / "shared"
    data = Path(os.environ.get("NERLIB_DATA") or shared / "data").resolve()
    return {
        "data_folder": data if (data / "perich").is_dir() else None,
        "embeddings_folder": data if (data / "authors_embeddings").is_dir() else None,
        "reference_folder": shared / "reference" if (shared / "reference").is_dir() else None,
    }


def pytest_collection_modifyitems(config, items):
    """What compares with those files is left out where they are not, and counted as deselected."""
    absent = {name for name, folder in find_folders().items() if folder is None}
    without = [item for item in items if absent & set(item.fixturenames)]
    config.hook.pytest_deselected(items=without)
    items[:] = [item for item in items if item not in without]


@pytest.fixture(scope="session")
def data_folder():
    return find_folders()["data_folder"]


@pytest.fixture(scope="session")
def embeddings_folder():
    return find_folders()["embeddings_folder"]


@pytest.fixture(scope="session")
def reference_folder():
    return find_folders()["reference_folder"]


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
