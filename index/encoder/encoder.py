"""The encoder: tokenizer, transformer, pooling, the modules after it, prompts, unit length."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from ..types import Json
from .batches import Batch, Tokens, batches
from .bert_family import is_bert
from .choice import choose, engine_name, may_have_gpu, runs_native
from .declaration import Declaration, read_declaration
from .fingerprint import fingerprint
from .hub import Source, find_model
from .modules import unit_length
from .native_bert import NativeBert
from .numpy_bert import NumpyBert
from .pipeline import Backend, Precision, ahead, spread
from .pooling import concatenate, kept_tokens, pooling_weights
from .tokenizer import Tokenizer
from .weights import weight_files
from .words import Words, WordTable

if TYPE_CHECKING:
    from .torch_backend import TorchTransformer

# So many texts are tokenised at once, while those before them are encoded. Sorted by length, of a
# GPU's batches less than 8% is padding then, and 0.4% of a CPU's (passages of 156 tokens).
CHUNK = 2048


class Encoder:
    """Texts to vectors of unit length, as a model folder declares it.

    On a CPU a BERT goes through kernels of our own where there are any for it, many passages in the
    precision that `choose` finds. Where there are none, a few tokens go through NumPy. All else is
    for torch, which is imported on its first use. Threads may share an encoder.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        declaration: Declaration,
        device: str | None,
        precision: Precision | None,
    ) -> None:
        """Prefer `load`, which finds and reads the model."""
        self.name = name
        self.dimension = declaration.dimension
        self.max_length = declaration.passage_length
        self._source = source
        self._declared = declaration
        self._device = device
        self._precision = precision
        self._files = weight_files(declaration.folder)
        self._tokenizer = Tokenizer(declaration)
        self.room = self._room()
        self._is_bert = device in (None, "cpu") and is_bert(declaration.config, self._files)
        self._runs_native = self._is_bert and runs_native(declaration.config, self._files)
        self._small: NativeBert | NumpyBert | None = None
        self._torch: TorchTransformer | None = None
        self._replicas: list[TorchTransformer] | None = None
        self._engine: Backend | None = None
        self._words: WordTable | None = None
        self._chosen = False
        self._used: set[str] = set()
        self._loading = threading.Lock()
        self._fingerprint: str | ModelError | None = None
        # Beside the loading: on a cold start it is a quarter of the time.
        self._hashing = threading.Thread(target=self._hash, daemon=True)
        self._hashing.start()

    @classmethod
    def load(
        cls,
        model: str = "embedded",
        pooling: str | None = None,
        device: str | None = None,
        precision: Precision | None = None,
    ) -> "Encoder":
        """The encoder of `embedded`, of a model folder, or of a hub name, maybe with `@revision`.

        `pooling` (`cls`, `mean`, `cls+mean`, ...) takes the place of the declared one. `device` is
        a torch device; without it torch takes CUDA, on all GPUs, then MPS, then the CPU.
        `precision` is that of many passages on a CPU; without it, the fastest whose vectors keep a
        cosine to float32 of 0.999 (bfloat16) or 0.99 (int8).

        Raises ModelError where the model cannot be loaded or declares what is not known, UsageError
        where `pooling` is none.
        """
        source = find_model(model)
        return cls(model, source, read_declaration(source.folder, pooling), device, precision)

    @property
    def fingerprint(self) -> str:
        """sha256 over everything that changes the vectors, from a thread that reads all weights.

        Raises ModelError where a file cannot be read.
        """
        self._hashing.join()
        if not isinstance(self._fingerprint, str):
            raise self._fingerprint or ModelError(f"{self.name}: no fingerprint could be made")
        return self._fingerprint

    @property
    def declaration(self) -> Mapping[str, Json]:
        """What the model declares, as JSON: modules, pooling, prompts, lengths, revision.

        And what a few short texts, a query, are encoded by on a CPU (native, numpy or torch), and
        the engines that have encoded passages.
        """
        engines: list[Json] = [*sorted(self._used)]
        return {
            "model": self.name,
            "revision": self._source.revision,
            "queries": "native" if self._runs_native else "numpy" if self._is_bert else "torch",
            **self._declared.describe(),
            "engines": engines,
        }

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of queries, float32 [n, dimension], of unit length, in the order of `texts`.

        Any string has a vector: the empty one that of the special tokens, one too long that of its
        beginning. Raises ModelError where the model gives no direction (zeros, or no numbers).
        """
        declared = self._declared
        return self._encode(texts, declared.query_prompt, declared.query_length, self._exact)

    def encode_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of passages, as `encode_queries`, with the passages' prompt and limit."""
        declared = self._declared
        return self._encode(texts, declared.passage_prompt, declared.passage_length, self._fast)

    def warm(self) -> None:
        """Get ready for many queries, as a server does before the first of them."""
        with self._loading:
            if self._runs_native and self._on_cpu():
                config, file = self._declared.config, self._files[0]
                self._small = NativeBert(config, file, ready=True)
        self.encode_queries(["a"])

    def token_spans(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        """[start, end) of each token of each text, [n, 2], in code points; none special, all.

        Starts and ends never decrease; a token that stands for no text of its own is empty.
        """
        return self._tokenizer.spans(texts)

    def word_vectors(self, texts: Sequence[str]) -> Words | None:
        """The tokens of texts, by the vectors that the transformer begins with.

        None where the model is no BERT on the CPU.
        """
        if not self._is_bert:
            return None
        if self._words is None:
            self._words = WordTable(self._files[0], self._tokenizer)
        return self._words.of(texts)

    def _hash(self) -> None:
        try:
            self._fingerprint = fingerprint(self._declared, self._source.revision, self._files)
        except ModelError as error:
            self._fingerprint = error

    def _encode(
        self,
        texts: Sequence[str],
        prompt: str,
        length: int,
        backends_for: Callable[[int], list[Backend]],
    ) -> NDArray[np.float32]:
        if not len(texts):
            return np.empty((0, self.dimension), dtype=np.float32)
        declared = self._declared
        skipped = 0 if declared.include_prompt else self._tokenizer.prompt_tokens(prompt, length)
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)

        def tokenise(start: int) -> Tokens:
            some = texts[start : start + CHUNK]
            return self._tokenizer.encode([prompt + text for text in some], length)

        def encode(backend: Backend, batch: Batch) -> None:
            pooled = self._pool(backend, batch, skipped)
            vectors[batch.order] = self._finish(pooled, [texts[place] for place in batch.order])

        with closing(ahead(tokenise, range(0, len(texts), CHUNK))) as chunks:
            first = next(chunks)
            backends = backends_for(len(first.ids))
            limit = max(backend.batch_tokens for backend in backends)
            spread(backends, self._batches(chain([first], chunks), limit), encode)
        return vectors

    def _batches(self, chunks: Iterable[Tokens], limit: int) -> Iterator[Batch]:
        """The batches of chunks, of so many together as have `limit` tokens."""
        start = 0
        held: list[Tokens] = []
        for chunk in chunks:
            held.append(chunk)
            if sum(len(tokens.ids) for tokens in held) >= limit:
                yield from batches(Tokens.joined(held), self._tokenizer.pad, limit, start)
                start += sum(map(len, held))
                held.clear()
        if held:
            yield from batches(Tokens.joined(held), self._tokenizer.pad, limit, start)

    def _pool(self, backend: Backend, batch: Batch, skipped: int) -> NDArray[np.float32]:
        modes = self._declared.modes
        kept = kept_tokens(batch.mask, skipped)
        sums, maximum = backend.pooled(
            batch, pooling_weights(kept, modes), kept if "max" in modes else None
        )
        return concatenate(modes, sums, maximum)

    def _finish(self, pooled: NDArray[np.float32], texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of unit length from the pooled ones of texts: what comes after pooling."""
        for step in self._declared.steps:
            pooled = step.apply(pooled)
        pooled = pooled[:, : self.dimension]
        self._refuse_directionless(pooled, texts)
        return unit_length(pooled)

    def _refuse_directionless(self, vectors: NDArray[np.float32], texts: Sequence[str]) -> None:
        good = np.isfinite(vectors).all(axis=1) & vectors.any(axis=1)
        if not good.all():
            text = texts[int(good.argmin())]
            raise ModelError(
                f"{self.name} gives a vector of zeros or of no numbers for the text {text[:60]!r}: "
                "its weights are damaged, or it is no model for texts; use another model"
            )

    def _room(self) -> int:
        special, prompt = self._tokenizer.special, self._declared.passage_prompt
        shortest = min(self._declared.query_length, self.max_length)
        room = self.max_length - special - self._tokenizer.count(prompt)
        if room < 1 or shortest <= special:
            raise ModelError(
                f"{self._declared.folder}: a limit of {shortest} tokens leaves no room for text "
                f"beside {special} special tokens and the prompt {prompt!r}"
            )
        return room

    def _backend(self, tokens: int) -> "NativeBert | NumpyBert | TorchTransformer":
        """What is exact: our kernels; NumPy for little, unless torch has been loaded; torch."""
        with self._loading:
            little = self._is_bert and tokens <= NumpyBert.most_tokens and self._torch is None
            if (self._runs_native and self._on_cpu()) or little:
                if self._small is None:
                    kind = NativeBert if self._runs_native else NumpyBert
                    self._small = kind(self._declared.config, self._files[0])
                return self._small
            if self._torch is None:
                from .torch_backend import TorchTransformer

                self._torch = TorchTransformer(self._declared.folder, self._device)
            return self._torch

    def _fast(self, tokens: int) -> list[Backend]:
        """What encodes passages of so many tokens: on a CPU, the chosen engine where they are many.

        Once it has been made it encodes the few as well.
        """
        little = tokens <= NumpyBert.most_tokens
        with self._loading:
            if self._on_cpu() and not little and not self._chosen:
                self._engine = choose(self._declared, self._files, self._tokenizer, self._precision)
                self._chosen = True
        backends = [self._engine] if self._engine else self._exact(tokens)
        self._used.update(map(engine_name, backends))
        return backends

    def _on_cpu(self) -> bool:
        return self._device == "cpu" or (self._device is None and not may_have_gpu())

    def _exact(self, tokens: int) -> list[Backend]:
        """The backend for so many tokens; with torch and no device named, one for each GPU."""
        backend, first = self._backend(tokens), self._torch
        if first is None or backend is not first or self._device is not None:
            return [backend]
        with self._loading:
            if self._replicas is None:
                from .torch_backend import TorchTransformer, other_gpus

                folder = self._declared.folder
                self._replicas = [
                    TorchTransformer(folder, device, first.precision) for device in other_gpus()
                ]
            return [first, *self._replicas]
