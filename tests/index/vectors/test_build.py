"""What is refused before anything is written."""

import numpy as np
import pytest

from clsearch.index.errors import ModelError
from clsearch.index.vectors import build, choose

IDS = np.arange(3, dtype=np.int64)
GOOD = np.eye(3, 4, dtype=np.float32)


def changed(value: float) -> np.ndarray:
    """Unit vectors but for one value."""
    vectors = GOOD.copy()
    vectors[1, 3] = value
    return vectors


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (GOOD[:, :3], "shape"),
        (GOOD[:2], "shape"),
        (changed(np.nan), "not finite"),
        (changed(np.inf), "not finite"),
        (changed(0.05), r"length 1\.0012"),
        (np.zeros((3, 4), np.float32), r"length 0\.0000"),
    ],
)
def test_wrong_vectors(vectors: np.ndarray, message: str) -> None:
    """Another dimension or number, what is not finite, what is not of unit length."""
    with pytest.raises(ModelError, match=message):
        build([(IDS, vectors)], 4, choose(3))


def test_a_norm_within_a_thousandth_is_unit() -> None:
    """float32 arithmetic in other places may leave that much."""
    assert build([(IDS, GOOD * np.float32(1.0009))], 4, choose(3))


@pytest.mark.parametrize("ids", [[0, 2, 1], [1, 1, 2]])
def test_ids_must_ascend(ids: list[int]) -> None:
    """Within a chunk."""
    with pytest.raises(ValueError, match="ascend"):
        build([(np.array(ids, np.int64), GOOD)], 4, choose(3))


def test_ids_must_ascend_over_chunks() -> None:
    """And from one chunk to the next."""
    with pytest.raises(ValueError, match="ascend"):
        build([(IDS, GOOD), (IDS, GOOD)], 4, choose(6))
