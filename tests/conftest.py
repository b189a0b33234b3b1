"""What several tests share."""

import pytest
from toy import make_session


@pytest.fixture
def session():
    return make_session()
