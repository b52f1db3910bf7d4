"""Batches through backends: every text once and in its place, whatever fails on the way."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from clsearch.index.encoder import Encoder, encoder, torch_backend
from clsearch.index.encoder.batches import Batch, Tokens, batches
from clsearch.index.encoder.pipeline import Backend, ahead, spread
from clsearch.index.encoder.torch_backend import TorchTransformer
from clsearch.index.errors import ModelError

Models = Callable[[str], Path]


class Fake:
    """A backend that says only what it can hold."""

    def __init__(self, batch_tokens: int, in_flight: int = 1) -> None:
        self.batch_tokens, self.in_flight = batch_tokens, in_flight

    def pooled(
        self, batch: Batch, weights: NDArray[np.float32], kept: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        raise AssertionError("the tests give their own work")


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith(("tokenise", "encode"))]


def texts(*lengths: int) -> Tokens:
    return Tokens.of([[row + 1] * length for row, length in enumerate(lengths)])


def test_ahead_gives_what_map_gives() -> None:
    for n in range(6):
        assert list(ahead(lambda item: item * 2, range(n))) == [item * 2 for item in range(n)]


def test_ahead_computes_the_next_while_one_is_used_and_not_more() -> None:
    computed = [threading.Event() for _ in range(6)]
    results = ahead(lambda place: computed[place].set() or place, range(6))
    assert next(results) == 0
    assert computed[2].wait(5), "two are computed before they are asked for"
    time.sleep(0.05)
    assert not computed[3].is_set()
    results.close()
    assert not computed[5].is_set()


def test_what_fails_ahead_is_raised_in_its_place() -> None:
    results = ahead(lambda item: 1 // item, [2, 1, 0, 1])
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


@pytest.mark.parametrize(
    "backends", [[Fake(20)], [Fake(20, 2)], [Fake(20), Fake(20)]], ids=["one", "two", "two devices"]
)
def test_every_text_once(backends: list[Backend]) -> None:
    done: list[int] = []
    lengths = [1 + row % 7 for row in range(100)]
    spread(
        backends,
        batches(texts(*lengths), 0, 20),
        lambda _, batch: done.extend(map(int, batch.order)),
    )
    assert sorted(done) == list(range(100))


@pytest.mark.parametrize("backends", [[Fake(4, 2)], [Fake(4), Fake(4)]], ids=["one", "devices"])
def test_batches_are_in_flight_at_once(backends: list[Backend]) -> None:
    both = threading.Barrier(2, timeout=10)
    spread(backends, batches(texts(4, 4), 0, 4), lambda *_: both.wait() and None)


def test_an_error_in_a_worker_reaches_the_caller_and_ends_the_others() -> None:
    failed = threading.Event()
    after: list[Batch] = []

    def work(backend: Backend, batch: Batch) -> None:
        if batch.order[0] == 0:
            failed.set()
            raise ValueError("on the device")
        assert failed.wait(10)
        time.sleep(0.01)
        after.append(batch)

    with pytest.raises(ValueError, match="on the device"):
        spread([Fake(4), Fake(4)], batches(texts(*[4] * 200), 0, 4), work)
    assert len(after) < 100


def test_an_error_while_batches_are_made_reaches_the_caller() -> None:
    def broken() -> Iterator[Batch]:
        yield from batches(texts(4, 4, 4), 0, 4)
        raise ValueError("in the tokenizer")

    done: list[Batch] = []
    with pytest.raises(ValueError, match="in the tokenizer"):
        spread([Fake(4), Fake(4)], broken(), lambda _, batch: done.append(batch))
    assert len(done) == 3


@pytest.mark.parametrize("in_flight", [1, 2])
def test_where_memory_runs_out_batches_are_halved_and_no_text_is_lost(in_flight: int) -> None:
    room, backend = 13, Fake(64, in_flight)
    done: dict[int, int] = {}
    failures: list[int] = []

    def work(_: Backend, batch: Batch) -> None:
        if batch.mask.size > room:
            failures.append(batch.mask.size)
            raise MemoryError
        for row, place in enumerate(batch.order):
            assert int(place) not in done
            done[int(place)] = int(batch.mask[row].sum())
            assert (batch.ids[row][batch.mask[row]] == place + 1).all()
        assert batch.mask.any(axis=0).all(), "a half is no wider than its longest text"

    lengths = [1 + row % 5 for row in range(300)]
    spread([backend], batches(texts(*lengths), 0, 64), work)
    assert done == dict(enumerate(lengths))
    assert 6 <= backend.batch_tokens <= room
    assert len(failures) <= 3 * in_flight, "later batches are as small from the start"


def test_a_single_text_that_does_not_fit_is_told() -> None:
    def work(backend: Backend, batch: Batch) -> None:
        raise MemoryError("2 GiB asked for")

    with pytest.raises(ModelError, match=r"single text of 7 tokens \(2 GiB asked for\): end what"):
        spread([Fake(64)], batches(texts(7, 3), 0, 64), work)


# The whole encoder, on CPUs in the place of GPUs.


@pytest.fixture
def many(texts: list[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Texts for several chunks of several batches, no two alike."""
    monkeypatch.setattr(encoder, "CHUNK", 8)
    return [f"{text} {'network ' * (row % 13)}{row}" for row, text in enumerate(texts * 4)]


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[tuple[TorchTransformer, int]]:
    """(backend, places in the batch) of each batch that torch was given."""
    calls: list[tuple[TorchTransformer, int]] = []
    pooled = TorchTransformer._pooled

    def noted(self: TorchTransformer, batch: Batch, *rest: object) -> object:
        calls.append((self, batch.mask.size))
        return pooled(self, batch, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(TorchTransformer, "_pooled", noted)
    return calls


def alone(folder: Path, texts: list[str]) -> np.ndarray:
    """Each text by a call of its own."""
    model = Encoder.load(str(folder))
    return np.concatenate([model.encode_passages([text]) for text in texts])


@pytest.mark.parametrize("architecture", ["bert", "distilbert"])
@pytest.mark.parametrize("in_flight", [1, 2])
@pytest.mark.usefixtures("only_torch")
def test_several_chunks_and_several_in_flight(
    architecture: str, in_flight: int, plain_models: Models, many: list[str]
) -> None:
    folder = plain_models(architecture)
    model = Encoder.load(str(folder))
    model.encode_passages(["a"])
    assert model._torch is not None
    model._torch.in_flight, model._torch.batch_tokens = in_flight, 64
    np.testing.assert_allclose(model.encode_passages(many), alone(folder, many), atol=1e-5)


@pytest.mark.usefixtures("only_torch")
def test_one_worker_for_each_device(
    plain_models: Models,
    many: list[str],
    used: list[tuple[TorchTransformer, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = plain_models("bert")
    expected = alone(folder, many)
    monkeypatch.setattr(torch_backend, "other_gpus", lambda: ["cpu"])
    model = Encoder.load(str(folder))
    model.encode_passages(["a"])
    assert model._torch is not None
    assert model._replicas is not None
    (replica,) = model._replicas
    model._torch.batch_tokens = replica.batch_tokens = 32
    used.clear()
    # Each waits with its first batch for the other's.
    both = threading.Barrier(2, timeout=10)
    first: set[TorchTransformer] = set()
    run = TorchTransformer._pooled

    def together(self: TorchTransformer, *rest: object) -> object:
        if self not in first:
            first.add(self)
            both.wait()
        return run(self, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(TorchTransformer, "_pooled", together)
    np.testing.assert_allclose(model.encode_passages(many), expected, atol=1e-5)
    assert {backend for backend, _ in used} == {model._torch, replica}
    assert model._replicas == [replica], "loaded once"


@pytest.mark.usefixtures("only_torch")
def test_a_device_that_is_named_works_alone(
    plain_models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_backend, "other_gpus", lambda: ["cpu"])
    model = Encoder.load(str(plain_models("bert")), device="cpu")
    model.encode_passages(["a"])
    assert model._replicas is None


@pytest.mark.usefixtures("only_torch")
def test_memory_of_the_device_that_runs_out(
    plain_models: Models,
    many: list[str],
    used: list[tuple[TorchTransformer, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = plain_models("bert")
    expected = alone(folder, many)
    run = TorchTransformer._pooled
    refused = []

    def small(self: TorchTransformer, batch: Batch, *rest: object) -> object:
        if batch.mask.size > 50:
            refused.append(batch.mask.size)
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return run(self, batch, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(TorchTransformer, "_pooled", small)
    used.clear()
    np.testing.assert_allclose(Encoder.load(str(folder)).encode_passages(many), expected, atol=1e-5)
    assert refused
    assert max(size for _, size in used) <= 50


@pytest.mark.usefixtures("only_torch")
def test_an_error_of_the_model_reaches_the_caller_and_ends_the_threads(
    plain_models: Models, many: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(torch_backend, "other_gpus", lambda: ["cpu"])
    monkeypatch.setattr(TorchTransformer, "_pooled", broken)
    with pytest.raises(RuntimeError, match="device-side assert"):
        Encoder.load(str(plain_models("bert"))).encode_passages(many)
