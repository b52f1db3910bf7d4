"""A small index for the frameworks' retrievers."""

from pathlib import Path
from typing import Any

import pytest

from clsearch import Searcher
from clsearch.index.index import Index

TEXTS = ("jade is green", "jade is hard", "jade and iron", "iron rusts", "amber")


@pytest.fixture
def searcher(tmp_path: Path, encoder: Any) -> Searcher:
    """Of five documents, each with metadata of its own."""
    with Index.open(tmp_path / "index", encoder=encoder) as index:
        index.add(
            {"id": f"{n}.txt", "title": f"T{n}", "text": text, "metadata": {"n": n, "line": "mine"}}
            for n, text in enumerate(TEXTS)
        )
    return Searcher.open(tmp_path / "index", encoder)
