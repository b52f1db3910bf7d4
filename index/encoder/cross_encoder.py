"""A cross-encoder: one score for a query and a text that are read together."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from .batches import batches
from .cross_declaration import CrossDeclaration, read_cross_declaration
from .hub import find_model
from .weights import weight_files

_SURROGATES = re.compile("[\ud800-\udfff]")


class CrossEncoder:
    """Scores of (query, text) pairs, as a model folder declares them.

    Threads may share one. It runs in torch, which is imported when the first is made.
    """

    def __init__(self, name: str, declaration: CrossDeclaration, device: str | None) -> None:
        """Prefer `load`, which finds and reads the model."""
        # Here, because importing torch takes seconds and finding a mistake does not.
        from .torch_classifier import TorchClassifier

        self.name = name
        self._declared = declaration
        self._classifier = TorchClassifier(declaration, device)

    @classmethod
    def load(cls, model: str, device: str | None = None) -> "CrossEncoder":
        """The cross-encoder of a model folder, or of a hub name, maybe with `@revision`.

        `device` is a torch device; without it torch takes CUDA, then MPS, then the CPU.

        Raises ModelError where the model cannot be loaded, declares what is not known, or does not
        give one score for a pair: no classification head, or several labels.
        """
        source = find_model(model, "Without a reranker the search's own order stands")
        declaration = read_cross_declaration(source.folder)
        weight_files(declaration.folder, "AutoModelForSequenceClassification")
        return cls(model, declaration, device)

    @property
    def bounded(self) -> bool:
        """Whether every score lies between 0 and 1."""
        return self._declared.activation == "Sigmoid"

    def scores(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """How well each text answers the query, float32 [n], in the order of `texts`.

        As `sentence_transformers.CrossEncoder.predict` gives them: the logit of the head under the
        declared activation, the sigmoid where none is declared; the declared default prompt before
        the query; the longer part of a pair cut first. Any strings have a score. ModelError where
        the model gives no number.
        """
        if not len(texts):
            return np.empty(0, dtype=np.float32)
        classifier = self._classifier
        query, *texts = (_SURROGATES.sub("\ufffd", text) for text in (query, *texts))
        tokens = classifier.tokens(self._declared.prompt + query, texts)
        logits = np.empty(len(texts), dtype=np.float32)
        for batch in batches(tokens, classifier.pad, classifier.batch_tokens):
            logits[batch.order] = classifier.logits(batch)
        if not np.isfinite(logits).all():
            text = texts[int(np.isfinite(logits).argmin())]
            raise ModelError(
                f"{self.name} gives no number for the text {text[:60]!r}: its weights are damaged; "
                "rerank with another model"
            )
        return self._declared.activate(logits)
