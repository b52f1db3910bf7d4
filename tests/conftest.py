"""What tests of several parts share."""

import pytest

from words_encoder import WordsEncoder


@pytest.fixture
def encoder() -> WordsEncoder:
    """A fresh fake encoder; its type makes others: `type(encoder)(dimension=16)`."""
    return WordsEncoder()
