"""What tests of several parts share."""

from collections.abc import Iterator

import pytest

from words_encoder import WordsEncoder


@pytest.fixture(scope="session", autouse=True)
def _no_daemon() -> Iterator[None]:
    """No test but the daemon's own leaves a process behind, or is answered by one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLSEARCH_DAEMON", "off")
        yield


@pytest.fixture
def encoder() -> WordsEncoder:
    """A fresh fake encoder; its type makes others: `type(encoder)(dimension=16)`."""
    return WordsEncoder()
