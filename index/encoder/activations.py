"""Activation functions in NumPy, float32, under the names that configurations use."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError

Floats: TypeAlias = NDArray[np.float32]
Activation: TypeAlias = Callable[[Floats], Floats]

# So many numbers at once, whose steps find each other's results in the cache: a third of the time.
_IN_CACHE = 1 << 15

# Numerator and denominator of erf(x) ~ x P(x^2) / Q(x^2) on [-4, 4], highest power first: the
# minimax fit that Eigen and XLA use for float32 (a few units in the last place off).
_ERF_P = (
    -2.72614225801306e-10,
    2.77068142495902e-08,
    -2.10102402082508e-06,
    -5.69250639462346e-05,
    -7.34990630326855e-04,
    -2.95459980854025e-03,
    -1.60960333262415e-02,
)
_ERF_Q = (
    -1.45660718464996e-05,
    -2.13374055278905e-04,
    -1.68282697438203e-03,
    -7.37332916720468e-03,
    -1.42647390514189e-02,
)


def _polynomial(x: Floats, coefficients: tuple[float, ...]) -> Floats:
    value = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value *= x
        value += np.float32(coefficient)
    return value


def erf(x: Floats) -> Floats:
    """The error function of each value, to within float32's own precision (absolute 5e-7)."""
    x = np.clip(x, np.float32(-4), np.float32(4))
    square = x * x
    value = _polynomial(square, _ERF_P)
    value *= x
    value /= _polynomial(square, _ERF_Q)
    return value


def gelu(x: Floats) -> Floats:
    """x Phi(x), with the exact normal distribution function (Hendrycks and Gimpel, 2016)."""
    flat = np.ascontiguousarray(x).reshape(-1)
    values = np.empty_like(flat)
    for start in range(0, len(flat), _IN_CACHE):
        part = flat[start : start + _IN_CACHE]
        value = erf(part * np.float32(0.7071067811865476))
        value += 1
        value *= part
        np.multiply(value, np.float32(0.5), out=values[start : start + _IN_CACHE])
    return values.reshape(x.shape)


def gelu_tanh(x: Floats) -> Floats:
    """The tanh approximation of `gelu` (Hendrycks and Gimpel, 2016, section 2)."""
    inner = np.float32(0.7978845608028654) * (x + np.float32(0.044715) * x * x * x)
    value: Floats = np.float32(0.5) * x * (1 + np.tanh(inner))
    return value


def relu(x: Floats) -> Floats:
    """max(x, 0)."""
    return np.maximum(x, np.float32(0))


def sigmoid(x: Floats) -> Floats:
    """1 / (1 + e^-x), written with tanh because that does not overflow."""
    value: Floats = np.float32(0.5) * (1 + np.tanh(np.float32(0.5) * x))
    return value


def silu(x: Floats) -> Floats:
    """x sigmoid(x)."""
    return x * sigmoid(x)


def tanh(x: Floats) -> Floats:
    """The hyperbolic tangent."""
    return np.tanh(x)


def identity(x: Floats) -> Floats:
    """x itself."""
    return x


# By the name of the class in torch.nn, as Dense modules declare it.
TORCH_ACTIVATIONS: dict[str, Activation] = {
    "GELU": gelu,
    "Identity": identity,
    "ReLU": relu,
    "SiLU": silu,
    "Sigmoid": sigmoid,
    "Tanh": tanh,
}


def declared_activation(name: str, place: Path) -> tuple[str, Activation]:
    """The short name and the function of `torch.nn.…`, as a file or folder `place` declares it.

    Raises ModelError at a name that is not on the list: nothing is imported by name.
    """
    short = name.rpartition(".")[2]
    if not name.startswith("torch.nn.") or short not in TORCH_ACTIVATIONS:
        raise ModelError(
            f"{place}: activation function {name!r} is not known; "
            f"known are torch.nn's {', '.join(TORCH_ACTIVATIONS)}"
        )
    return short, TORCH_ACTIVATIONS[short]


# By the name in a transformer's `hidden_act`.
HIDDEN_ACTIVATIONS: dict[str, Activation] = {
    "gelu": gelu,
    "gelu_new": gelu_tanh,
    "gelu_pytorch_tanh": gelu_tanh,
    "relu": relu,
    "silu": silu,
    "swish": silu,
}
