"""What several threads want encoded at once is encoded together, and each gets its own."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from clsearch.index.encoder import Encoder
from clsearch.index.errors import ModelError
from clsearch.search.serve.batching import TOGETHER_BYTES, BatchingEncoder
from words_encoder import WordsEncoder


class Gated(WordsEncoder):
    """Notes its calls; each waits until it may go on."""

    def __init__(self, open: bool = False) -> None:
        super().__init__()
        self.calls: list[list[str]] = []
        self.reached = threading.Semaphore(0)
        self.gate = threading.Semaphore(1_000_000 if open else 0)

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.calls.append(list(texts))
        self.reached.release()
        assert self.gate.acquire(timeout=30)
        if "bad" in texts:
            raise ModelError("it has no vector")
        return super().encode_queries(texts)


def waiting(encoder: BatchingEncoder, calls: int) -> None:
    """Return once so many calls wait behind the one that runs."""
    while len(encoder._queries._waiting) < calls:
        pass


def test_a_lone_caller_does_not_wait() -> None:
    encoder = Gated(open=True)
    batched: list[int] = []
    batching = BatchingEncoder(encoder, batched.append)
    alone = WordsEncoder().encode_queries(["jade", "iron"])
    np.testing.assert_array_equal(batching.encode_queries(["jade", "iron"]), alone)
    assert batched == [2]
    assert batching.fingerprint == encoder.fingerprint


def test_what_comes_meanwhile_is_encoded_together() -> None:
    encoder = Gated()
    batching = BatchingEncoder(encoder)
    asked = [[f"stone {n}", f"iron {n}"][: 1 + n % 2] for n in range(9)]
    with ThreadPoolExecutor(9) as threads:
        first = threads.submit(batching.encode_queries, asked[0])
        assert encoder.reached.acquire(timeout=30)
        others = [threads.submit(batching.encode_queries, texts) for texts in asked[1:]]
        waiting(batching, 8)
        for _ in range(2):
            encoder.gate.release()
        vectors = [call.result(30) for call in (first, *others)]
    assert len(encoder.calls) == 2
    assert sorted(encoder.calls[1]) == sorted(text for texts in asked[1:] for text in texts)
    for texts, own in zip(asked, vectors, strict=True):
        np.testing.assert_array_equal(own, WordsEncoder().encode_queries(texts))


def test_a_batch_is_no_longer_than_what_numpy_takes() -> None:
    """However much waits; a call that is longer goes by itself."""
    encoder = Gated()
    batching = BatchingEncoder(encoder)
    texts = ["a" * (TOGETHER_BYTES // 3 - 6), "b" * 10, "c" * 2 * TOGETHER_BYTES]
    with ThreadPoolExecutor(10) as threads:
        calls = [threads.submit(batching.encode_queries, ["first"])]
        assert encoder.reached.acquire(timeout=30)
        calls += [threads.submit(batching.encode_queries, [text]) for text in texts * 3]
        waiting(batching, 9)
        for _ in range(10):
            encoder.gate.release()
        for call in calls:
            assert call.result(30).shape == (1, 32)
    assert sum(map(len, encoder.calls)) == 10
    for together in encoder.calls:
        size = sum(len(text) + 6 for text in together)
        assert size <= TOGETHER_BYTES or len(together) == 1


def test_only_who_asked_for_it_hears_of_an_error() -> None:
    encoder = Gated()
    batching = BatchingEncoder(encoder)
    with ThreadPoolExecutor(4) as threads:
        first = threads.submit(batching.encode_queries, ["first"])
        assert encoder.reached.acquire(timeout=30)
        calls = {
            text: threads.submit(batching.encode_queries, [text]) for text in ("a", "bad", "b")
        }
        waiting(batching, 3)
        for _ in range(5):
            encoder.gate.release()
        assert first.result(30).shape == (1, 32)
        with pytest.raises(ModelError, match="no vector"):
            calls.pop("bad").result(30)
        for text, call in calls.items():
            alone = WordsEncoder().encode_queries([text])
            np.testing.assert_array_equal(call.result(30), alone)
    encoder.gate.release()
    assert batching.encode_queries(["after"]).shape == (1, 32)


def test_vectors_of_the_embedded_model_are_those_of_each_alone() -> None:
    """To what float32 gives when a text stands in another batch."""
    encoder = Encoder.load()
    batching = BatchingEncoder(encoder)
    texts = [f"how do I reset the router of floor {n}" + " please" * (n % 7) for n in range(24)]
    with ThreadPoolExecutor(8) as threads:
        vectors = list(threads.map(lambda text: batching.encode_queries([text])[0], texts))
    alone = [encoder.encode_queries([text])[0] for text in texts]
    np.testing.assert_allclose(vectors, alone, atol=2e-6)
