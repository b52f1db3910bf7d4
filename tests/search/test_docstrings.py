"""The examples in docstrings are true."""

import doctest
from types import ModuleType

import pytest

from clsearch.index import analysis
from clsearch.index.exchange import numbers
from clsearch.index.store import fulltext, postings
from clsearch.search import filters, fusion, query, snippets
from clsearch.search.serve import settings


@pytest.mark.parametrize(
    "module",
    [analysis, fulltext, numbers, postings, filters, fusion, query, settings, snippets],
    ids=lambda module: module.__name__,
)
def test_examples(module: ModuleType) -> None:
    """As written."""
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
