"""Which engine encodes many passages on a CPU: the fastest of those that keep what is promised."""

import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..config import SAMPLE
from ..types import Json
from .batches import Batch, batches
from .bert_family import is_bert
from .declaration import Declaration
from .kernels import kernels
from .native_bert import NativeBert, precisions
from .pipeline import Backend, Precision
from .pooling import concatenate, pooling_weights
from .tokenizer import Tokenizer

# The least cosine of a passage's vector to that of float32.
PROMISED: dict[Precision, float] = {"int8": 0.99, "bfloat16": 0.999, "float32": 0.99999}

# What each precision is tested on: texts, tokens of each.
_TESTED = (4, 128)
# Characters of a text that has so many tokens in any tokenizer that knows English words.
_CHARACTERS = 12

# A CPU that multiplies in bfloat16: flags as Linux names them, for x86 and for Arm.
_FAST_BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}

# Where a driver of a GPU shows itself: NVIDIA's, AMD's.
_GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd")


def may_have_gpu() -> bool:
    """Whether torch might find a GPU: only importing it, which takes seconds, would tell surely."""
    return sys.platform != "linux" or any(Path(device).exists() for device in _GPU_DEVICES)


def choose(
    declaration: Declaration, files: list[Path], tokenizer: Tokenizer, precision: Precision | None
) -> Backend | None:
    """The engine for many passages on this CPU, in `precision` or in the fastest that is promised.

    None where that is the one for a few, in float32. Takes half a second; the same model gives the
    same engine, but for precisions that are nearly as fast as each other.
    """
    if runs_native(declaration.config, files):
        if precision is None:
            return _fastest(declaration, files[0], tokenizer)
        if precision in precisions():
            return NativeBert(declaration.config, files[0], precision)
    if precision == "bfloat16" or (precision is None and _FAST_BFLOAT16 & _cpu_flags()):
        from .torch_backend import TorchTransformer

        return TorchTransformer(declaration.folder, "cpu", "bfloat16")
    return None


def runs_native(config: Mapping[str, Json], files: list[Path]) -> bool:
    """Whether there are kernels for this CPU, and they are the model's."""
    return kernels() is not None and is_bert(config, files)


def _fastest(declaration: Declaration, file: Path, tokenizer: Tokenizer) -> NativeBert | None:
    """Of the precisions for which fixed texts keep what is promised; None where that is float32."""
    tested = _sample(tokenizer, declaration)
    weights = pooling_weights(tested.mask, declaration.modes)
    kept = tested.mask if "max" in declaration.modes else None

    def vectors(engine: NativeBert) -> NDArray[np.float32]:
        return concatenate(declaration.modes, *engine.pooled(tested, weights, kept))

    best, least = None, float("inf")
    exact = vectors(NativeBert(declaration.config, file, "float32"))
    for candidate in precisions():
        engine = NativeBert(declaration.config, file, candidate)
        if not _cosines(vectors(engine), exact).min() >= PROMISED[candidate]:  # or no number
            continue
        seconds = min(_seconds(engine, tested, weights, kept) for _ in range(3))
        if seconds < least:
            best, least = engine, seconds
    return best


def _sample(tokenizer: Tokenizer, declaration: Declaration) -> Batch:
    """Texts of the shipped sample, without padding: fixed, as is the choice then."""
    files = sorted(file for file in (SAMPLE / "documents").rglob("*") if file.is_file())
    text = "\n".join(file.read_text("utf-8") for file in files)
    count, width = _TESTED
    size = width * _CHARACTERS
    starts = np.linspace(0, len(text) - size, count, dtype=int)
    texts = [declaration.passage_prompt + text[start : start + size] for start in starts]
    tokens = tokenizer.encode(texts, min(width, declaration.passage_length))
    [batch] = batches(tokens, tokenizer.pad, count * width)
    return batch


def _cpu_flags() -> set[str]:
    try:
        return set(Path("/proc/cpuinfo").read_text("utf-8").split())
    except OSError:
        return set()


def _seconds(
    engine: Backend,
    batch: Batch,
    weights: NDArray[np.float32],
    kept: NDArray[np.bool_] | None,
) -> float:
    # Of this thread's CPU time: what else runs, here too, takes from the clock, now more, now less.
    began = time.thread_time()
    engine.pooled(batch, weights, kept)
    return time.thread_time() - began


def engine_name(backend: Backend) -> str:
    """`native, int8`: what encodes and how, to be told to people."""
    kind = type(backend).__name__.lower()
    names = ("native", "NumPy", "torch")
    library = next(name for name in names if kind.startswith(name.lower()))
    return f"{library}, {getattr(backend, 'precision', 'float32')}"


def _cosines(some: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(some, axis=1) * np.linalg.norm(others, axis=1)
    cosines: NDArray[np.float32] = (some * others).sum(axis=1) / lengths
    return cosines
