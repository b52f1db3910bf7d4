"""What may follow pooling, applied to the pooled vectors in NumPy: Dense, LayerNorm, Normalize.

A step is a function from vectors [n, d] to vectors [n, e], with what must be known about it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from ..types import Json
from .activations import declared_activation
from .weights import Weights, weight_files

Vectors: TypeAlias = NDArray[np.float32]

_SENTENCE = "sentence_embedding"


@dataclass(frozen=True)
class Step:
    """`apply` takes vectors [n, takes] (any d where None) and gives [n, gives] (d where None)."""

    apply: Callable[[Vectors], Vectors]
    description: Mapping[str, Json]
    takes: int | None = None
    gives: int | None = None
    weights: tuple[Path, ...] = ()


def unit_length(vectors: Vectors) -> Vectors:
    """Divide each row of [n, d] by its L2 norm. The one place where vectors are normalised.

    A row of zeros stays as it is: it has no direction.
    """
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Vectors = vectors / np.maximum(norms, np.float32(1e-12))
    return unit


def normalize(folder: Path, config: Mapping[str, Json]) -> Step:
    """`Normalize` in a chain. At its end it changes nothing: clsearch normalises in any case."""
    _on_sentences(folder, config)
    return Step(unit_length, {"type": "Normalize"})


def dense(folder: Path, config: Mapping[str, Json]) -> Step:
    """`Dense`: activation(x W^T + b), with x or its projection added where `use_residual` says so.

    Raises ModelError at an activation that is not on the list, and at weights that are missing, are
    a pickle, or have another shape than declared.
    """
    _on_sentences(folder, config)
    name = str(config.get("activation_function", "torch.nn.modules.activation.Tanh"))
    short, activation = declared_activation(name, folder)
    takes, gives = _size(folder, config, "in_features"), _size(folder, config, "out_features")
    (path,) = weight_files(folder)
    tensors = Weights(path)
    weight = _tensor(tensors, "linear.weight", (gives, takes)).T
    bias = _tensor(tensors, "linear.bias", (gives,)) if config.get("bias", True) else None
    residual = bool(config.get("use_residual", False))
    shortcut = (
        _tensor(tensors, "residual.weight", (gives, takes)).T
        if residual and takes != gives
        else None
    )

    def apply(vectors: Vectors) -> Vectors:
        projected = vectors @ weight
        if bias is not None:
            projected = projected + bias
        out = activation(projected)
        if residual:
            out = out + (vectors if shortcut is None else vectors @ shortcut)
        return out

    description: dict[str, Json] = {
        "type": "Dense",
        "in_features": takes,
        "out_features": gives,
        "activation": short,
        "bias": bias is not None,
        "residual": residual,
    }
    return Step(apply, description, takes, gives, (path,))


def layer_norm(folder: Path, config: Mapping[str, Json]) -> Step:
    """`LayerNorm` over the vector (Ba et al., 2016), with epsilon 1e-5."""
    size = _size(folder, config, "dimension")
    (path,) = weight_files(folder)
    tensors = Weights(path)
    scale, shift = _tensor(tensors, "norm.weight", (size,)), _tensor(tensors, "norm.bias", (size,))

    def apply(vectors: Vectors) -> Vectors:
        return standardize(vectors, scale, shift, 1e-5)

    return Step(apply, {"type": "LayerNorm"}, size, size, (path,))


def standardize(values: Vectors, scale: Vectors, shift: Vectors, epsilon: float) -> Vectors:
    """Layer normalisation over the last axis of [..., d]."""
    centred: Vectors = values - values.mean(axis=-1, keepdims=True)
    variance = np.mean(centred * centred, axis=-1, keepdims=True)
    centred /= np.sqrt(variance + np.float32(epsilon))
    centred *= scale
    centred += shift
    return centred


# By the last part of the type in modules.json.
STEPS: dict[str, Callable[[Path, Mapping[str, Json]], Step]] = {
    "Dense": dense,
    "LayerNorm": layer_norm,
    "Normalize": normalize,
}


def _on_sentences(folder: Path, config: Mapping[str, Json]) -> None:
    """A module that works on each token's vector belongs to a multi-vector model."""
    for key in ("module_input_name", "module_output_name"):
        if (config.get(key) or _SENTENCE) != _SENTENCE:
            raise ModelError(
                f"{folder}: {key} is {config[key]!r}, but only {_SENTENCE!r} is supported"
            )


def _size(folder: Path, config: Mapping[str, Json], key: str) -> int:
    value = config.get(key)
    if not isinstance(value, int) or value < 1:
        raise ModelError(f"{folder / 'config.json'}: {key} is {value!r}, not a size")
    return value


def _tensor(tensors: Weights, name: str, shape: tuple[int, ...]) -> Vectors:
    value = tensors.array(name)
    if value.shape != shape:
        raise ModelError(
            f"{tensors.path}: {name} has the shape {value.shape}, but config.json declares {shape}"
        )
    return value
