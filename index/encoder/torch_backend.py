"""A transformer in torch, for every model that transformers knows. Imported when first needed."""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import torch
import transformers
from numpy.typing import NDArray

from ..errors import ModelError
from .batches import Batch
from .modules import Vectors

# Weights that may be missing from a file: nothing of them reaches the last hidden state.
_UNUSED = ("pooler.",)
_UNUSED_BESIDE_ENCODER = ("decoder.", "lm_head.")


class TorchTransformer:
    """A model folder's transformer in float32, on one device."""

    def __init__(self, folder: Path, device: str | None) -> None:
        """Load it on `device`, or on the best there is: CUDA, then MPS, then the CPU.

        Raises ModelError where transformers cannot, or where weights are missing.
        """
        _be_quiet()
        self._device = torch.device(device or best_device())
        try:
            model, report = transformers.AutoModel.from_pretrained(
                folder,
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
        except (OSError, ValueError, KeyError, ImportError, RuntimeError, TypeError) as error:
            raise ModelError(f"{folder} cannot be loaded by transformers: {error}") from error
        unused = _UNUSED + (_UNUSED_BESIDE_ENCODER if model.config.is_encoder_decoder else ())
        missing = [name for name in report["missing_keys"] if not name.startswith(unused)]
        if missing or report["mismatched_keys"]:
            names = ", ".join([*missing, *map(str, report["mismatched_keys"])][:3])
            raise ModelError(
                f"{folder}: the weights do not fit config.json, missing or of other shape: {names}"
            )
        if model.config.is_encoder_decoder:
            model = model.get_encoder()
        self._model: Any = model.eval().to(self._device)
        self._takes_types = "token_type_ids" in inspect.signature(self._model.forward).parameters
        table = self._model.get_input_embeddings()
        self._vocabulary = getattr(table, "num_embeddings", None)
        # On a CPU the largest tensor of a batch stays below 32 MB, from where on glibc gives memory
        # back to the system after each use; a GPU would stand idle with so few.
        self.batch_tokens = 2048 if self._device.type == "cpu" else 65536

    def pooled(
        self, batch: Batch, weights: NDArray[np.float32], kept: NDArray[np.bool_] | None
    ) -> tuple[Vectors, Vectors | None]:
        """Weighted sums [b, m, d] of the token vectors by `weights` [b, m, t], and their maximum.

        The maximum, [b, d], is over the tokens of `kept` [b, t]; None where that is None.
        """
        with torch.inference_mode():
            hidden = self._hidden(batch)
            sums = torch.from_numpy(weights).to(self._device) @ hidden
            if kept is None:
                return sums.cpu().numpy(), None
            hide = ~torch.from_numpy(kept).to(self._device).unsqueeze(-1)
            maximum = hidden.masked_fill(hide, float("-inf")).amax(dim=1)
            return sums.cpu().numpy(), maximum.cpu().numpy()

    def forward(self, batch: Batch) -> Vectors:
        """`last_hidden_state`, [b, t, d]."""
        with torch.inference_mode():
            hidden: Vectors = self._hidden(batch).cpu().numpy()
        return hidden

    def _hidden(self, batch: Batch) -> torch.Tensor:
        if self._vocabulary is not None and batch.ids.max() >= self._vocabulary:
            raise ModelError(
                f"the model knows {self._vocabulary} tokens, but its tokenizer gives token "
                f"{batch.ids.max()}: tokenizer and weights are not of one model"
            )
        inputs = {
            "input_ids": torch.from_numpy(batch.ids).to(self._device),
            "attention_mask": torch.from_numpy(batch.mask.astype(np.int64)).to(self._device),
        }
        if self._takes_types:
            inputs["token_type_ids"] = torch.from_numpy(batch.types).to(self._device)
        hidden: torch.Tensor = self._model(**inputs).last_hidden_state
        return hidden


def best_device() -> str:
    """CUDA, then MPS, then the CPU."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def convert_tokenizer(folder: Path) -> tokenizers.Tokenizer:
    """The tokenizer of a folder that has only a vocabulary, by way of transformers.

    Raises ModelError where transformers cannot make a fast tokenizer of it.
    """
    _be_quiet()
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        backend: tokenizers.Tokenizer = tokenizer.backend_tokenizer
    except (OSError, ValueError, KeyError, ImportError, AttributeError, TypeError) as error:
        raise ModelError(
            f"{folder}: no tokenizer can be made of its vocabulary: {error}"
        ) from error
    return backend


def _be_quiet() -> None:
    """Keep transformers' bars and reports off stderr, which is the command line's."""
    reports: Any = transformers.utils.logging
    reports.disable_progress_bar()
    reports.set_verbosity_error()
