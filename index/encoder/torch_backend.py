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


class TorchModel:
    """A model of transformers in float32, on one device."""

    def __init__(self, model: Any, device: str | None) -> None:
        """Move it to `device`, or to the best there is: CUDA, then MPS, then the CPU."""
        self._device = torch.device(device or best_device())
        self._model: Any = model.eval().to(self._device)
        self._takes_types = "token_type_ids" in inspect.signature(self._model.forward).parameters
        table = self._model.get_input_embeddings()
        self._vocabulary = getattr(table, "num_embeddings", None)
        # On a CPU the largest tensor of a batch stays below 32 MB, from where on glibc gives memory
        # back to the system after each use; a GPU would stand idle with so few.
        self.batch_tokens = 2048 if self._device.type == "cpu" else 65536

    def _run(self, batch: Batch) -> Any:
        """What the model gives for a batch. ModelError where it does not know one of the tokens."""
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
        return self._model(**inputs)


class TorchTransformer(TorchModel):
    """A model folder's transformer, for the vectors of its tokens."""

    def __init__(self, folder: Path, device: str | None) -> None:
        """Load it. ModelError where transformers cannot, or where weights are missing."""
        model, missing = load_model(transformers.AutoModel, folder)
        unused = _UNUSED + (_UNUSED_BESIDE_ENCODER if model.config.is_encoder_decoder else ())
        refuse_missing(folder, [name for name in missing if not name.startswith(unused)])
        if model.config.is_encoder_decoder:
            model = model.get_encoder()
        super().__init__(model, device)

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
        hidden: torch.Tensor = self._run(batch).last_hidden_state
        return hidden


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
