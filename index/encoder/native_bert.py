"""BERT on a CPU by kernels of our own (`bert.c`), in float32, bfloat16 or int8.

In int8, weights are symmetric and have a scale for each output, and what a product takes of a token
has a scale of its own: nothing is calibrated, and no text changes another's vector. Where the
pooling reads one token, the last layer's keys and values are of the weights as the file has them.
"""

import os
import queue
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..types import Json
from .batches import Batch
from .bert_family import BERT, Bert
from .grid import Grid
from .kernels import Kernels, Layer, Model, Norm, Product, Tensor, kernels
from .modules import Vectors
from .pipeline import Precision
from .pooling import pool, single_tokens

# The numbers of the enumerations in the file of C.
_PRECISIONS: dict[Precision, int] = {"float32": 0, "bfloat16": 1, "int8": 2}
_STORED = {"F32": 0, "F16": 1, "BF16": 2}
_ACTIVATIONS = {
    "gelu": 1,
    "gelu_new": 2,
    "gelu_pytorch_tanh": 2,
    "relu": 3,
    "silu": 4,
    "swish": 4,
}
_PANEL = 16  # columns of a panel, and what rows are a multiple of
_KEPT = 64 << 20  # bytes of the largest memory that is kept from one call to the next
_MOST_OF_PAIRS = 63  # of weights in int8 without `dot`: 2 * 255 * 63 is a number of 16 bits
_TOGETHER = 64  # numbers of a row that one token's attention may take at a time
_STEP = 64  # bytes that a tile takes of a row at a time, and to which memory is aligned


class NativeBert:
    """A BERT encoder for which `is_bert` holds, where there are `kernels`. Threads may share it."""

    def __init__(
        self,
        config: Mapping[str, Json],
        file: Path,
        precision: Precision = "float32",
        using: Kernels | None = None,
        ready: bool = False,
    ) -> None:
        """Bring the weights into the panels that the products take.

        In float32 that is done in each call, which so needs no memory of its own and takes two
        milliseconds more (22M parameters); once, where they are to be `ready`.
        """
        using = using or kernels()
        assert using is not None
        assert precision != "bfloat16" or using.bfloat16
        assert precision != "int8" or using.int8
        self.precision: Precision = precision
        self._ready = ready
        self._most = 127 if using.dot else _MOST_OF_PAIRS
        self.in_flight = _cores()
        tiles = using.tiles and precision != "float32"
        # So few that what one layer hands to the next stays in a core's cache. Tiles take longer to
        # fetch the weights than to multiply so few tokens by them.
        self.batch_tokens = 1024 if tiles else 512
        self._library = using.library
        self._bert = bert = Bert(config, file)
        self._kept: list[NDArray[np.generic]] = []  # what the model points to
        self._memory: queue.SimpleQueue[NDArray[np.uint8]] = queue.SimpleQueue()
        layers = (Layer * bert.depth)(*(self._layer(layer) for layer in range(bert.depth)))
        self._model = Model(
            layers,
            *(
                self._tensor(bert.table(name)) if name in bert.family.tables else Tensor()
                for name in BERT.tables
            ),
            *self._last(),
            self._norm(f"{bert.prefix}embeddings.LayerNorm"),
            bert.depth,
            bert.size,
            bert.heads,
            bert.inner,
            _PRECISIONS[precision],
            _ACTIVATIONS[bert.activation],
            using.dot,
            using.bfloat16,
            tiles,
            bert.epsilon,
        )

    def pooled(
        self, batch: Batch, weights: NDArray[np.float32], kept: NDArray[np.bool_] | None
    ) -> tuple[Vectors, Vectors | None]:
        """Weighted sums [b, m, d] of the token vectors by `weights` [b, m, t], and their maximum.

        The maximum, [b, d], is over the tokens of `kept` [b, t]; None where that is None. Where a
        sum is one token's vector ([CLS]), the last layer is computed for that token alone.
        """
        places = single_tokens(weights) if kept is None else None
        if places is not None:
            return self._hidden(batch, places)[:, None], None
        return pool(self.forward(batch), weights, kept)

    def forward(self, batch: Batch) -> Vectors:
        """`last_hidden_state`, [b, t, d]; zeros where padding stands."""
        return Grid.of(batch.mask).spread(self._hidden(batch, None))

    def _hidden(self, batch: Batch, places: NDArray[np.int64] | None) -> Vectors:
        """`last_hidden_state`: of all tokens but the padding, [n, d], or of one a text, [b, d]."""
        bert, mask = self._bert, batch.mask
        sizes = mask.sum(axis=1)
        assert sizes.min() > 0
        given = [batch.ids[mask], bert.places(batch.ids)[mask], batch.types[mask], sizes]
        for name, rows in zip(bert.family.tables, given, strict=False):
            bert.weights.refuse_beyond(bert.table(name), rows)
        if places is not None:
            given.append(places)
        arrays = [np.ascontiguousarray(array, np.int64) for array in given]
        pointers = [array.ctypes.data for array in arrays]
        hidden = np.empty((len(mask) if places is not None else mask.sum(), bert.size), np.float32)
        memory = self._room(len(arrays[0]), int(sizes.max()))
        self._library.encode(
            self._model,
            *pointers[:4],
            len(mask),
            pointers[4] if places is not None else None,
            hidden.ctypes.data,
            memory.ctypes.data + -memory.ctypes.data % _STEP,
        )
        if len(memory) <= _KEPT:
            self._memory.put(memory)
        return hidden

    def _room(self, tokens: int, longest: int) -> NDArray[np.uint8]:
        """Memory for a call, of an earlier one where that had enough."""
        needed = self._library.room(self._model, tokens, longest) + _STEP
        try:
            memory = self._memory.get_nowait()
        except queue.Empty:
            memory = np.empty(0, np.uint8)
        return memory if len(memory) >= needed else np.empty(needed, np.uint8)

    def _layer(self, layer: int) -> Layer:
        query, key, value, output, attention_norm, inner, outer, norm = self._bert.parts(layer)
        return Layer(
            *map(self._product, (query, key, value, output)),
            self._norm(attention_norm),
            *map(self._product, (inner, outer)),
            self._norm(norm),
        )

    def _last(self) -> tuple[Tensor, Tensor]:
        """Weights of the last layer's keys and values, for one token's attention; or none."""
        if self._bert.size % _TOGETHER:
            return Tensor(), Tensor()
        _, key, value, *_ = self._bert.parts(self._bert.depth - 1)
        return self._tensor(f"{key}.weight"), self._tensor(f"{value}.weight")

    def _product(self, name: str) -> Product:
        outputs, inputs = self._bert.weights.shape(f"{name}.weight")
        bias = self._row(f"{name}.bias")
        if self.precision == "float32":
            stored, numbers = self._numbers(f"{name}.weight")
            if self._ready:
                numbers = _panels(numbers, 1)
            tensor = Tensor(self._keep(numbers), stored)
            return Product(tensor, bias, None, None, outputs, inputs, self._ready)
        weight = self._bert.weights.array(f"{name}.weight")
        if self.precision == "bfloat16":
            panels = _panels(_to_bfloat16(weight), 2)
            return Product(Tensor(self._keep(panels), 0), bias, None, None, outputs, inputs)
        scale = np.abs(weight).max(axis=1) / self._most
        scale[scale == 0] = 1
        whole = np.round(weight / scale[:, None]).astype(np.int8)
        # What the 128 adds to which x86 shifts a token; on Arm nothing does, and this is not read.
        shift = -128 * whole.sum(axis=1, dtype=np.int64) * scale
        return Product(
            Tensor(self._keep(_panels(whole, 4)), 0),
            bias,
            self._keep(_widened(scale)),
            self._keep(_widened(shift)),
            outputs,
            inputs,
        )

    def _norm(self, name: str) -> Norm:
        return Norm(self._row(f"{name}.weight"), self._row(f"{name}.bias"))

    def _row(self, name: str) -> int:
        return self._keep(_widened(self._bert.weights.array(name)))

    def _tensor(self, name: str) -> Tensor:
        stored, numbers = self._numbers(name)
        return Tensor(self._keep(numbers), stored)

    def _numbers(self, name: str) -> tuple[int, NDArray[np.generic]]:
        """A tensor as the file has it, or in float32 where the kernels do not read its numbers."""
        stored, numbers = self._bert.weights.stored(name)
        if stored in _STORED:
            return _STORED[stored], numbers
        return _STORED["F32"], self._bert.weights.array(name)

    def _keep(self, array: NDArray[np.generic]) -> int:
        self._kept.append(array)
        return array.ctypes.data


def precisions() -> list[Precision]:
    """What this CPU computes faster than float32."""
    using = kernels()
    if using is None:
        return []
    faster: dict[Precision, bool] = {"int8": using.int8, "bfloat16": using.bfloat16}
    return [precision for precision in faster if faster[precision]]


def _panels(weight: NDArray[np.generic], together: int) -> NDArray[np.generic]:
    """[outputs, inputs] -> panels of 16 outputs, of which so many inputs stand together."""
    outputs, inputs = weight.shape
    grain = _STEP // 4 * together
    padded = np.pad(weight, ((0, -outputs % _PANEL), (0, -inputs % grain)))
    panels = padded.reshape(-1, _PANEL, padded.shape[1] // together, together)
    return np.ascontiguousarray(panels.transpose(0, 2, 1, 3))


def _to_bfloat16(floats: Vectors) -> NDArray[np.uint16]:
    """The upper half of each float32, rounded to the nearest, of two as near to the even one."""
    bits = floats.view(np.uint32)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(floats), np.uint16(0x7FC0), rounded)


def _widened(row: NDArray[np.floating]) -> Vectors:
    return np.pad(row.astype(np.float32), (0, -len(row) % _PANEL))


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
