"""The examples in docstrings are true."""

import doctest
from types import ModuleType

import pytest

from clsearch.search.serve import health, indexes, settings


@pytest.mark.parametrize("module", [health, indexes, settings], ids=lambda one: one.__name__)
def test_examples(module: ModuleType) -> None:
    """As written."""
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
