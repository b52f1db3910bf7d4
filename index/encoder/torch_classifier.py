"""A transformer with a classification head, in torch. Imported when first needed."""

import threading
from collections.abc import Sequence

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from tokenizers.normalizers import Lowercase
from tokenizers.normalizers import Sequence as NormalizerSequence

from ..errors import ModelError
from .batches import Batch, Tokens
from .cross_declaration import CrossDeclaration
from .tokenizer import refuse_without_tokenizer
from .torch_backend import TorchModel, load_model, load_tokenizer, refuse_missing


class TorchClassifier(TorchModel):
    """The model of a cross-encoder's folder: a pair of texts in, one logit out."""

    def __init__(self, declaration: CrossDeclaration, device: str | None) -> None:
        """Load it. ModelError where transformers cannot, or where weights are missing."""
        folder = declaration.folder
        try:
            config = transformers.AutoConfig.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError, KeyError, ImportError, TypeError) as error:
            raise ModelError(f"{folder} cannot be loaded by transformers: {error}") from error
        config.num_labels = 1
        model, missing = load_model(
            transformers.AutoModelForSequenceClassification, folder, config=config
        )
        body = f"{model.base_model_prefix}."
        head = [name for name in missing if not name.startswith(body)]
        if head:
            raise ModelError(
                f"{folder} has no classification head, its weights lack {', '.join(head[:3])}: it "
                "gives no score for a pair; rerank with a cross-encoder"
            )
        refuse_missing(folder, missing)
        super().__init__(model, device)
        refuse_without_tokenizer(folder)
        self._tokenizer = load_tokenizer(folder)
        self._length = declaration.length
        self._prepare_tokenizer(declaration)
        # transformers sets a fast tokenizer's truncation at each call.
        self._tokenizing = threading.Lock()

    def _prepare_tokenizer(self, declaration: CrossDeclaration) -> None:
        tokenizer = self._tokenizer
        if declaration.lowercase and hasattr(tokenizer, "backend_tokenizer"):
            backend = tokenizer.backend_tokenizer
            rest = [] if backend.normalizer is None else [backend.normalizer]
            backend.normalizer = NormalizerSequence([Lowercase(), *rest])
        if tokenizer.pad_token_id is None:
            raise ModelError(
                f"{declaration.folder}: the tokenizer has no padding token, which a cross-encoder "
                "needs: declare pad_token in tokenizer_config.json"
            )
        self.pad: int = tokenizer.pad_token_id
        # A head may read the last token, and find padding there: then each pair goes alone.
        if tokenizer.padding_side == "left" or self._model.config.pad_token_id is None:
            self.batch_tokens = 1
        # Some models take what their tokenizer does not give, and mean something else by it.
        self._takes_types = self._takes_types and "token_type_ids" in tokenizer.model_input_names
        special = tokenizer.num_special_tokens_to_add(pair=True)
        if self._length <= special:
            raise ModelError(
                f"{declaration.folder}: a limit of {self._length} tokens leaves no room for text "
                f"beside {special} special tokens"
            )

    def tokens(self, query: str, texts: Sequence[str]) -> Tokens:
        """The pairs (query, text) as the model takes them, the longer part of each cut first."""
        with self._tokenizing:
            encoded = self._tokenizer(
                [[query, text] for text in texts],
                truncation="longest_first",
                max_length=self._length,
            )
        types = encoded["token_type_ids"] if self._takes_types else None
        return Tokens.of(encoded["input_ids"], types)

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """What the head gives for each pair of a batch, [b]."""
        with torch.inference_mode():
            logits: NDArray[np.float32] = self._run(batch).logits.float().cpu().numpy()
        return logits[:, 0]
