"""Vectors in the plane: the two directions in which they differ most (principal components)."""

from typing import Any, NamedTuple

import faiss as typed
import numpy as np
from numpy.typing import NDArray

faiss: Any = typed  # its types leave out much of what is used here

SEED = 1234
FITTED = 20_000  # vectors that the directions are found from; more move them by little


class Plane(NamedTuple):
    """Points `[n, 2]`, and which share of all variance each of the two directions has."""

    points: NDArray[np.float32]
    shares: tuple[float, float]


def plane(vectors: NDArray[np.float32], fitted: int = FITTED) -> Plane:
    """The vectors `[n, d]` by their two principal components, found from `fitted` of them at most.

    A component's sign is free; here its largest weight is positive, so that a map made again of
    much the same vectors is not turned over. Fewer than two vectors are at the origin.
    """
    n, dimension = vectors.shape
    if n < 2 or dimension < 2:
        return Plane(np.zeros((n, 2), np.float32), (0.0, 0.0))
    sample = vectors
    if n > fitted:
        sample = vectors[np.random.default_rng(SEED).choice(n, fitted, replace=False)]
    analysis = faiss.PCAMatrix(dimension, 2)
    analysis.train(np.ascontiguousarray(sample))
    axes = faiss.vector_to_array(analysis.PCAMat)[: 2 * dimension].reshape(2, dimension)
    largest = axes[[0, 1], np.abs(axes).argmax(axis=1)]
    points = analysis.apply(np.ascontiguousarray(vectors)) * np.where(largest < 0, -1, 1)
    variance = np.maximum(faiss.vector_to_array(analysis.eigenvalues), 0)
    first, second = (variance[:2] / (variance.sum() or 1)).tolist()
    return Plane(points.astype(np.float32), (first, second))
