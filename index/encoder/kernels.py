"""The functions of `bert.c`, which the package was built with, for what this CPU is.

Where no compiler was there, or the CPU is another, there are none: NumPy and torch work then.
"""

from ctypes import POINTER, Structure, c_double, c_int64, c_void_p, sizeof
from dataclasses import dataclass
from functools import cache
from typing import Any

from ..compiled import load

BUILDS = ("avx512", "avx2", "neon")  # the faster one first
_RUNS, _DOT, _BFLOAT16, _TILES, _INT8 = 1, 2, 4, 8, 16  # of what `abilities` gives


class Tensor(Structure):
    """As the file of C says."""

    _fields_ = (("numbers", c_void_p), ("type", c_int64))


class Product(Structure):
    """As the file of C says."""

    _fields_ = (
        ("weight", Tensor),
        ("bias", c_void_p),
        ("scale", c_void_p),
        ("shift", c_void_p),
        ("outputs", c_int64),
        ("inputs", c_int64),
        ("panelled", c_int64),
    )


class Norm(Structure):
    """As the file of C says."""

    _fields_ = (("scale", c_void_p), ("bias", c_void_p))


class Layer(Structure):
    """As the file of C says."""

    _fields_ = (
        ("query", Product),
        ("key", Product),
        ("value", Product),
        ("output", Product),
        ("attention_norm", Norm),
        ("inner", Product),
        ("outer", Product),
        ("norm", Norm),
    )


class Model(Structure):
    """As the file of C says."""

    _fields_ = (
        ("layers", POINTER(Layer)),
        ("words", Tensor),
        ("places", Tensor),
        ("types", Tensor),
        ("last_key", Tensor),
        ("last_value", Tensor),
        ("norm", Norm),
        ("depth", c_int64),
        ("size", c_int64),
        ("heads", c_int64),
        ("inner", c_int64),
        ("precision", c_int64),
        ("activation", c_int64),
        ("dot", c_int64),
        ("bfloat16", c_int64),
        ("tiles", c_int64),
        ("epsilon", c_double),
    )


@dataclass(frozen=True)
class Kernels:
    """The library, and what of it this CPU runs.

    `int8`: products in it take fewer instructions than in float32. `dot`: there is one for four of
    their bytes, all 8 bits of a weight: x86's VNNI, Arm's dot product.
    """

    library: Any
    dot: bool
    bfloat16: bool
    tiles: bool
    int8: bool

    @classmethod
    def built_for(cls, name: str) -> "Kernels | None":
        """Those for one of `BUILDS`; None where they were not built, or do not run here."""
        library = load(
            f"{__package__}.bert_{name}",
            sizeof(Model) << 32 | sizeof(Layer),
            {
                "abilities": (c_int64, ()),
                "room": (c_int64, (POINTER(Model), c_int64, c_int64)),
                "encode": (None, (POINTER(Model), *[c_void_p] * 4, c_int64, *[c_void_p] * 3)),
            },
        )
        if library is None:
            return None
        has = library.abilities()
        if not has & _RUNS:
            return None
        return cls(library, *(bool(has & bit) for bit in (_DOT, _BFLOAT16, _TILES, _INT8)))


@cache
def kernels() -> Kernels | None:
    """The fastest that run on this CPU."""
    return next(filter(None, map(Kernels.built_for, BUILDS)), None)
