"""Indexes made with the fake encoder of all tests."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clsearch.index.index import Index
from clsearch.search import Searcher

STONES = ("amber", "basalt", "copper", "dolomite", "emerald", "flint", "garnet", "iron", "jade")


@pytest.fixture
def stones() -> Callable[[int], dict[str, str]]:
    """n -> as many documents {id: text} of 3 to 149 words, so of one to several passages."""

    def made(n: int) -> dict[str, str]:
        generator = np.random.default_rng(n)
        return {
            f"stone/{number}.txt": " ".join(generator.choice(STONES, generator.integers(3, 150)))
            for number in range(n)
        }

    return made


@pytest.fixture
def make_index(tmp_path: Path, encoder: Any) -> Callable[[Mapping[str, str]], Path]:
    """{id: text} -> the path of an index, to which these documents were added in one commit."""
    path = tmp_path / "index"

    def made(documents: Mapping[str, str]) -> Path:
        with Index.open(path, encoder=encoder) as index:
            index.add({"id": id, "text": text} for id, text in documents.items())
        return path

    return made


@pytest.fixture
def ten(
    make_index: Callable[[Mapping[str, str]], Path],
    stones: Callable[[int], dict[str, str]],
    encoder: Any,
) -> Searcher:
    """A searcher over ten documents."""
    return Searcher.open(make_index(stones(10)), encoder)
