"""The forward pass of BERT (Devlin et al., 2019) in NumPy, for a few short texts on the CPU.

Importing torch and transformers takes seconds; answering one query takes these matrices and
milliseconds. Weights are memory-mapped: of the embedding table only the rows of the text's tokens
are read. RoBERTa and XLM-RoBERTa count positions otherwise, DistilBERT names things otherwise and
has no token types; the rest is BERT.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..types import Json
from .activations import HIDDEN_ACTIVATIONS
from .batches import Batch
from .blas import one_thread
from .modules import Vectors, standardize
from .pooling import single_tokens
from .weights import Weights


class Family(NamedTuple):
    """What an architecture calls things: in its weights, and in its config.json.

    `parts` are the query, key, value and output of the attention, the norm after it, the two
    matrices of the feed-forward network, and the norm after that.
    """

    prefix: str  # under which models saved with a head keep the encoder
    tables: tuple[str, ...]
    layers: str
    parts: tuple[str, ...]
    sizes: tuple[str, str, str]  # how many layers and heads, and how wide a token's vector is
    activation: str
    counts_from_padding: bool = False  # positions, as RoBERTa's


BERT = Family(
    prefix="bert.",
    tables=("word_embeddings", "position_embeddings", "token_type_embeddings"),
    layers="encoder.layer",
    parts=(
        "attention.self.query",
        "attention.self.key",
        "attention.self.value",
        "attention.output.dense",
        "attention.output.LayerNorm",
        "intermediate.dense",
        "output.dense",
        "output.LayerNorm",
    ),
    sizes=("num_hidden_layers", "num_attention_heads", "hidden_size"),
    activation="hidden_act",
)
_ROBERTA = BERT._replace(prefix="roberta.", counts_from_padding=True)
_DISTILBERT = Family(
    prefix="distilbert.",
    tables=("word_embeddings", "position_embeddings"),
    layers="transformer.layer",
    parts=(
        "attention.q_lin",
        "attention.k_lin",
        "attention.v_lin",
        "attention.out_lin",
        "sa_layer_norm",
        "ffn.lin1",
        "ffn.lin2",
        "output_layer_norm",
    ),
    sizes=("n_layers", "n_heads", "dim"),
    activation="activation",
)
_FAMILIES = {
    "bert": BERT,
    "camembert": _ROBERTA,
    "distilbert": _DISTILBERT,
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
}

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


def runs_in_numpy(config: Mapping[str, Json], files: list[Path]) -> bool:
    """Whether `NumpyBert` computes exactly what the model's configuration says."""
    family = _FAMILIES.get(str(config.get("model_type")))
    if (
        family is None
        or config.get(family.activation, "gelu") not in HIDDEN_ACTIVATIONS
        or config.get("position_embedding_type", "absolute") != "absolute"
        or config.get("is_decoder", False)
        or not all(isinstance(config.get(size), int) for size in family.sizes)
        or not isinstance(config.get("pad_token_id", 1), int)
        or len(files) != 1
    ):
        return False
    weights = Weights(files[0])
    prefix = prefix_in(family, weights)
    names = [f"embeddings.{table}.weight" for table in family.tables]
    names += ["embeddings.LayerNorm.weight", "embeddings.LayerNorm.bias"]
    layers = config[family.sizes[0]]
    assert isinstance(layers, int)
    for layer in range(layers):
        for part in family.parts:
            name = f"{family.layers}.{layer}.{part}"
            names += [f"{name}.weight", f"{name}.bias"]
    return all(weights.readable(prefix + name) for name in names)


def prefix_in(family: Family, weights: Weights) -> str:
    """What stands before the names of the encoder's weights: models saved with a head have it."""
    table = "embeddings.word_embeddings.weight"
    return family.prefix if family.prefix + table in weights else ""


class NumpyBert:
    """A BERT encoder on the CPU, for which `runs_in_numpy` holds."""

    # More is done sooner by torch, though importing it takes 2 to 4 s (22M parameters, 2 cores).
    most_tokens = 2048
    in_flight = 1

    def __init__(self, config: Mapping[str, Json], file: Path) -> None:
        """Map the weights and convert the layers to float32."""
        self.batch_tokens = 1024
        self._family = family = _FAMILIES[str(config["model_type"])]
        self._weights = Weights(file)
        self._prefix = prefix_in(family, self._weights)
        layers, heads = (config[size] for size in family.sizes[:2])
        # Not in the configuration of DistilBERT, whose class has this number.
        epsilon = config.get("layer_norm_eps", 1e-12)
        padding = config.get("pad_token_id", 1)
        assert isinstance(heads, int)
        assert isinstance(layers, int)
        assert isinstance(epsilon, (int, float))
        assert isinstance(padding, int)
        self._heads, self._epsilon, self._padding = heads, float(epsilon), padding
        self._activation = HIDDEN_ACTIVATIONS[str(config.get(family.activation, "gelu"))]
        self._norm, *pairs = self._pairs(
            [
                "embeddings.LayerNorm",
                *(f"{family.layers}.{n}.{part}" for n in range(layers) for part in family.parts),
            ]
        )
        step = len(family.parts)
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
        return _Grid.of(batch.mask).spread(self._hidden(batch, None))

    def _hidden(self, batch: Batch, places: NDArray[np.int64] | None) -> Vectors:
        """`last_hidden_state`: of all tokens but the padding, [n, d], or of one a text, [b, d]."""
        mask, ids = batch.mask, batch.ids
        hidden = self._rows("word_embeddings", ids[mask])
        hidden += self._rows("position_embeddings", self._positions(ids)[mask])
        if "token_type_embeddings" in self._family.tables:
            hidden += self._rows("token_type_embeddings", batch.types[mask])
        hidden = standardize(hidden, *self._norm, self._epsilon)
        # Added to the scores before softmax: e^-1e30 is 0.
        hide = np.where(mask, np.float32(0), np.float32(-1e30))[:, None, None, :]
        grid = _Grid.of(mask)
        with one_thread():
            for layer in self._layers[:-1]:
                hidden = self._apply(layer, hidden, grid, hidden, grid, hide)
            asked, asked_grid = hidden, grid
            if places is not None:
                rows = np.arange(len(mask))
                asked = grid.spread(hidden)[rows, places]
                asked_grid = _Grid(len(mask), 1, None)
            return self._apply(self._layers[-1], asked, asked_grid, hidden, grid, hide)

    def _positions(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        if not self._family.counts_from_padding:
            return np.broadcast_to(np.arange(ids.shape[1]), ids.shape)
        # The padding token has the place of its own id, those after it go on counting.
        real = ids != self._padding
        places: NDArray[np.int64] = real.cumsum(axis=1) * real + self._padding
        return places

    def _apply(
        self,
        layer: _Layer,
        asked: Vectors,
        asked_grid: "_Grid",
        hidden: Vectors,
        grid: "_Grid",
        hide: Vectors,
    ) -> Vectors:
        """One layer's output for the tokens `asked` [m, d], which look at all, `hidden` [n, d]."""
        size = hidden.shape[1]

        def heads(tokens: Vectors, pair: _Pair, of: _Grid) -> Vectors:  # [b, heads, t, d / heads]
            split = of.spread(_linear(tokens, pair))
            split = split.reshape(of.rows, of.columns, self._heads, size // self._heads)
            return split.transpose(0, 2, 1, 3)

        query, key = heads(asked, layer.query, asked_grid), heads(hidden, layer.key, grid)
        scores: Vectors = query @ key.transpose(0, 1, 3, 2)
        scores *= np.float32((size // self._heads) ** -0.5)
        scores += hide
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=-1, keepdims=True)
        mixed: Vectors = scores @ heads(hidden, layer.value, grid)
        mixed = asked_grid.gathered(mixed.transpose(0, 2, 1, 3).reshape(-1, size))

        attended = _linear(mixed, layer.output)
        attended += asked
        attended = standardize(attended, *layer.attention_norm, self._epsilon)
        output = _linear(self._activation(_linear(attended, layer.inner)), layer.outer)
        output += attended
        return standardize(output, *layer.norm, self._epsilon)

    def _pairs(self, names: list[str]) -> list[_Pair]:
        names = [self._prefix + name for name in names]
        of = self._weights.arrays([f"{name}.{kind}" for name in names for kind in _KINDS])
        return [(of[f"{name}.weight"], of[f"{name}.bias"]) for name in names]

    def _rows(self, table: str, indices: NDArray[np.int64]) -> Vectors:
        return self._weights.rows(f"{self._prefix}embeddings.{table}.weight", indices)


class _Grid(NamedTuple):
    """Where tokens stand in `rows` texts of `columns` places; `at` None is: everywhere.

    All but the attention of tokens to each other is done for those alone that are no padding, in
    one matrix: NumPy multiplies a stack of small ones one after the other.
    """

    rows: int
    columns: int
    at: NDArray[np.int64] | None

    @classmethod
    def of(cls, mask: NDArray[np.bool_]) -> "_Grid":
        """Of the tokens of a mask [b, t]."""
        rows, columns = mask.shape
        return cls(rows, columns, None if mask.all() else np.flatnonzero(mask))

    def spread(self, tokens: Vectors) -> Vectors:
        """[n, d] -> [b, t, d], zeros where padding stands."""
        size = tokens.shape[1]
        if self.at is not None:
            spread = np.zeros((self.rows * self.columns, size), np.float32)
            spread[self.at] = tokens
            tokens = spread
        return tokens.reshape(self.rows, self.columns, size)

    def gathered(self, places: Vectors) -> Vectors:
        """[b * t, d] -> [n, d]."""
        return places if self.at is None else places[self.at]


def _linear(values: Vectors, pair: _Pair) -> Vectors:
    weight, bias = pair
    # With the larger matrix first, as it lies in memory, a few tokens take OpenBLAS half the time.
    made: Vectors = (weight @ values.T).T
    made += bias
    return made
