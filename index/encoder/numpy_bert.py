"""The forward pass of BERT (Devlin et al., 2019) in NumPy, for a few short texts on the CPU.

Importing torch and transformers takes seconds; answering one query takes these matrices and
milliseconds. Weights are memory-mapped: of the embedding table only the rows of the text's tokens
are read.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..types import Json
from .activations import HIDDEN_ACTIVATIONS
from .batches import Batch
from .blas import one_thread
from .modules import Vectors, standardize
from .weights import Weights

_LINEAR = ("attention.self.query", "attention.self.key", "attention.self.value")
LAYER = (
    *_LINEAR,
    "attention.output.dense",
    "attention.output.LayerNorm",
    "intermediate.dense",
    "output.dense",
    "output.LayerNorm",
)
_TABLES = ("word_embeddings", "position_embeddings", "token_type_embeddings")
_SIZES = ("num_hidden_layers", "num_attention_heads", "hidden_size")


def runs_in_numpy(config: Mapping[str, Json], files: list[Path]) -> bool:
    """Whether `NumpyBert` computes exactly what the model's configuration says."""
    if (
        config.get("model_type") != "bert"
        or config.get("hidden_act", "gelu") not in HIDDEN_ACTIVATIONS
        or config.get("position_embedding_type", "absolute") != "absolute"
        or config.get("is_decoder", False)
        or not all(isinstance(config.get(size), int) for size in _SIZES)
        or len(files) != 1
    ):
        return False
    weights = Weights(files[0])
    prefix = name_prefix(weights)
    names = [f"embeddings.{table}.weight" for table in _TABLES]
    names += ["embeddings.LayerNorm.weight", "embeddings.LayerNorm.bias"]
    layers = config["num_hidden_layers"]
    assert isinstance(layers, int)
    for layer in range(layers):
        for part in LAYER:
            names += [f"encoder.layer.{layer}.{part}.weight", f"encoder.layer.{layer}.{part}.bias"]
    return all(weights.readable(prefix + name) for name in names)


def name_prefix(weights: Weights) -> str:
    """Models saved with a head keep the encoder under `bert.`."""
    return "bert." if "bert.embeddings.word_embeddings.weight" in weights else ""


class NumpyBert:
    """A BERT encoder on the CPU, for which `runs_in_numpy` holds."""

    # More is done sooner by torch, though importing it takes 2 to 4 s (22M parameters, 2 cores).
    most_tokens = 2048
    in_flight = 1

    def __init__(self, config: Mapping[str, Json], file: Path) -> None:
        """Map the weights and convert the layers to float32."""
        self.batch_tokens = 1024
        self._weights = Weights(file)
        self._prefix = name_prefix(self._weights)
        heads, layers = config["num_attention_heads"], config["num_hidden_layers"]
        epsilon = config.get("layer_norm_eps", 1e-12)
        assert isinstance(heads, int)
        assert isinstance(layers, int)
        assert isinstance(epsilon, (int, float))
        self._heads, self._epsilon = heads, float(epsilon)
        self._activation = HIDDEN_ACTIVATIONS[str(config.get("hidden_act", "gelu"))]
        self._norm = self._pair("embeddings.LayerNorm")
        self._layers = [self._layer(f"encoder.layer.{layer}.") for layer in range(layers)]

    def pooled(
        self, batch: Batch, weights: NDArray[np.float32], kept: NDArray[np.bool_] | None
    ) -> tuple[Vectors, Vectors | None]:
        """Weighted sums [b, m, d] of the token vectors by `weights` [b, m, t], and their maximum.

        The maximum, [b, d], is over the tokens of `kept` [b, t]; None where that is None.
        """
        hidden = self.forward(batch)
        if kept is None:
            return weights @ hidden, None
        maximum = np.where(kept[:, :, None], hidden, -np.inf).max(axis=1)
        return weights @ hidden, maximum

    def forward(self, batch: Batch) -> Vectors:
        """`last_hidden_state`, [b, t, d]."""
        hidden = (
            self._rows("word_embeddings", batch.ids)
            + self._rows("token_type_embeddings", batch.types)
            + self._rows("position_embeddings", np.arange(batch.ids.shape[1]))
        )
        hidden = standardize(hidden, *self._norm, self._epsilon)
        # Added to the scores before softmax: e^-1e30 is 0.
        hide = np.where(batch.mask, np.float32(0), np.float32(-1e30))[:, None, None, :]
        with one_thread():
            for layer in self._layers:
                hidden = self._apply(layer, hidden, hide)
        return hidden

    def _apply(
        self, layer: dict[str, tuple[Vectors, Vectors]], hidden: Vectors, hide: Vectors
    ) -> Vectors:
        rows, width, size = hidden.shape
        per_head = size // self._heads
        weight, bias = layer["attention.self"]
        projected = (hidden @ weight + bias).reshape(rows, width, 3, self._heads, per_head)
        query, key, value = projected.transpose(2, 0, 3, 1, 4)
        scores = query @ key.transpose(0, 1, 3, 2)
        scores *= np.float32(per_head**-0.5)
        scores += hide
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=-1, keepdims=True)
        mixed = (scores @ value).transpose(0, 2, 1, 3).reshape(rows, width, size)

        weight, bias = layer["attention.output.dense"]
        attended = standardize(
            hidden + (mixed @ weight + bias), *layer["attention.output.LayerNorm"], self._epsilon
        )
        weight, bias = layer["intermediate.dense"]
        inner = self._activation(attended @ weight + bias)
        weight, bias = layer["output.dense"]
        return standardize(
            attended + (inner @ weight + bias), *layer["output.LayerNorm"], self._epsilon
        )

    def _layer(self, name: str) -> dict[str, tuple[Vectors, Vectors]]:
        """Matrices as they are multiplied from the right; query, key and value as one."""
        pairs = [self._pair(name + part) for part in _LINEAR]
        layer = {part: self._pair(name + part) for part in LAYER[len(_LINEAR) :]}
        layer["attention.self"] = (
            np.concatenate([weight for weight, _ in pairs]),
            np.concatenate([bias for _, bias in pairs]),
        )
        return {part: (weight.T, bias) for part, (weight, bias) in layer.items()}

    def _pair(self, name: str) -> tuple[Vectors, Vectors]:
        prefix = self._prefix + name
        return self._weights.array(f"{prefix}.weight"), self._weights.array(f"{prefix}.bias")

    def _rows(self, table: str, indices: NDArray[np.int64]) -> Vectors:
        return self._weights.rows(f"{self._prefix}embeddings.{table}.weight", indices)
