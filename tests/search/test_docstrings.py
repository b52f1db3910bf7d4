"""The examples in docstrings are true."""

import doctest
from types import ModuleType

import pytest

from clsearch.search import filters, fusion, lexical, snippets


@pytest.mark.parametrize(
    "module", [filters, fusion, lexical, snippets], ids=lambda module: module.__name__
)
def test_examples(module: ModuleType) -> None:
    """As written."""
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
