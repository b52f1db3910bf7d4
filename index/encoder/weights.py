"""Reading safetensors: memory-mapped, so that only the pages which are used are read.

The format is a length, a JSON header and the values
(https://huggingface.co/docs/safetensors#format). NumPy has no bfloat16, and the library's own NumPy
reader copies each tensor whole; an embedding table of which a query needs ten rows should not be.
"""

import json
import math
import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError

_DTYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16}
_LARGEST_HEADER = 100_000_000
_IN_CACHE = 1 << 16  # so many numbers are converted at once
_NO_COPIED_SIGN = np.int32(0x8FFFE000 - (1 << 32))  # widening to 32 bits has copied it
_INFINITE = 65536.0  # what the exponent of infinities, and of what is no number, would stand for

AGAIN = "fetch or copy the model again"
CONVERT = (
    "clsearch reads safetensors only, because a pickle can run code. If you trust it, convert it:\n"
    '  python -c "from transformers import {kind}; '
    "{kind}.from_pretrained('{folder}').save_pretrained('{folder}', safe_serialization=True)\""
)


class Weights:
    """The tensors of one safetensors file. Keeps the file mapped as long as it lives."""

    def __init__(self, path: Path) -> None:
        """Map the file and read its header. Raises ModelError where it is no safetensors file."""
        self.path = path
        try:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            length = int.from_bytes(self._map[:8], "little")
            if length > min(_LARGEST_HEADER, len(self._map) - 8):
                raise ValueError("its header is longer than the file")
            header = json.loads(self._map[8 : 8 + length])
            header.pop("__metadata__", None)
            self._start = 8 + length
            self._tensors = {name: self._checked(entry) for name, entry in header.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"{path} cannot be read as safetensors ({error}): {AGAIN}") from error

    def _checked(self, entry: dict[str, Any]) -> tuple[str, tuple[int, ...], int, int]:
        dtype, shape = str(entry["dtype"]), tuple(int(size) for size in entry["shape"])
        start, end = (int(offset) for offset in entry["data_offsets"])
        known = _DTYPES.get(dtype)
        if not 0 <= start <= end <= len(self._map) - self._start:
            raise ValueError("a tensor lies outside of the file: it is cut short")
        if known is not None and math.prod(shape) * np.dtype(known).itemsize != end - start:
            raise ValueError("a tensor's size is not that of its shape")
        return dtype, shape, start, end

    def __contains__(self, name: str) -> bool:
        """Whether a tensor of that name is there."""
        return name in self._tensors

    def names(self) -> list[str]:
        """The names of all tensors."""
        return list(self._tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor."""
        return self._tensors[name][1]

    def readable(self, name: str) -> bool:
        """Whether a tensor is there, of floating point numbers that NumPy can be given."""
        return name in self._tensors and self._tensors[name][0] in _DTYPES

    def array(self, name: str) -> NDArray[np.float32]:
        """A whole tensor as float32. Raises ModelError where the file has none of that name."""
        return self._floats(name, self._raw(name))

    def arrays(self, names: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Several tensors as float32, in one piece of memory. Errors as of `array`.

        The system gives one large piece in huge pages, in a third of the time of many small ones.
        """
        raw = {name: self._raw(name) for name in names}
        memory = np.empty(sum(values.size for values in raw.values()), np.float32)
        arrays = {}
        start = 0
        for name, values in raw.items():
            part = memory[start : start + values.size]
            start += values.size
            self._convert(name, values.reshape(-1), part)
            arrays[name] = part.reshape(values.shape)
        if hasattr(mmap, "MADV_DONTNEED"):  # the halves are read again where they are asked for
            self._map.madvise(mmap.MADV_DONTNEED)
        return arrays

    def stored(self, name: str) -> tuple[str, NDArray[np.generic]]:
        """How a tensor's numbers are stored (F16, ...), and these, as long as `self` lives."""
        return self._tensors[name][0], self._raw(name)

    def rows(self, name: str, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Some rows of a tensor as float32, [..., d]: only these are read and converted.

        Raises ModelError where an index is out of range, which is a tokenizer of another model.
        """
        self.refuse_beyond(name, indices)
        return self._floats(name, self._raw(name)[indices])

    def refuse_beyond(self, name: str, indices: NDArray[np.int64]) -> None:
        """Raise ModelError where an index is that of no row: the tokenizer is another model's."""
        rows = self._tensors[name][1][0]
        wrong = indices[(indices < 0) | (indices >= rows)]
        if wrong.size:
            raise ModelError(
                f"{self.path}: {name} has {rows} rows, but the tokenizer gives token "
                f"{int(wrong.max())}: tokenizer and weights are not of one model"
            )

    def _raw(self, name: str) -> NDArray[np.generic]:
        if not self.readable(name):
            raise ModelError(f"{self.path} has no tensor {name!r} of a floating point type")
        dtype, shape, start, _ = self._tensors[name]
        count = math.prod(shape)
        values = np.frombuffer(self._map, _DTYPES[dtype], count, self._start + start)
        return values.reshape(shape)

    def _floats(self, name: str, raw: NDArray[np.generic]) -> NDArray[np.float32]:
        floats = np.empty(raw.shape, np.float32)
        self._convert(name, np.ascontiguousarray(raw).reshape(-1), floats.reshape(-1))
        return floats

    def _convert(self, name: str, raw: NDArray[np.generic], floats: NDArray[np.float32]) -> None:
        """Write numbers [n] of a tensor into `floats` [n]."""
        if self._tensors[name][0] == "BF16":
            # A bfloat16 is the upper half of a float32.
            np.left_shift(raw, 16, out=floats.view(np.uint32), dtype=np.uint32)
        elif raw.dtype == np.float16:
            half_to_float(raw, floats)
        else:
            floats[:] = raw


def half_to_float(halves: NDArray[np.generic], floats: NDArray[np.float32]) -> None:
    """Write float16 [n] as float32 [n], exactly, in a third of the time of NumPy's own conversion.

    Sign, exponent and fraction of a half, put where a float32 has them, are the number times
    2^-112: the exponents' biases are 15 and 127.
    """
    bits_of_halves = halves.view(np.int16)
    for start in range(0, len(halves), _IN_CACHE):
        part = floats[start : start + _IN_CACHE]
        bits = part.view(np.int32)
        bits[:] = bits_of_halves[start : start + _IN_CACHE]
        bits <<= 13
        bits &= _NO_COPIED_SIGN
        part *= np.float32(2.0**112)
        if part.max() >= _INFINITE or part.min() <= -_INFINITE:
            part[:] = halves[start : start + _IN_CACHE]


def weight_files(folder: Path, kind: str = "AutoModel") -> list[Path]:
    """The safetensors files that hold a folder's model: one, or the shards that its index names.

    Raises ModelError where there are none, saying what the folder has instead; `kind` is the class
    of transformers that converts it.
    """
    single = folder / "model.safetensors"
    if single.is_file():
        return [single]
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            shards = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
            files = [folder / shard for shard in shards]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"{index} cannot be read: {error}") from error
        missing = [file.name for file in files if not file.is_file() or file.parent != folder]
        if missing or not files:
            raise ModelError(
                f"{folder}: the weights are incomplete, {', '.join(missing) or 'every shard'} is "
                f"missing: {AGAIN}"
            )
        return files
    pickles = sorted(
        file.name
        for file in folder.iterdir()
        if file.suffix in {".bin", ".pt", ".pth", ".ckpt", ".pkl"}
    )
    if pickles:
        raise ModelError(
            f"{folder} holds its weights as pickle only ({', '.join(pickles)}). "
            + CONVERT.format(folder=folder, kind=kind)
        )
    raise ModelError(
        f"{folder} has no weights: model.safetensors is missing, and clsearch reads nothing else; "
        + AGAIN
    )
