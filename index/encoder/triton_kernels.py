"""Parts of BERT's forward pass on a GPU, by Triton, which comes with torch for CUDA.

Layer normalisation (Ba et al., 2016), of which a row is read once and written once. Attention of
texts without padding, its scores never written (FlashAttention-2, Dao, 2023): for the small heads
of small models faster than the general one.
"""

import math

import torch
import triton
import triton.language as tl
from torch.nn.functional import layer_norm, scaled_dot_product_attention

# Of heads of so many numbers `attend` was found to be faster.
HEAD_SIZES = (32, 64)

# So many numbers of several rows are one program's.
_NUMBERS = 4096
# So many queries are one program's, and so many keys are read at once.
_QUERIES, _KEYS = 128, 64


def normalise(
    rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float
) -> torch.Tensor:
    """Each row of [n, d], contiguous: (x - mean) / sqrt(variance + eps) * weight + bias.

    Computed in float32, and rounded to the precision of `rows` at the end.
    """
    count, width = rows.shape
    normal = torch.empty_like(rows)
    block, together = _shape(width)
    _normalise_rows[(triton.cdiv(count, together),)](
        rows, weight, bias, normal, count, width, eps, ROWS=together, BLOCK=block
    )
    return normal


def embed(
    places: torch.Tensor,
    tables: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    weight: torch.Tensor,
    bias: torch.Tensor,
    eps: float,
    dtype: torch.dtype,
) -> torch.Tensor:
    """The normalised sum of a row of each of three tables [m, d], for n tokens: [n, d] in `dtype`.

    `places`, int32 [3, n], says which rows: of token ids, of positions, of token types.
    """
    count, width = places.shape[1], weight.shape[0]
    embedded = torch.empty(count, width, dtype=dtype, device=places.device)
    block, together = _shape(width)
    _embed_rows[(triton.cdiv(count, together),)](
        places, *tables, weight, bias, embedded, count, width, eps, ROWS=together, BLOCK=block
    )
    return embedded


def attend(projected: torch.Tensor, starts: torch.Tensor, longest: int, heads: int) -> torch.Tensor:
    """Attention [n, d] of texts that stand one after another, each to itself.

    `projected` [n, 3d], contiguous, holds query, key and value of each token; `starts`, int32
    [b + 1], says where each text begins, and, at its end, n; `longest` is the most tokens of one.
    """
    count, width = projected.shape[0], projected.shape[1] // 3
    size = width // heads
    mixed = projected.new_empty(count, width)
    blocks = triton.cdiv(longest, _QUERIES)
    _attend_texts[((len(starts) - 1) * blocks * heads,)](
        projected,
        starts,
        mixed,
        math.log2(math.e) / math.sqrt(size),
        blocks,
        HEADS=heads,
        SIZE=size,
        QUERIES=_QUERIES,
        KEYS=_KEYS,
        num_warps=4,
        num_stages=3,
    )
    return mixed


def runs(width: int, heads: int, dtype: torch.dtype, device: torch.device) -> bool:
    """Whether Triton compiles for this device, and computes as torch does: tried on a few rows.

    It needs a C compiler, and a GPU that it knows.
    """
    rows = torch.linspace(-3, 3, 15 * width, device=device).view(5, 3 * width).sin().to(dtype)
    first, weight, bias = (part.contiguous() for part in rows.chunk(3, dim=1))
    starts = torch.tensor([0, 3, 5], dtype=torch.int32, device=device)
    try:
        pairs = [
            (
                normalise(first, weight[0], bias[0], 1e-5),
                layer_norm(first, (width,), weight[0], bias[0], 1e-5),
            )
        ]
        if width // heads in HEAD_SIZES:
            query, key, value = rows.view(5, 3, heads, -1).permute(1, 2, 0, 3)
            mixed = [
                scaled_dot_product_attention(*(part[:, text] for part in (query, key, value)))
                for text in (slice(3), slice(3, 5))
            ]
            expected = torch.cat(mixed, dim=1).transpose(0, 1).flatten(1)
            pairs.append((attend(rows, starts, 3, heads), expected))
    except Exception:  # whatever its compiler and the system's raise
        return False
    return all(
        torch.allclose(found.float(), expected.float(), atol=0.05) for found, expected in pairs
    )


def _shape(width: int) -> tuple[int, int]:
    """Numbers of a row with what is left empty, and how many rows are one program's."""
    block: int = triton.next_power_of_2(width)
    return block, max(1, _NUMBERS // block)


@triton.jit
def _normalise_rows(
    rows,
    weight,
    bias,
    normal,
    count,
    width,
    eps,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, BLOCK)
    inside = (row < count)[:, None] & (column < width)[None, :]
    at = row.to(tl.int64)[:, None] * width + column[None, :]
    x = tl.load(rows + at, mask=inside, other=0.0).to(tl.float32)
    y = _normalised(x, inside, column, weight, bias, width, eps)
    tl.store(normal + at, y.to(normal.dtype.element_ty), mask=inside)


@triton.jit
def _embed_rows(
    places,
    tokens,
    positions,
    types,
    weight,
    bias,
    embedded,
    count,
    width,
    eps,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, BLOCK)
    known = row < count
    inside = known[:, None] & (column < width)[None, :]
    token = tl.load(places + row, mask=known, other=0).to(tl.int64)
    position = tl.load(places + count + row, mask=known, other=0).to(tl.int64)
    kind = tl.load(places + 2 * count + row, mask=known, other=0).to(tl.int64)
    x = tl.load(tokens + token[:, None] * width + column[None, :], mask=inside, other=0.0)
    x += tl.load(positions + position[:, None] * width + column[None, :], mask=inside, other=0.0)
    x += tl.load(types + kind[:, None] * width + column[None, :], mask=inside, other=0.0)
    y = _normalised(x, inside, column, weight, bias, width, eps)
    at = row.to(tl.int64)[:, None] * width + column[None, :]
    tl.store(embedded + at, y.to(embedded.dtype.element_ty), mask=inside)


@triton.jit
def _normalised(x, inside, column, weight, bias, width, eps):
    mean = tl.sum(x, axis=1) / width
    x = tl.where(inside, x - mean[:, None], 0.0)
    scale = tl.rsqrt(tl.sum(x * x, axis=1) / width + eps)
    factor = tl.load(weight + column, mask=column < width, other=0.0).to(tl.float32)
    added = tl.load(bias + column, mask=column < width, other=0.0).to(tl.float32)
    return x * scale[:, None] * factor[None, :] + added[None, :]


@triton.jit
def _attend_texts(
    projected,
    starts,
    mixed,
    scale,  # of the scores, whose powers are taken of 2
    blocks,
    HEADS: tl.constexpr,
    SIZE: tl.constexpr,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
):
    program = tl.program_id(0)
    head = program % HEADS
    block = program // HEADS % blocks
    text = program // HEADS // blocks
    first = tl.load(starts + text).to(tl.int64)
    length = (tl.load(starts + text + 1) - first).to(tl.int32)
    if block * QUERIES < length:
        column = tl.arange(0, SIZE)
        row = block * QUERIES + tl.arange(0, QUERIES)
        of_text = projected + first * (3 * HEADS * SIZE) + head * SIZE
        rows = of_text + row[:, None] * (3 * HEADS * SIZE) + column[None, :]
        query = tl.load(rows, mask=(row < length)[:, None], other=0.0)
        highest = tl.full([QUERIES], -1e30, tl.float32)
        total = tl.zeros([QUERIES], tl.float32)
        summed = tl.zeros([QUERIES, SIZE], tl.float32)
        for start in range(0, length, KEYS):
            place = start + tl.arange(0, KEYS)
            there = place < length
            at = of_text + place[:, None] * (3 * HEADS * SIZE) + column[None, :]
            key = tl.load(at + HEADS * SIZE, mask=there[:, None], other=0.0)
            value = tl.load(at + 2 * HEADS * SIZE, mask=there[:, None], other=0.0)
            scores = tl.dot(query, tl.trans(key)) * scale
            scores = tl.where(there[None, :], scores, -1e30)
            higher = tl.maximum(highest, tl.max(scores, axis=1))
            powers = tl.exp2(scores - higher[:, None])
            # What was summed so far was taken off a lower maximum.
            factor = tl.exp2(highest - higher)
            total = total * factor + tl.sum(powers, axis=1)
            summed = tl.dot(powers.to(value.dtype), value, summed * factor[:, None])
            highest = higher
        at = mixed + (first + row)[:, None] * (HEADS * SIZE) + head * SIZE + column[None, :]
        normal = summed / total[:, None]
        tl.store(at, normal.to(mixed.dtype.element_ty), mask=(row < length)[:, None])
