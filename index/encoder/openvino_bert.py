"""BERT in OpenVINO, for many passages on the CPU: in float32, bfloat16 or int8."""

import queue
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from ..types import Json
from .batches import Batch
from .modules import Vectors
from .openvino_graph import Ranges, build, build_observed, word_rows
from .pipeline import Precision
from .pooling import pool, single_tokens
from .quiet_openvino import openvino
from .weights import Weights

# Widths are multiples of it, so that shapes come again: OpenVINO prepares for each new one.
_GRAIN = 8
# So many things that OpenVINO prepared for shapes are kept. With its own bound of 5,000, a server
# grows by a quarter of a MB for each new shape; 64 are enough for the shapes of queries.
_PREPARED = 256
# What there is to do: many batches, by a stream of one thread for each core, so that none waits for
# another in the middle of a batch; or the one batch that there is, by all cores.
Hint = Literal["THROUGHPUT", "LATENCY"]
# Tokens of a batch: few enough that what one layer hands to the next stays in a core's cache; of
# queries, which take no longer in fewer, so that what the largest has taken, and keeps, is little.
_BATCH_TOKENS: dict[Hint, int] = {"THROUGHPUT": 1024, "LATENCY": 256}


@cache
def _core() -> Any:
    return openvino.Core()


def native_precisions() -> list[Precision]:
    """What this CPU computes faster than float32, as OpenVINO sees it."""
    capabilities = _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    known: dict[str, Precision] = {"INT8": "int8", "BF16": "bfloat16"}
    return [precision for name, precision in known.items() if name in capabilities]


def observe(
    config: Mapping[str, Json], file: Path, observed: Batch, tested: Batch
) -> tuple[Ranges, Vectors]:
    """What an int8 `OpenvinoBert` must know: the ranges over `observed`, which has no padding.

    And the last hidden state of `tested` in float32, [b, t, d].
    """
    model, names = build_observed(config, Weights(file))
    compiled = _core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    outputs = compiled(_inputs(observed, np.zeros(len(observed.order), np.int64)))
    ranges = {name: outputs[place][:, 0].copy() for place, name in enumerate(names, start=1)}
    hidden = compiled(_inputs(tested, np.zeros(len(tested.order), np.int64)))[0]
    return ranges, hidden[:, : tested.ids.shape[1]].copy()


class OpenvinoBert:
    """A BERT encoder on the CPU, for which `runs_in_numpy` holds. Threads may share it."""

    def __init__(
        self,
        config: Mapping[str, Json],
        file: Path,
        one_token: bool,
        precision: Precision,
        ranges: Ranges | None = None,
        hint: Hint = "THROUGHPUT",
    ) -> None:
        """Compile it. `ranges`, which `observe` gives, are for int8.

        With `one_token`, each text's vector is that of one token, and no other is computed.
        """
        self.precision: Precision = precision
        self.batch_tokens = _BATCH_TOKENS[hint]
        self._one_token = one_token
        weights = Weights(file)
        self._words = word_rows(weights)
        # In int8, what is no product of matrices runs in bfloat16 where the CPU has that.
        lossy = precision == "bfloat16" or (
            precision == "int8" and "bfloat16" in native_precisions()
        )
        compiled = _core().compile_model(
            build(config, weights, ranges if precision == "int8" else None, one_token, lossy),
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": "bf16" if lossy else "f32",
                "PERFORMANCE_HINT": hint,
                # Else a stream stands still while another thread of this process runs on its core.
                "ENABLE_CPU_PINNING": False,
                "CPU_RUNTIME_CACHE_CAPACITY": _PREPARED,
            },
        )
        self.in_flight = int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(self.in_flight):
            self._requests.put(compiled.create_infer_request())

    def pooled(
        self, batch: Batch, weights: NDArray[np.float32], kept: NDArray[np.bool_] | None
    ) -> tuple[Vectors, Vectors | None]:
        """Weighted sums [b, m, d] of the token vectors by `weights` [b, m, t], and their maximum.

        The maximum, [b, d], is over the tokens of `kept` [b, t]; None where that is None.
        """
        if self._one_token:
            places = single_tokens(weights)
            assert places is not None
            assert kept is None
            return self._run(batch, places), None
        hidden = self._run(batch, np.zeros(len(batch.order), np.int64))[:, : batch.ids.shape[1]]
        return pool(hidden, weights, kept)

    def _run(self, batch: Batch, places: NDArray[np.int64]) -> Vectors:
        if batch.ids.max() >= self._words:
            raise ModelError(
                f"the model knows {self._words} tokens, but its tokenizer gives token "
                f"{batch.ids.max()}: tokenizer and weights are not of one model"
            )
        request = self._requests.get()
        try:
            hidden: Vectors = request.infer(_inputs(batch, places), share_inputs=True)[0]
            return hidden
        finally:
            self._requests.put(request)


def _inputs(batch: Batch, places: NDArray[np.int64]) -> list[NDArray[Any]]:
    missing = ((0, 0), (0, -batch.ids.shape[1] % _GRAIN))
    ids, types = (np.pad(part.astype(np.int32), missing) for part in (batch.ids, batch.types))
    mask = np.pad(batch.mask.astype(np.float32), missing)
    return [ids, types, mask, places.astype(np.int32)[:, None]]
