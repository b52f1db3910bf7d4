"""The forward pass of BERT (Devlin et al., 2019) in NumPy, for a few short texts on the CPU.

Importing torch and transformers takes seconds; answering one query takes these matrices and
milliseconds. Weights are memory-mapped: of the embedding table only the rows of the text's tokens
are read.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..types import Json
from .activations import HIDDEN_ACTIVATIONS
from .batches import Batch
from .bert_family import Bert
from .blas import one_thread
from .grid import Grid
from .modules import Vectors, standardize
from .pooling import single_tokens

_KINDS = ("weight", "bias")
_Pair = tuple[Vectors, Vectors]  # a matrix [out, in], or a scale; a bias


class _Layer(NamedTuple):
    """In the order of `Family.parts`."""

    query: _Pair
    key: _Pair
    value: _Pair
    output: _Pair
    attention_norm: _Pair
    inner: _Pair
    outer: _Pair
    norm: _Pair


class NumpyBert:
    """A BERT encoder on the CPU, for which `is_bert` holds."""

    # More is done sooner by torch, though importing it takes 2 to 4 s (22M parameters, 2 cores).
    most_tokens = 2048
    in_flight = 1

    def __init__(self, config: Mapping[str, Json], file: Path) -> None:
        """Map the weights and convert the layers to float32."""
        self.batch_tokens = 1024
        self._bert = bert = Bert(config, file)
        self._activation = HIDDEN_ACTIVATIONS[bert.activation]
        self._norm, *pairs = self._pairs(
            [
                f"{bert.prefix}embeddings.LayerNorm",
                *(part for layer in range(bert.depth) for part in bert.parts(layer)),
            ]
        )
        step = len(bert.family.parts)
        self._layers = [
            _Layer(*pairs[start : start + step]) for start in range(0, len(pairs), step)
        ]

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
        hidden = self.forward(batch)
        if kept is None:
            return weights @ hidden, None
        maximum = np.where(kept[:, :, None], hidden, -np.inf).max(axis=1)
        return weights @ hidden, maximum

    def forward(self, batch: Batch) -> Vectors:
        """`last_hidden_state`, [b, t, d]; zeros where padding stands."""
        return Grid.of(batch.mask).spread(self._hidden(batch, None))

    def _hidden(self, batch: Batch, places: NDArray[np.int64] | None) -> Vectors:
        """`last_hidden_state`: of all tokens but the padding, [n, d], or of one a text, [b, d]."""
        mask, ids = batch.mask, batch.ids
        hidden = self._rows("word_embeddings", ids[mask])
        hidden += self._rows("position_embeddings", self._bert.places(ids)[mask])
        if "token_type_embeddings" in self._bert.family.tables:
            hidden += self._rows("token_type_embeddings", batch.types[mask])
        hidden = standardize(hidden, *self._norm, self._bert.epsilon)
        # Added to the scores before softmax: e^-1e30 is 0.
        hide = np.where(mask, np.float32(0), np.float32(-1e30))[:, None, None, :]
        grid = Grid.of(mask)
        with one_thread():
            for layer in self._layers[:-1]:
                hidden = self._apply(layer, hidden, grid, hidden, grid, hide)
            asked, asked_grid = hidden, grid
            if places is not None:
                rows = np.arange(len(mask))
                asked = grid.spread(hidden)[rows, places]
                asked_grid = Grid(len(mask), 1, None)
            return self._apply(self._layers[-1], asked, asked_grid, hidden, grid, hide)

    def _apply(
        self,
        layer: _Layer,
        asked: Vectors,
        asked_grid: Grid,
        hidden: Vectors,
        grid: Grid,
        hide: Vectors,
    ) -> Vectors:
        """One layer's output for the tokens `asked` [m, d], which look at all, `hidden` [n, d]."""
        size = hidden.shape[1]

        def heads(tokens: Vectors, pair: _Pair, of: Grid) -> Vectors:  # [b, heads, t, d / heads]
            split = of.spread(_linear(tokens, pair))
            split = split.reshape(of.rows, of.columns, self._bert.heads, size // self._bert.heads)
            return split.transpose(0, 2, 1, 3)

        query, key = heads(asked, layer.query, asked_grid), heads(hidden, layer.key, grid)
        scores: Vectors = query @ key.transpose(0, 1, 3, 2)
        scores *= np.float32((size // self._bert.heads) ** -0.5)
        scores += hide
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=-1, keepdims=True)
        mixed: Vectors = scores @ heads(hidden, layer.value, grid)
        mixed = asked_grid.gathered(mixed.transpose(0, 2, 1, 3).reshape(-1, size))

        attended = _linear(mixed, layer.output)
        attended += asked
        attended = standardize(attended, *layer.attention_norm, self._bert.epsilon)
        output = _linear(self._activation(_linear(attended, layer.inner)), layer.outer)
        output += attended
        return standardize(output, *layer.norm, self._bert.epsilon)

    def _pairs(self, names: list[str]) -> list[_Pair]:
        of = self._bert.weights.arrays([f"{name}.{kind}" for name in names for kind in _KINDS])
        return [(of[f"{name}.weight"], of[f"{name}.bias"]) for name in names]

    def _rows(self, table: str, indices: NDArray[np.int64]) -> Vectors:
        return self._bert.weights.rows(self._bert.table(table), indices)


def _linear(values: Vectors, pair: _Pair) -> Vectors:
    weight, bias = pair
    # With the larger matrix first, as it lies in memory, a few tokens take OpenBLAS half the time.
    made: Vectors = (weight @ values.T).T
    made += bias
    return made
