"""BERT's forward pass in torch (Devlin et al., 2019) without padding, and without what is not used.

Between attentions the tokens of a batch stand one after another, [n, d], so that no matrix product
is spent on padding. Where the pooling reads one token of a text, the last layer computes queries,
attention output and feed-forward for that token only: exact, and 14% fewer operations at 6 layers.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import linear, scaled_dot_product_attention

from .batches import Batch
from .numpy_bert import BERT

try:
    from torch.nn.attention.varlen import varlen_attn
except ImportError:  # torch before 2.10
    varlen_attn = None  # type: ignore[assignment]

# Architectures whose layers are BERT's; they differ in their embeddings.
_ARCHITECTURES = ("bert", "roberta", "xlm-roberta", "camembert")
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
        self._dtype = dtype
        self._heads = int(model.config.num_attention_heads)
        self._layers = [_Layer.of(layer, dtype) for layer in model.encoder.layer]
        size, device = int(model.config.hidden_size) // self._heads, model.device
        self._varlen = runs_varlen(self._heads, size, dtype, device)

    def hidden(self, ids: torch.Tensor, types: torch.Tensor, batch: Batch) -> torch.Tensor:
        """`last_hidden_state` in float32, [b, t, d]; zeros where there is padding."""
        layout = _Layout(batch, self._varlen, ids.device)
        hidden = self._embed(ids, types, layout)
        for layer in self._layers:
            hidden = self._apply(layer, hidden, layout)
        return layout.pad(hidden).float()

    def tokens(
        self, ids: torch.Tensor, types: torch.Tensor, batch: Batch, places: NDArray[np.int64]
    ) -> torch.Tensor:
        """`last_hidden_state` of the token in `places` [b] of each text, in float32, [b, d]."""
        layout = _Layout(batch, self._varlen, ids.device)
        hidden = self._embed(ids, types, layout)
        for layer in self._layers[:-1]:
            hidden = self._apply(layer, hidden, layout)
        layer, width = self._layers[-1], hidden.shape[1]
        chosen = hidden[upload(layout.starts[:-1] + places, ids.device)]
        query = linear(chosen, layer.projection[:width], layer.projection_bias[:width])
        pair = linear(hidden, layer.projection[width:], layer.projection_bias[width:])
        return _finish(layer, chosen, layout.attend_one(query, pair, self._heads)).float()

    def _embed(self, ids: torch.Tensor, types: torch.Tensor, layout: "_Layout") -> torch.Tensor:
        """[n, d]. By transformers' own module, because positions are counted in several ways."""
        embedded = self._embeddings(input_ids=ids, token_type_ids=types)
        return layout.pack(embedded).to(self._dtype)

    def _apply(self, layer: "_Layer", hidden: torch.Tensor, layout: "_Layout") -> torch.Tensor:
        projected = linear(hidden, layer.projection, layer.projection_bias)
        return _finish(layer, hidden, layout.attend(projected, self._heads))


@dataclass(frozen=True)
class _Layer:
    """The parameters of one layer: query, key and value as one matrix [3d, d], and pairs."""

    projection: torch.Tensor
    projection_bias: torch.Tensor
    output: tuple[torch.Tensor, torch.Tensor]
    attention_norm: Any
    inner: tuple[torch.Tensor, torch.Tensor]
    activation: Any
    outer: tuple[torch.Tensor, torch.Tensor]
    norm: Any

    @classmethod
    def of(cls, layer: Any, dtype: torch.dtype) -> "_Layer":
        attention = layer.attention.self
        parts = (attention.query, attention.key, attention.value)

        def pair(module: Any) -> tuple[torch.Tensor, torch.Tensor]:
            return module.weight.detach().to(dtype), module.bias.detach().to(dtype)

        return cls(
            projection=torch.cat([part.weight.detach() for part in parts]).to(dtype),
            projection_bias=torch.cat([part.bias.detach() for part in parts]).to(dtype),
            output=pair(layer.attention.output.dense),
            attention_norm=layer.attention.output.LayerNorm.to(dtype),
            inner=pair(layer.intermediate.dense),
            activation=layer.intermediate.intermediate_act_fn,
            outer=pair(layer.output.dense),
            norm=layer.output.LayerNorm.to(dtype),
        )


def _finish(layer: _Layer, hidden: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
    """What follows attention, token by token: [n, d] and [n, d] -> [n, d]."""
    attended = layer.attention_norm(linear(attended, *layer.output).add_(hidden))
    inner = layer.activation(linear(attended, *layer.inner))
    finished: torch.Tensor = layer.norm(linear(inner, *layer.outer).add_(attended))
    return finished


class _Layout:
    """Where the tokens of a batch stand: in rows with padding, [b, t], or one after another, [n].

    `starts` [b + 1] says where each text begins among the n, and, at its end, n.
    """

    def __init__(self, batch: Batch, varlen: bool, device: torch.device) -> None:
        self._rows, self._width = batch.mask.shape
        self.starts = np.concatenate([[0], batch.mask.sum(axis=1).cumsum()])
        self._varlen = varlen
        self._places = self._mask = None
        if not batch.mask.all():
            # Counted here: counting on a GPU would wait for it.
            self._places = upload(np.flatnonzero(batch.mask), device)
            if not varlen:
                self._mask = upload(batch.mask, device)[:, None, None, :]
        if varlen:
            self._offsets = upload(self.starts.astype(np.int32), device)
            self._ones = upload(np.arange(self._rows + 1, dtype=np.int32), device)

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
