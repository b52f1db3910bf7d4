"""BERT (Devlin et al., 2019) and its kin, as configurations and weights have them.

RoBERTa and XLM-RoBERTa count positions otherwise, DistilBERT names things otherwise and has no
token types; the rest is BERT.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..types import Json
from .activations import HIDDEN_ACTIVATIONS
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
FAMILIES = {
    "bert": BERT,
    "camembert": _ROBERTA,
    "distilbert": _DISTILBERT,
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
}


def is_bert(config: Mapping[str, Json], files: list[Path]) -> bool:
    """Whether `Bert` holds all that there is to compute the model's last hidden state."""
    family = FAMILIES.get(str(config.get("model_type")))
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
    return _fits(Bert(config, files[0]))


def prefix_in(family: Family, weights: Weights) -> str:
    """What stands before the names of the encoder's weights: models saved with a head have it."""
    table = "embeddings.word_embeddings.weight"
    return family.prefix if family.prefix + table in weights else ""


class Bert:
    """A model for which `is_bert` holds: its sizes, its weights, and where its tokens stand."""

    def __init__(self, config: Mapping[str, Json], file: Path) -> None:
        """Map the weights."""
        self.family = family = FAMILIES[str(config["model_type"])]
        self.weights = Weights(file)
        self.prefix = prefix_in(family, self.weights)
        depth, heads, size = (config[name] for name in family.sizes)
        # Not in the configuration of DistilBERT, whose class has this number.
        epsilon = config.get("layer_norm_eps", 1e-12)
        padding = config.get("pad_token_id", 1)
        assert isinstance(depth, int)
        assert isinstance(heads, int)
        assert isinstance(size, int)
        assert isinstance(epsilon, (int, float))
        assert isinstance(padding, int)
        self.depth, self.heads, self.size, self.epsilon = depth, heads, size, float(epsilon)
        self.activation = str(config.get(family.activation, "gelu"))
        self._padding = padding

    def table(self, name: str) -> str:
        """The name of an embedding table's weights."""
        return f"{self.prefix}embeddings.{name}.weight"

    def parts(self, layer: int) -> list[str]:
        """The names of a layer's matrices and norms, in the order of `Family.parts`."""
        return [f"{self.prefix}{self.family.layers}.{layer}.{part}" for part in self.family.parts]

    def places(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The position of each token of texts [b, t]."""
        if not self.family.counts_from_padding:
            return np.broadcast_to(np.arange(ids.shape[1]), ids.shape)
        # The padding token has the place of its own id, those after it go on counting.
        real = ids != self._padding
        places: NDArray[np.int64] = real.cumsum(axis=1) * real + self._padding
        return places

    @property
    def inner(self) -> int:
        """How wide the feed-forward network is inside."""
        return self.weights.shape(f"{self.parts(0)[5]}.weight")[0]


def _fits(bert: Bert) -> bool:
    """Whether the weights are all there, of the shapes that the configuration says."""

    def shaped(name: str, *shape: int) -> bool:
        return bert.weights.readable(name) and bert.weights.shape(name) == shape

    def row(name: str) -> int:
        shape = bert.weights.shape(name) if bert.weights.readable(name) else ()
        return shape[0] if len(shape) == 2 else 0

    size = bert.size
    if bert.depth < 1 or bert.heads < 1 or size < 1 or size % bert.heads:
        return False
    tables = [bert.table(name) for name in bert.family.tables]
    norm = f"{bert.prefix}embeddings.LayerNorm"
    if not all(shaped(table, row(table), size) for table in tables):
        return False
    if not (shaped(f"{norm}.weight", size) and shaped(f"{norm}.bias", size)):
        return False
    inner = row(f"{bert.parts(0)[5]}.weight")
    if inner < 1:
        return False
    square, vector = (size, size), (size,)
    shapes = (square, square, square, square, vector, (inner, size), (size, inner), vector)
    return all(
        shaped(f"{part}.weight", *shape) and shaped(f"{part}.bias", shape[0])
        for layer in range(bert.depth)
        for part, shape in zip(bert.parts(layer), shapes, strict=True)
    )
