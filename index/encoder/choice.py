"""Which engine encodes many passages on a CPU: the fastest of those that keep what is promised."""

import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..config import SAMPLE
from .batches import Batch, batches
from .declaration import Declaration
from .numpy_bert import runs_in_numpy
from .pipeline import Backend, Precision
from .pooling import concatenate, pool, pooling_weights
from .tokenizer import Tokenizer

if TYPE_CHECKING:
    from .openvino_bert import OpenvinoBert

# The least cosine of a passage's vector to that of float32.
PROMISED: dict[Precision, float] = {"int8": 0.99, "bfloat16": 0.999, "float32": 0.99999}

# Poolings that take one token's vector.
ONE_TOKEN = (("cls",), ("lasttoken",))

# What is observed for int8, and what each precision is tested on: texts, tokens of each.
_OBSERVED = (16, 64)
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
) -> "Backend | None":
    """The engine for many passages on this CPU, in `precision` or in the fastest that is promised.

    None where that is torch in float32, or NumPy. Takes a second; the same model gives the same
    engine, but for precisions that are nearly as fast as each other.
    """
    if precision != "float32" and _runs_in_openvino(declaration, files):
        return _openvino(declaration, files[0], tokenizer, precision)
    if precision == "bfloat16" or (precision is None and _FAST_BFLOAT16 & _cpu_flags()):
        from .torch_backend import TorchTransformer

        return TorchTransformer(declaration.folder, "cpu", "bfloat16")
    return None


def quick(declaration: Declaration, files: list[Path]) -> "OpenvinoBert | None":
    """The engine for a few texts at a time, in float32; None where OpenVINO does not run the model.

    It takes half the time of NumPy for a query, but some tenths of a second to be made.
    """
    if not _runs_in_openvino(declaration, files):
        return None
    from .openvino_bert import OpenvinoBert

    one_token = declaration.modes in ONE_TOKEN
    return OpenvinoBert(declaration.config, files[0], one_token, "float32", hint="LATENCY")


def _runs_in_openvino(declaration: Declaration, files: list[Path]) -> bool:
    return bool(
        find_spec("openvino")
        and declaration.config.get("model_type") == "bert"
        and runs_in_numpy(declaration.config, files)
    )


def _openvino(
    declaration: Declaration, file: Path, tokenizer: Tokenizer, precision: Precision | None
) -> "OpenvinoBert":
    """OpenVINO in `precision`, or in the fastest for which fixed texts keep what is promised."""
    from .openvino_bert import OpenvinoBert, native_precisions, observe

    def make(precision: Precision) -> OpenvinoBert:
        return OpenvinoBert(declaration.config, file, one_token, precision, ranges)

    one_token = declaration.modes in ONE_TOKEN
    observed, tested = _samples(tokenizer, declaration)
    ranges, hidden = observe(declaration.config, file, observed, tested)
    if precision is not None:
        return make(precision)
    weights = pooling_weights(tested.mask, declaration.modes)
    kept = tested.mask if "max" in declaration.modes else None
    exact = concatenate(declaration.modes, *pool(hidden, weights, kept))
    best, least = None, float("inf")
    for candidate in native_precisions():
        engine = make(candidate)
        vectors = concatenate(declaration.modes, *engine.pooled(tested, weights, kept))
        if _cosines(vectors, exact).min() < PROMISED[candidate]:
            continue
        seconds = min(_seconds(engine, tested, weights, kept) for _ in range(3))
        if seconds < least:
            best, least = engine, seconds
    return best or make("float32")


def _samples(tokenizer: Tokenizer, declaration: Declaration) -> tuple[Batch, Batch]:
    """Texts of the shipped sample in two batches without padding: to observe, and to test on.

    Fixed, so that a model has the same vectors in every run.
    """
    files = sorted(file for file in (SAMPLE / "documents").rglob("*") if file.is_file())
    text = "\n".join(file.read_text("utf-8") for file in files)
    made: list[Batch] = []
    for offset, (count, width) in enumerate((_OBSERVED, _TESTED)):
        size = width * _CHARACTERS
        starts = np.linspace(offset * size // 2, len(text) - size, count, dtype=int)
        texts = [declaration.passage_prompt + text[start : start + size] for start in starts]
        tokens = tokenizer.encode(texts, min(width, declaration.passage_length))
        made += batches(tokens, tokenizer.pad, count * width)
    return made[0], made[1]


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
    # Of CPU time: what else runs on this machine takes from the clock, now here, now there.
    began = time.process_time()
    engine.pooled(batch, weights, kept)
    return time.process_time() - began


def engine_name(backend: Backend) -> str:
    """`OpenVINO, int8`: what encodes and how, to be told to people."""
    kind = type(backend).__name__.lower()
    names = ("NumPy", "OpenVINO", "torch")
    library = next(name for name in names if kind.startswith(name.lower()))
    return f"{library}, {getattr(backend, 'precision', 'float32')}"


def _cosines(some: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(some, axis=1) * np.linalg.norm(others, axis=1)
    cosines: NDArray[np.float32] = (some * others).sum(axis=1) / lengths
    return cosines
