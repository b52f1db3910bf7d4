"""The plane of a set of vectors, against NumPy's singular values."""

import numpy as np
import pytest
from numpy.typing import NDArray

from clsearch.index.vectors import plane


def by_singular_values(
    vectors: NDArray[np.float32], of: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(points [m, 2] of `of`, shares [2]) by the definition, the sign of a component free."""
    mean = vectors.astype(np.float64).mean(axis=0)
    _, values, axes = np.linalg.svd(vectors - mean, full_matrices=False)
    shares = np.zeros(2)
    found = (values**2 / (values**2).sum())[:2]
    shares[: len(found)] = found
    return (of - mean) @ axes[:2].T, shares


@pytest.mark.parametrize(("n", "dimension"), [(3, 32), (20, 32), (500, 32), (2000, 64), (64, 2)])
def test_points_are_the_two_principal_components(n: int, dimension: int) -> None:
    generator = np.random.default_rng(n)
    vectors = generator.standard_normal((n, dimension)) * np.linspace(3, 1, dimension)
    vectors = vectors.astype(np.float32)
    points, shares = by_singular_values(vectors, vectors)
    made = plane(vectors)
    for axis in range(2):
        sign = np.sign(made.points[:, axis] @ points[:, axis])
        np.testing.assert_allclose(made.points[:, axis], sign * points[:, axis], atol=1e-3)
    np.testing.assert_allclose(made.shares, shares, atol=1e-4)


def test_the_sign_does_not_follow_the_order_of_vectors() -> None:
    """A map that is made again is not turned over."""
    generator = np.random.default_rng(1)
    vectors = (generator.standard_normal((300, 16)) * np.arange(16, 0, -1)).astype(np.float32)
    order = generator.permutation(300)
    np.testing.assert_allclose(
        plane(vectors[order]).points, plane(vectors).points[order], atol=1e-3
    )


def test_directions_are_found_from_a_sample() -> None:
    """Of all vectors the same, where they differ in two directions only."""
    generator = np.random.default_rng(2)
    vectors = np.zeros((400, 8), np.float32)
    vectors[:, 2] = generator.standard_normal(400) * 5
    vectors[:, 6] = generator.standard_normal(400)
    points, _ = by_singular_values(vectors, vectors)
    made = plane(vectors, fitted=50).points
    centred = made - made.mean(axis=0)  # a sample has a mean of its own
    np.testing.assert_allclose(centred @ centred.T, points @ points.T, rtol=1e-3, atol=0.05)


@pytest.mark.parametrize("shape", [(0, 32), (1, 32), (5, 1), (0, 0)])
def test_too_few_are_at_the_origin(shape: tuple[int, int]) -> None:
    made = plane(np.ones(shape, np.float32))
    assert made.points.tolist() == [[0.0, 0.0]] * shape[0]
    assert made.shares == (0.0, 0.0)


def test_equal_vectors_are_at_one_point() -> None:
    made = plane(np.ones((9, 4), np.float32))
    np.testing.assert_allclose(made.points, np.zeros((9, 2)), atol=1e-5)
    assert made.shares == (0.0, 0.0)
