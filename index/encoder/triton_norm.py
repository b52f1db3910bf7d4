"""Layer normalisation (Ba et al., 2016) on a GPU, by Triton: a row is read once and written once.

Imported where Triton is, which comes with torch for CUDA.
"""

import torch
import triton
import triton.language as tl
from torch.nn.functional import layer_norm

# So many numbers of several rows are one program's.
_NUMBERS = 4096


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


def runs(width: int, dtype: torch.dtype, device: torch.device) -> bool:
    """Whether Triton compiles for this device, and normalises as torch does: tried on a few rows.

    It needs a C compiler, and a GPU that it knows.
    """
    rows = torch.linspace(-3, 3, 5 * width, device=device).view(5, width).sin().to(dtype)
    weight, bias = rows[0] + 1, rows[1]
    try:
        normal = normalise(rows, weight, bias, 1e-5)
    except Exception:
        return False
    expected = layer_norm(rows.float(), (width,), weight.float(), bias.float(), 1e-5)
    return torch.allclose(normal.float(), expected, atol=0.05)


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
