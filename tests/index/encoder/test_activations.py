"""Activations against the standard library's erf, and against torch."""

import math

import numpy as np
import pytest
import torch

from clsearch.index.encoder.activations import HIDDEN_ACTIVATIONS, TORCH_ACTIVATIONS, erf

VALUES = np.concatenate(
    [np.linspace(-12, 12, 40_001), [0.0, -0.0, 1e-30, -1e-8, 1e30, -1e30]]
).astype(np.float32)


def test_erf_is_exact_to_float32() -> None:
    exact = np.array([math.erf(value) for value in VALUES])
    assert np.abs(erf(VALUES) - exact).max() < 5e-7


@pytest.mark.parametrize("name", TORCH_ACTIVATIONS)
def test_those_of_dense(name: str) -> None:
    expected = getattr(torch.nn, name)()(torch.from_numpy(VALUES)).numpy()
    with np.errstate(over="raise", invalid="raise"):
        ours = TORCH_ACTIVATIONS[name](VALUES)
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=3e-6)


@pytest.mark.parametrize("name", HIDDEN_ACTIVATIONS)
def test_those_of_transformers(name: str) -> None:
    from transformers.activations import ACT2FN

    values = VALUES[np.abs(VALUES) < 20]
    expected = ACT2FN[name](torch.from_numpy(values)).numpy()
    np.testing.assert_allclose(HIDDEN_ACTIVATIONS[name](values), expected, rtol=1e-5, atol=3e-6)
