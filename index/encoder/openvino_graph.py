"""BERT (Devlin et al., 2019) as a graph of OpenVINO, made from config.json and the weights.

For int8 it holds post-training quantisation: weights are symmetric with a scale for each output,
activations have one scale for a whole tensor. So that a channel with outliers does not take the
resolution from all the others, what a product takes is divided by a number for each channel, and
its weights are multiplied by it (SmoothQuant, Xiao et al., 2023).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np

from ..types import Json
from .modules import Vectors
from .numpy_bert import BERT, prefix_in
from .quiet_openvino import op, openvino
from .weights import Weights

# Least and greatest value of each channel, [2, d], of what each quantised product takes, by name.
Ranges = Mapping[str, Vectors]

# Of the spread between channels, so much goes from the activations to the weights: the divisor of
# a channel is max|x|^a / max|w|^(1 - a).
_MIGRATED = 0.7
# Added to the scores of padding before softmax: e^-10000 is 0, in bfloat16 as well.
_HIDE = 1e4
# The largest score whose power, for each token of a text, and their sum are numbers of bfloat16;
# and what is divided by where all powers are 0.
_LARGEST, _LEAST = 75.0, 1e-30

# Query, key and value, [b, heads, t, d / heads] each -> what attention gives, of the query's shape.
_Attention = Callable[[Any, Any, Any], Any]


def build(
    config: Mapping[str, Json],
    weights: Weights,
    ranges: Ranges | None,
    one_token: bool,
    lossy: bool = False,
) -> Any:
    """ids, types, mask [b, t] and places [b, 1] -> the last hidden state, [b, t, d].

    With `one_token`, only that of each text's token at `places`, [b, 1, d]: the last layer computes
    query, attention and what follows for it alone. With `ranges`, products are in int8; `lossy` is
    for a model that is compiled for bfloat16.
    """
    graph = _Graph(config, weights, ranges, lossy)
    return graph.model(graph.layers(one_token))


def build_observed(config: Mapping[str, Json], weights: Weights) -> tuple[Any, list[str]]:
    """The same in float32, giving also the `Ranges` over all tokens: their names, in the order."""
    graph = _Graph(config, weights, None)
    hidden = graph.layers(one_token=False)
    over = op.constant(np.array([0, 1]))
    outputs = [
        op.concat([op.reduce_min(value, over, True), op.reduce_max(value, over, True)], 0)
        for value in graph.taken.values()
    ]
    return graph.model(hidden, *outputs), list(graph.taken)


@dataclass(frozen=True)
class _Quantised:
    """How a product takes its input: divided by `divisor` [d], rounded on a grid in [low, high]."""

    divisor: Vectors
    low: float
    high: float


def word_rows(weights: Weights) -> int:
    """How many tokens the model knows."""
    return weights.shape(prefix_in(BERT, weights) + "embeddings.word_embeddings.weight")[0]


class _Graph:
    """`taken` collects, by its name, what each product that may be quantised takes."""

    def __init__(
        self,
        config: Mapping[str, Json],
        weights: Weights,
        ranges: Ranges | None,
        lossy: bool = False,
    ) -> None:
        self._weights, self._ranges, self._lossy = weights, ranges, lossy
        self._prefix = prefix_in(BERT, weights)
        heads, layers = config["num_attention_heads"], config["num_hidden_layers"]
        size, epsilon = config["hidden_size"], config.get("layer_norm_eps", 1e-12)
        assert isinstance(heads, int)
        assert isinstance(layers, int)
        assert isinstance(size, int)
        assert isinstance(epsilon, (int, float))
        self._heads, self._layers, self._size = heads, layers, size
        self._epsilon = float(epsilon)
        self._activation = ACTIVATIONS[str(config.get("hidden_act", "gelu"))]
        self.taken: dict[str, Any] = {}
        self._ids = op.parameter([-1, -1], np.int32, "ids")
        self._types = op.parameter([-1, -1], np.int32, "types")
        self._mask = op.parameter([-1, -1], np.float32, "mask")
        self._places = op.parameter([-1, 1], np.int32, "places")

    def model(self, *outputs: Any) -> Any:
        inputs = [self._ids, self._types, self._mask, self._places]
        return openvino.Model(list(outputs), inputs, "bert")

    def layers(self, one_token: bool) -> Any:
        hidden = self._embed()
        attend = self._by_exponents() if self._lossy else self._by_softmax()
        for layer in range(self._layers):
            hidden = self._layer(layer, hidden, attend, one_token and layer == self._layers - 1)
        return hidden

    def _by_softmax(self) -> _Attention:
        """Attention as OpenVINO has it."""
        hide = op.multiply(op.subtract(self._mask, _floats(1)), _floats(_HIDE))
        hide = op.unsqueeze(hide, _whole(1, 2))
        return lambda *projected: op.scaled_dot_product_attention(*projected, hide)

    def _by_exponents(self) -> _Attention:
        """The same with fewer passes over the scores, [b, heads, t, t], which no cache holds.

        Their maximum is not taken off: within what e to their power can be they need not come
        nearer to 0. The division is of what attention gives, and padding is hidden in the values.
        """
        shown = op.unsqueeze(self._mask, _whole(1, 3))
        scale = _floats((self._size // self._heads) ** -0.5)

        def attend(query: Any, key: Any, value: Any) -> Any:
            scores = op.multiply(op.matmul(query, key, False, True), scale)
            powers = op.exp(op.minimum(scores, _floats(_LARGEST)))
            summed = op.matmul(powers, op.multiply(value, shown), False, False)
            return op.divide(
                summed, op.maximum(op.matmul(powers, shown, False, False), _floats(_LEAST))
            )

        return attend

    def _embed(self) -> Any:
        words = op.gather(self._table("word_embeddings"), self._ids, _whole(0))
        types = op.gather(self._table("token_type_embeddings"), self._types, _whole(0))
        width = op.gather(op.shape_of(self._ids), _whole(1), _whole(0))
        places = op.slice(self._table("position_embeddings"), _whole(0), width, _whole(1))
        summed = op.add(op.add(words, types), op.unsqueeze(places, _whole(0)))
        return self._norm("embeddings.LayerNorm", summed)

    def _layer(self, number: int, hidden: Any, attend: _Attention, one_token: bool) -> Any:
        layer = f"encoder.layer.{number}."
        projections = [f"{layer}attention.self.{name}" for name in ("query", "key", "value")]
        taken, quantised = self._take(projections, hidden)
        asking = taken
        if one_token:
            hidden, asking = self._at_places(hidden), self._at_places(taken)
        mixing = self._quantised([f"{layer}attention.output.dense"])
        query, key, value = (
            self._split(self._product(name, given, quantised, gives))
            for name, given, gives in zip(
                projections, (asking, taken, taken), (None, None, mixing), strict=True
            )
        )
        mixed = op.transpose(attend(query, key, value), _whole(0, 2, 1, 3))
        mixed = op.reshape(mixed, _whole(0, 0, self._size), True)
        attended = self._linear(f"{layer}attention.output.dense", mixed, divided=True)
        hidden = self._norm(f"{layer}attention.output.LayerNorm", op.add(attended, hidden))
        inner = self._activation(self._linear(f"{layer}intermediate.dense", hidden))
        inner = self._linear(f"{layer}output.dense", inner)
        return self._norm(f"{layer}output.LayerNorm", op.add(inner, hidden))

    def _at_places(self, value: Any) -> Any:
        return op.gather(value, self._places, _whole_scalar(1), 1)

    def _split(self, value: Any) -> Any:
        """[b, t, d] -> [b, heads, t, d / heads]."""
        shape = _whole(0, 0, self._heads, self._size // self._heads)
        return op.transpose(op.reshape(value, shape, True), _whole(0, 2, 1, 3))

    def _linear(self, name: str, value: Any, divided: bool = False) -> Any:
        taken, quantised = self._take([name], value, divided)
        return self._product(name, taken, quantised)

    def _take(
        self, names: list[str], value: Any, divided: bool = False
    ) -> tuple[Any, _Quantised | None]:
        """What the products `names` take of `value`; it may have been divided where it was made."""
        self.taken[names[0]] = value
        quantised = self._quantised(names)
        if quantised is None:
            return value, None
        if not divided:
            value = op.multiply(value, _floats(1 / quantised.divisor))
        low, high = _floats(quantised.low), _floats(quantised.high)
        return op.fake_quantize(value, low, high, low, high, 256), quantised

    def _quantised(self, names: list[str]) -> _Quantised | None:
        if self._ranges is None:
            return None
        low, high = self._ranges[names[0]]
        weight = np.concatenate([self._array(f"{name}.weight") for name in names])
        divisor = _floored(np.maximum(-low, high)) ** _MIGRATED
        divisor /= _floored(np.abs(weight).max(axis=0)) ** (1 - _MIGRATED)
        return _Quantised(
            divisor, *_grid(float((low / divisor).min()), float((high / divisor).max()))
        )

    def _product(
        self, name: str, value: Any, takes: _Quantised | None, gives: _Quantised | None = None
    ) -> Any:
        weight, bias = self._array(f"{name}.weight"), self._array(f"{name}.bias")
        if gives is not None:
            weight, bias = weight / gives.divisor[:, None], bias / gives.divisor
        if takes is None:
            constant = op.constant(weight)
        else:
            weight = weight * takes.divisor
            scale = np.abs(weight).max(axis=1, keepdims=True) / 127
            scale[scale == 0] = 1
            whole = op.constant(np.round(weight / scale).astype(np.int8))
            constant = op.multiply(op.convert(whole, np.float32), op.constant(scale))
        return op.add(op.matmul(value, constant, False, True), _floats(bias))

    def _norm(self, name: str, value: Any) -> Any:
        centred = op.mvn(value, _whole(-1), True, self._epsilon, "inside_sqrt")
        scaled = op.multiply(centred, _floats(self._array(f"{name}.weight")))
        return op.add(scaled, _floats(self._array(f"{name}.bias")))

    def _table(self, name: str) -> Any:
        return op.constant(self._array(f"embeddings.{name}.weight"))

    def _array(self, name: str) -> Vectors:
        return self._weights.array(self._prefix + name)


def _floored(largest: Vectors) -> Vectors:
    """A channel that was silent while it was observed may not be so in all texts."""
    return np.maximum(largest, max(float(largest.max()) / 1000, 1e-6))


def _grid(low: float, high: float) -> tuple[float, float]:
    """The ends of 255 even steps that hold [low, high], and one of which ends at exactly 0."""
    low, high = min(low, 0.0), max(high, 1e-6)
    if -low > high / 2:
        # Nearly as far both ways: those of a signed byte, for which products need no correction.
        step = max(-low, high) / 127
        return -128 * step, 127 * step
    step = (high - low) / 254
    zero = ceil(-low / step)
    return -zero * step, (255 - zero) * step


def _gelu_erf(value: Any) -> Any:
    return op.gelu(value, "erf")


def _gelu_tanh(value: Any) -> Any:
    return op.gelu(value, "tanh")


# The names of `HIDDEN_ACTIVATIONS`.
ACTIVATIONS = {
    "gelu": _gelu_erf,
    "gelu_new": _gelu_tanh,
    "gelu_pytorch_tanh": _gelu_tanh,
    "relu": op.relu,
    "silu": op.swish,
    "swish": op.swish,
}


def _floats(values: Any) -> Any:
    return op.constant(np.atleast_1d(np.asarray(values, np.float32)))


def _whole(*values: int) -> Any:
    return op.constant(np.array(values, np.int64))


def _whole_scalar(value: int) -> Any:
    return op.constant(np.int64(value))
