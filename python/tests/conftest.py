"""What all tests of the package start from."""

import signal

import pytest


@pytest.fixture(autouse=True)
def heard():
    """Ctrl-C is heard, also where these tests were started in the background, with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
