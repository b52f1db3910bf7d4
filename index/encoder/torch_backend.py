"""A transformer in torch, for every model that transformers knows. Imported when first needed."""

import inspect
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tokenizers
import torch
import transformers
from numpy.typing import NDArray

from ..errors import ModelError
from .batches import Batch
from .modules import Vectors
from .pooling import single_tokens
from .torch_bert import TorchBert, fetch, runs_in_torch_bert, upload

Precision = Literal["float32", "bfloat16"]

# Weights that may be missing from a file: nothing of them reaches the last hidden state.
_UNUSED = ("pooler.",)
_UNUSED_BESIDE_ENCODER = ("decoder.", "lm_head.")

# Bytes of the largest tensor of a batch on a CPU: more, glibc gives back to the system after each
# use.
_LARGEST = 32 << 20


class TorchModel:
    """A model of transformers in float32, on one device."""

    def __init__(self, model: Any, device: str | None) -> None:
        """Move it to `device`, or to the best there is: CUDA, then MPS, then the CPU."""
        self._device = torch.device(device or best_device())
        self._model: Any = model.eval().to(self._device)
        self._takes_types = "token_type_ids" in inspect.signature(self._model.forward).parameters
        table = self._model.get_input_embeddings()
        self._vocabulary = getattr(table, "num_embeddings", None)
        # A GPU would stand idle with so few as a CPU takes.
        self.batch_tokens = 2048 if self._device.type == "cpu" else 131072

    def _run(self, batch: Batch) -> Any:
        """What the model gives for a batch. ModelError where it does not know one of the tokens."""
        self._refuse_unknown(batch)
        inputs = {
            "input_ids": upload(batch.ids, self._device),
            "attention_mask": upload(batch.mask.astype(np.int64), self._device),
        }
        if self._takes_types:
            inputs["token_type_ids"] = upload(batch.types, self._device)
        return self._model(**inputs)

    def _refuse_unknown(self, batch: Batch) -> None:
        if self._vocabulary is not None and batch.ids.max() >= self._vocabulary:
            raise ModelError(
                f"the model knows {self._vocabulary} tokens, but its tokenizer gives token "
                f"{batch.ids.max()}: tokenizer and weights are not of one model"
            )


class TorchTransformer(TorchModel):
    """A model folder's transformer, for the vectors of its tokens. Threads may share it.

    Vectors of texts in "bfloat16" have a cosine of 0.999 or more to those in "float32". A BERT runs
    through `TorchBert`, any other model through transformers, for bfloat16 under torch's autocast.
    """

    def __init__(
        self, folder: Path, device: str | None = None, precision: Precision | None = None
    ) -> None:
        """Load it; without `precision` in bfloat16 on a GPU that computes in it, else in float32.

        ModelError where transformers cannot load it, or where weights are missing.
        """
        model, missing = load_model(transformers.AutoModel, folder)
        unused = _UNUSED + (_UNUSED_BESIDE_ENCODER if model.config.is_encoder_decoder else ())
        refuse_missing(folder, [name for name in missing if not name.startswith(unused)])
        if model.config.is_encoder_decoder:
            model = model.get_encoder()
        super().__init__(model, device)
        self.precision: Precision = precision or best_precision(self._device)
        # A GPU computes one batch while the next ones are brought to it.
        self.in_flight = 3 if self._device.type == "cuda" else 1
        self._bert: TorchBert | None = None
        if runs_in_torch_bert(self._model):
            if self.precision == "bfloat16" and self._device.type == "cpu":
                # A step takes so little time that the cores mostly wait for each other: as many
                # tokens as `_LARGEST` allows, where each has 4 d numbers of 2 bytes.
                most = _LARGEST // (8 * self._model.config.hidden_size)
                self.batch_tokens = 1 << (most.bit_length() - 1)
            self._bert = TorchBert(self._model, getattr(torch, self.precision))
            self._model = None

    def pooled(
        self, batch: Batch, weights: NDArray[np.float32], kept: NDArray[np.bool_] | None
    ) -> tuple[Vectors, Vectors | None]:
        """Weighted sums [b, m, d] of the token vectors by `weights` [b, m, t], and their maximum.

        The maximum, [b, d], is over the tokens of `kept` [b, t]; None where that is None. Raises
        MemoryError where the device's memory is too small for the batch.
        """
        try:
            with torch.inference_mode():
                return self._pooled(batch, weights, kept)
        except torch.cuda.OutOfMemoryError as error:
            raise MemoryError(str(error)) from None

    def _pooled(
        self, batch: Batch, weights: NDArray[np.float32], kept: NDArray[np.bool_] | None
    ) -> tuple[Vectors, Vectors | None]:
        places = single_tokens(weights) if kept is None else None
        if self._bert and places is not None:
            self._refuse_unknown(batch)
            return fetch(self._bert.tokens(batch, places))[:, None], None
        hidden = self._hidden(batch)
        sums = upload(weights, self._device) @ hidden
        if kept is None:
            return fetch(sums), None
        hide = ~upload(kept, self._device).unsqueeze(-1)
        return fetch(sums), fetch(hidden.masked_fill(hide, float("-inf")).amax(dim=1))

    def forward(self, batch: Batch) -> Vectors:
        """`last_hidden_state`, [b, t, d]; what stands at padding means nothing."""
        with torch.inference_mode():
            return fetch(self._hidden(batch))

    def _hidden(self, batch: Batch) -> torch.Tensor:
        if self._bert:
            self._refuse_unknown(batch)
            return self._bert.hidden(batch)
        with self._autocast():
            hidden: torch.Tensor = self._run(batch).last_hidden_state
        return hidden.float()

    def _autocast(self) -> AbstractContextManager[None]:
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self._device.type, torch.bfloat16)


def load_model(kind: Any, folder: Path, **options: object) -> tuple[Any, list[str]]:
    """A folder's model as an auto class of transformers makes it, and the weights it lacks.

    Weights that are missing are random: it is for the caller to refuse them. Raises ModelError
    where transformers cannot load it, or where weights have another shape than config.json says.
    """
    _be_quiet()
    try:
        model, report = kind.from_pretrained(
            folder,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            # Refused below, by name.
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **options,
        )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, TypeError) as error:
        raise ModelError(f"{folder} cannot be loaded by transformers: {error}") from error
    refuse_missing(folder, [str(key) for key in report["mismatched_keys"]])
    return model, list(report["missing_keys"])


def refuse_missing(folder: Path, names: list[str]) -> None:
    """ModelError where `names`, of weights that are missing or of another shape, is not empty."""
    if names:
        raise ModelError(
            f"{folder}: the weights do not fit config.json, missing or of other shape: "
            + ", ".join(names[:3])
        )


def best_device() -> str:
    """CUDA, then MPS, then the CPU."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def best_precision(device: torch.device) -> Precision:
    """bfloat16 on a GPU with circuits for it (NVIDIA's from 8.0 on), float32 anywhere else."""
    if device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0):
        return "bfloat16"
    return "float32"


def other_gpus() -> list[str]:
    """The GPUs beside the one that `best_device` means."""
    return [f"cuda:{place}" for place in range(1, torch.cuda.device_count())]


def convert_tokenizer(folder: Path) -> tokenizers.Tokenizer:
    """The tokenizer of a folder that has only a vocabulary, by way of transformers.

    Raises ModelError where transformers cannot make a fast tokenizer of it.
    """
    tokenizer = load_tokenizer(folder)
    backend: tokenizers.Tokenizer | None = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ModelError(f"{folder}: no fast tokenizer can be made of its vocabulary")
    return backend


def load_tokenizer(folder: Path) -> Any:
    """A folder's tokenizer as transformers makes it. Raises ModelError where it cannot."""
    _be_quiet()
    try:
        return transformers.AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, ImportError, AttributeError, TypeError) as error:
        raise ModelError(
            f"{folder}: no tokenizer can be made of its vocabulary: {error}"
        ) from error


def _be_quiet() -> None:
    """Keep transformers' bars and reports off stderr, which is the command line's."""
    reports: Any = transformers.utils.logging
    reports.disable_progress_bar()
    reports.set_verbosity_error()
