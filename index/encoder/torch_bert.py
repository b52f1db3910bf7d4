"""BERT's forward pass in torch (Devlin et al., 2019) without padding, and without what is not used.

Between attentions the tokens of a batch stand one after another, [n, d], so that no matrix product
is spent on padding. Where the pooling reads one token of a text, the last layer computes queries,
attention output and feed-forward for that token only: exact, and 14% fewer operations at 6 layers.

A product adds itself to what goes past it (the residual), so that no step of its own does. The bias
that belongs to such a product is in what goes past already: the normalisation before adds it to its
own, and the product that reads the same takes it off again, in its bias. The sums are the same.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import linear, scaled_dot_product_attention

from .batches import Batch, ranges
from .bert_family import BERT

try:
    from torch.nn.attention.varlen import varlen_attn
except ImportError:  # torch before 2.10
    varlen_attn = None  # type: ignore[assignment]

# Architectures whose layers are BERT's; they differ in their embeddings.
_ARCHITECTURES = ("bert", "roberta", "xlm-roberta", "camembert")
# What transformers calls GELU and its approximations by tanh.
_GELUS = (
    "GELUActivation",
    "PytorchGELUTanh",
    "NewGELUActivation",
    "GELUTanh",
    "FastGELUActivation",
)
_PARAMETERS = {f"{part}.{kind}" for part in BERT.parts for kind in ("weight", "bias")}


def runs_in_torch_bert(model: Any) -> bool:
    """Whether `TorchBert` computes what a model of transformers does: one it knows to the letter.

    Any parameter more or less in a layer, or a causal mask, makes it another architecture.
    """
    config = model.config
    return (
        config.model_type in _ARCHITECTURES
        and not getattr(config, "is_decoder", False)
        and {name.split(".")[0] for name, _ in model.named_parameters()}
        <= {"embeddings", "encoder", "pooler"}
        and all(
            {name for name, _ in layer.named_parameters()} == _PARAMETERS
            for layer in model.encoder.layer
        )
    )


class TorchBert:
    """The layers of a BERT, its matrices in one precision. Threads may share it."""

    def __init__(self, model: Any, dtype: torch.dtype) -> None:
        """From a model of transformers for which `runs_in_torch_bert` holds, on its device.

        Embeddings and their sum stay in float32. Softmax and the statistics of normalisation are
        computed in float32 by torch's kernels, whatever `dtype`.
        """
        self._embeddings = model.embeddings
        self._dtype, self._device = dtype, model.device
        self._heads = int(model.config.num_attention_heads)
        layers = list(model.encoder.layer)
        self._first_bias = _bias_past_attention(layers[0])
        width = int(model.config.hidden_size)
        kernels = _triton_kernels(width, self._heads, dtype, self._device)
        self._layers = [
            _Layer.of(layer, following, dtype, kernels)
            for layer, following in zip(layers, [*layers[1:], None], strict=True)
        ]
        # The others count positions in ways of their own.
        self._embedding = kernels if model.config.model_type == "bert" else None
        size = width // self._heads
        self._attention = kernels if kernels and size in kernels.HEAD_SIZES else None
        self._varlen = runs_varlen(self._heads, size, dtype, self._device)

    def hidden(self, batch: Batch) -> torch.Tensor:
        """`last_hidden_state` in float32, [b, t, d]; zeros where there is padding."""
        layout = _Layout(batch, self._varlen, self._attention, self._device)
        with _current(self._device):
            return layout.pad(self._through(self._layers, batch, layout)).float()

    def tokens(self, batch: Batch, places: NDArray[np.int64]) -> torch.Tensor:
        """`last_hidden_state` of the token in `places` [b] of each text, in float32, [b, d]."""
        layout = _Layout(batch, self._varlen, self._attention, self._device)
        with _current(self._device):
            hidden = self._through(self._layers[:-1], batch, layout)
            layer, width = self._layers[-1], hidden.shape[1]
            chosen = hidden[upload(layout.starts[:-1] + places, self._device)]
            query = linear(chosen, layer.projection[:width], layer.projection_bias[:width])
            pair = linear(hidden, layer.projection[width:], layer.projection_bias[width:])
            return _finish(layer, chosen, layout.attend_one(query, pair, self._heads)).float()

    def _through(self, layers: Sequence["_Layer"], batch: Batch, layout: "_Layout") -> torch.Tensor:
        """The tokens of a batch after the first layers, [n, d]."""
        hidden = self._embed(batch, layout)
        for layer in layers:
            projected = linear(hidden, layer.projection, layer.projection_bias)
            hidden = _finish(layer, hidden, layout.attend(projected, self._heads))
        return hidden

    def _embed(self, batch: Batch, layout: "_Layout") -> torch.Tensor:
        """[n, d]. By transformers' own module where positions are counted in ways of its own."""
        own = self._embeddings
        embedded: torch.Tensor
        if self._embedding is None:
            ids, types = (upload(part, self._device) for part in (batch.ids, batch.types))
            embedded = own(input_ids=ids, token_type_ids=types)
            return (layout.pack(embedded) + self._first_bias).to(self._dtype)
        places = np.flatnonzero(batch.mask)
        sizes = batch.mask.sum(axis=1)
        positions = ranges(np.zeros_like(sizes), sizes)
        rows = np.stack([batch.ids.ravel()[places], positions, batch.types.ravel()[places]])
        tables = (own.word_embeddings, own.position_embeddings, own.token_type_embeddings)
        embedded = self._embedding.embed(
            upload(rows.astype(np.int32), self._device),
            tuple(table.weight for table in tables),
            own.LayerNorm.weight,
            own.LayerNorm.bias + self._first_bias,
            own.LayerNorm.eps,
            self._dtype,
        )
        return embedded


@dataclass(frozen=True)
class _Layer:
    """The parameters of one layer: query, key and value as one matrix [3d, d], the rest by name."""

    projection: torch.Tensor
    projection_bias: torch.Tensor
    output: torch.Tensor
    attention_norm: Callable[[torch.Tensor], torch.Tensor]
    inner: torch.Tensor
    inner_bias: torch.Tensor
    activation: Any
    outer: torch.Tensor
    norm: Callable[[torch.Tensor], torch.Tensor]

    @classmethod
    def of(
        cls, layer: Any, following: Any | None, dtype: torch.dtype, kernels: Any | None
    ) -> "_Layer":
        """From a layer of transformers and the one after it, None after the last.

        `kernels` is the module `triton_kernels`, where it runs.
        """
        attention = layer.attention.self
        parts = (attention.query, attention.key, attention.value)
        projection = torch.cat([part.weight.detach() for part in parts])
        projection_bias = torch.cat([part.bias.detach() for part in parts])
        inner, past = layer.intermediate.dense, layer.output.dense.bias.detach()
        return cls(
            projection=projection.to(dtype),
            projection_bias=_without(
                projection_bias, projection, _bias_past_attention(layer), dtype
            ),
            output=layer.attention.output.dense.weight.detach().to(dtype),
            attention_norm=_adding(layer.attention.output.LayerNorm, past, dtype, kernels),
            inner=inner.weight.detach().to(dtype),
            inner_bias=_without(inner.bias.detach(), inner.weight.detach(), past, dtype),
            activation=_activation(layer.intermediate.intermediate_act_fn, dtype, past.device),
            outer=layer.output.dense.weight.detach().to(dtype),
            norm=_adding(
                layer.output.LayerNorm,
                _bias_past_attention(following) if following else 0,
                dtype,
                kernels,
            ),
        )


def _bias_past_attention(layer: Any) -> torch.Tensor:
    """The bias of attention's output, [d], which what goes past attention has already."""
    bias: torch.Tensor = layer.attention.output.dense.bias.detach()
    return bias


def _adding(
    norm: Any, bias: torch.Tensor | int, dtype: torch.dtype, kernels: Any | None
) -> Callable[[torch.Tensor], torch.Tensor]:
    """A normalisation that adds a bias [d], a copy of its own."""
    norm = deepcopy(norm)
    with torch.no_grad():
        norm.bias += bias
    adding: Callable[[torch.Tensor], torch.Tensor] = norm.to(dtype)
    if kernels is not None:
        adding = partial(kernels.normalise, weight=norm.weight, bias=norm.bias, eps=norm.eps)
    return adding


def _triton_kernels(width: int, heads: int, dtype: torch.dtype, device: torch.device) -> Any | None:
    """The module `triton_kernels` where it runs: on a GPU in half precision, with Triton."""
    if device.type != "cuda" or dtype == torch.float32 or not find_spec("triton"):
        return None
    from . import triton_kernels

    with _current(device):
        return triton_kernels if triton_kernels.runs(width, heads, dtype, device) else None


def _current(device: torch.device) -> AbstractContextManager[None]:
    """The GPU that Triton launches on: other than torch, it does not look where tensors are."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def _without(
    bias: torch.Tensor, weight: torch.Tensor, added: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    """The bias with which `weight` [m, d] gives for x + added what it gives with `bias` for x."""
    return (bias.double() - weight.double() @ added.double()).to(dtype)


def _activation(
    activation: Any, dtype: torch.dtype, device: torch.device
) -> Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]:
    """(x, weight, bias) -> the activation of the product.

    In half precision on CUDA, GELU is computed by the product itself, as its approximation by tanh
    (Hendrycks and Gimpel, 2016): 0.0005 away from GELU at most, a tenth of what rounding does.
    """
    kind = type(activation).__name__
    if device.type == "cuda" and dtype == torch.bfloat16 and kind in _GELUS:
        return lambda x, weight, bias: torch._addmm_activation(bias, x, weight.t(), use_gelu=True)
    return lambda x, weight, bias: activation(linear(x, weight, bias))


def _finish(layer: _Layer, hidden: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
    """What follows attention, token by token: [n, d] and [n, d] -> [n, d]. Overwrites `hidden`."""
    attended = layer.attention_norm(hidden.addmm_(attended, layer.output.t()))
    inner = layer.activation(attended, layer.inner, layer.inner_bias)
    return layer.norm(attended.addmm_(inner, layer.outer.t()))


class _Layout:
    """Where the tokens of a batch stand: in rows with padding, [b, t], or one after another, [n].

    `starts` [b + 1] says where each text begins among the n, and, at its end, n.
    """

    def __init__(
        self, batch: Batch, varlen: bool, kernels: Any | None, device: torch.device
    ) -> None:
        self._rows, self._width = batch.mask.shape
        self.starts = np.concatenate([[0], batch.mask.sum(axis=1).cumsum()])
        self._varlen, self._kernels, self._device = varlen, kernels, device
        self._padded = None if batch.mask.all() else batch.mask
        self._mask = None
        if self._padded is not None and not varlen:
            self._mask = upload(self._padded, device)[:, None, None, :]
        if varlen or kernels:
            self._offsets = upload(self.starts.astype(np.int32), device)
        if varlen:
            self._ones = upload(np.arange(self._rows + 1, dtype=np.int32), device)

    @cached_property
    def _places(self) -> torch.Tensor | None:
        """Where the n tokens stand in the rows, counted here: a GPU would be waited for."""
        if self._padded is None:
            return None
        return upload(np.flatnonzero(self._padded), self._device)

    def pack(self, padded: torch.Tensor) -> torch.Tensor:
        """[b, t, d] -> [n, d]."""
        flat = padded.reshape(self._rows * self._width, -1)
        return flat if self._places is None else flat.index_select(0, self._places)

    def pad(self, packed: torch.Tensor) -> torch.Tensor:
        """[n, d] -> [b, t, d]."""
        if self._places is not None:
            empty = packed.new_zeros(self._rows * self._width, packed.shape[1])
            packed = empty.index_copy_(0, self._places, packed)
        return packed.view(self._rows, self._width, -1)

    def attend(self, projected: torch.Tensor, heads: int) -> torch.Tensor:
        """Query, key and value [n, 3d] of each token -> its attention [n, d]."""
        if self._kernels:
            mixed: torch.Tensor = self._kernels.attend(projected, self._offsets, self._width, heads)
            return mixed
        if self._varlen:
            query, key, value = projected.view(len(projected), 3, heads, -1).unbind(1)
            width, offsets = self._width, self._offsets
            return _varlen(query, key, value, (offsets, offsets), (width, width)).flatten(1)
        padded = self.pad(projected).view(self._rows, self._width, 3, heads, -1)
        query, key, value = padded.permute(2, 0, 3, 1, 4)
        mixed = scaled_dot_product_attention(query, key, value, attn_mask=self._mask)
        return self.pack(mixed.transpose(1, 2))

    def attend_one(self, query: torch.Tensor, pair: torch.Tensor, heads: int) -> torch.Tensor:
        """Query [b, d] of one token a text, key and value [n, 2d] of each -> attention [b, d]."""
        if self._varlen:
            key, value = pair.view(len(pair), 2, heads, -1).unbind(1)
            one = query.view(self._rows, heads, -1)
            offsets, widths = (self._ones, self._offsets), (1, self._width)
            return _varlen(one, key, value, offsets, widths).flatten(1)
        padded = self.pad(pair).view(self._rows, self._width, 2, heads, -1)
        key, value = padded.permute(2, 0, 3, 1, 4)
        one = query.view(self._rows, heads, 1, -1)
        return scaled_dot_product_attention(one, key, value, attn_mask=self._mask).flatten(1)


def _varlen(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    offsets: tuple[torch.Tensor, torch.Tensor],
    widths: tuple[int, int],
) -> torch.Tensor:
    """Attention [q, h, e] of queries [q, h, e] to keys and values [n, h, e], text by text.

    `offsets`, int32 [b + 1], and `widths`, the longest text, once for queries and once for keys.
    """
    mixed = varlen_attn(query, key, value, *offsets, *widths)
    assert isinstance(mixed, torch.Tensor)
    return mixed


def runs_varlen(heads: int, size: int, dtype: torch.dtype, device: torch.device) -> bool:
    """Whether attention without padding runs here, and gives what attention with padding gives.

    It needs FlashAttention: a GPU of compute capability 8.0 or more, in half precision. Tried on
    two texts of 2 tokens and 1, and not derived from versions.
    """
    if varlen_attn is None:
        return False
    query, key, value = torch.linspace(-1, 1, 9 * heads * size, device=device, dtype=dtype).view(
        3, 3, heads, size
    )
    starts = torch.tensor([0, 2, 3], dtype=torch.int32, device=device)
    try:
        mixed = _varlen(query, key, value, (starts, starts), (2, 2))
    except (RuntimeError, ValueError):
        return False
    first = scaled_dot_product_attention(
        *(part[:2].transpose(0, 1) for part in (query, key, value))
    )
    expected = torch.cat([first.transpose(0, 1), value[2:]])
    return torch.allclose(mixed.float(), expected.float(), atol=0.02)


def upload(array: NDArray[Any], device: torch.device) -> torch.Tensor:
    """A NumPy array on a device. To a GPU from pinned memory, which does not wait for the GPU."""
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def fetch(tensor: torch.Tensor) -> NDArray[np.float32]:
    """A tensor in float32 as a NumPy array. Waits for this tensor, not for what comes after it."""
    tensor = tensor.float()
    if tensor.device.type != "cuda":
        return tensor.cpu().numpy()
    pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    pinned.copy_(tensor, non_blocking=True)
    copied: Any = torch.cuda.Event()  # type: ignore[no-untyped-call]
    copied.record(torch.cuda.current_stream(tensor.device))
    copied.synchronize()
    return pinned.numpy()
