"""What several tests share."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from toy import make_session

from nerlib import experiments


@pytest.fixture
def session():
    return make_session()


@pytest.fixture(scope="session")
def cells():
    """Cells of NER and PCA on two small sessions, S0 and S1."""
    sessions = [make_session(seed=s, name=f"S{s}", n_neurons=8 + s) for s in (0, 1)]
    with ThreadPoolExecutor(2) as executor:
        return experiments.embed(
            sessions, ["NER", "PCA"], [0], executor=executor, verbose=False, profile="quick"
        )
