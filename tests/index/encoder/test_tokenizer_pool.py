"""Tokens by processes are those of this one, whatever becomes of the processes."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from clsearch.index.encoder import Encoder, encoder, tokenizer_pool
from clsearch.index.encoder.batches import Tokens
from clsearch.index.encoder.declaration import read_declaration
from clsearch.index.encoder.tokenizer import Tokenizer
from clsearch.index.encoder.tokenizer_pool import TokenizerPool

Models = Callable[[str], Path]


@pytest.fixture(autouse=True)
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes, however many cores there are."""
    monkeypatch.setattr(os, "cpu_count", lambda: 2 + tokenizer_pool.LEFT)


@pytest.fixture
def tokenizer(plain_models: Models) -> Tokenizer:
    return Tokenizer(read_declaration(plain_models("bert")))


@pytest.fixture
def pool(plain_models: Models, tokenizer: Tokenizer) -> Iterator[TokenizerPool]:
    made = TokenizerPool(tokenizer, plain_models("bert"))
    assert made.size == 2
    yield made
    made.close()


def lists(tokens: Tokens) -> tuple[list[int], list[int]]:
    assert tokens.types is None
    return tokens.ids.tolist(), tokens.sizes.tolist()


def without(monkeypatch: pytest.MonkeyPatch, tokenizer: Tokenizer) -> None:
    """Whoever asks this process's tokenizer fails."""

    def asked(*_: object) -> None:
        raise AssertionError("tokenised in this process")

    monkeypatch.setattr(tokenizer, "encode", asked)


def test_the_tokens_are_the_same(
    pool: TokenizerPool, tokenizer: Tokenizer, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [*texts, "the router\ud800 resets", "search " * 200_000]
    expected = {length: lists(tokenizer.encode(many, length)) for length in (24, 7)}
    without(monkeypatch, tokenizer)
    for length in (24, 7, 24):
        assert lists(pool.encode(many, length)) == expected[length]
    assert lists(pool.encode([], 24)) == ([], [])


def test_threads_share_it(pool: TokenizerPool, tokenizer: Tokenizer) -> None:
    """More of them than processes: some tokenise here."""
    given = [[f"router {thread} network {n}" for n in range(50)] for thread in range(8)]
    found: dict[int, Tokens] = {}

    def ask(thread: int) -> None:
        found[thread] = pool.encode(given[thread], 24)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    for thread, tokens in found.items():
        assert lists(tokens) == lists(tokenizer.encode(given[thread], 24))


def test_a_process_that_is_killed_costs_no_text(
    pool: TokenizerPool, tokenizer: Tokenizer, texts: list[str]
) -> None:
    pool.encode(texts, 24)
    processes = [pool._idle.get(), pool._idle.get()]
    for process in processes:
        os.kill(process._process.pid, signal.SIGKILL)
        process._process.wait()
        pool._idle.put(process)
    for _ in range(3):
        assert lists(pool.encode(texts, 24)) == lists(tokenizer.encode(texts, 24))
    assert pool._idle.empty(), "what failed is not asked again"


def test_where_none_starts_all_is_tokenised_here(
    plain_models: Models, tokenizer: Tokenizer, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    pool = TokenizerPool(tokenizer, plain_models("bert"))
    assert pool.size == 0
    assert lists(pool.encode(texts, 24)) == lists(tokenizer.encode(texts, 24))


PROGRAM = """
import os, sys
from pathlib import Path
from clsearch.index.encoder import tokenizer_pool
from clsearch.index.encoder.declaration import read_declaration
from clsearch.index.encoder.tokenizer import Tokenizer

os.cpu_count = lambda: 3
folder = Path(sys.argv[1])
pool = tokenizer_pool.TokenizerPool(Tokenizer(read_declaration(folder)), folder)
pool.encode(["a"], 24)
process = pool._idle.get()
print(process._process.pid, flush=True)
sys.stdin.read()
"""


def test_it_ends_with_the_program_that_started_it(plain_models: Models) -> None:
    """Even where that was killed."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(plain_models("bert"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout
        process = Path("/proc") / program.stdout.readline().strip()
        assert process.is_dir()
        program.kill()
    for _ in range(500):
        if not process.is_dir() or ") Z " in (process / "stat").read_text():
            return
        threading.Event().wait(0.02)
    raise AssertionError("the tokeniser lives on")


@pytest.mark.usefixtures("only_torch")
def test_an_encoder_on_a_gpu_has_many_texts_tokenised_by_it(
    plain_models: Models, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The CPU in a GPU's place."""
    monkeypatch.setattr(encoder, "SHARE", 8)
    monkeypatch.setattr(encoder, "MANY", 64)
    monkeypatch.setattr(Encoder, "_on_cpu", lambda _: True)
    many = [f"{text} {row}" for row, text in enumerate(texts * 9)]
    model = Encoder.load(str(plain_models("bert")), device="cpu")
    expected = model.encode_passages(many)
    assert model._tokenising is None
    monkeypatch.setattr(Encoder, "_on_cpu", lambda _: False)
    assert model._torch is not None
    model._torch.in_flight = 2
    model.encode_passages(many[:63])
    assert model._tokenising is None, "they are not worth it"
    asked: list[int] = []
    encode = TokenizerPool.encode

    def noted(self: TokenizerPool, texts: list[str], length: int) -> Tokens:
        asked.append(len(texts))
        return encode(self, texts, length)

    monkeypatch.setattr(TokenizerPool, "encode", noted)
    np.testing.assert_allclose(model.encode_passages(many), expected, atol=1e-5)
    assert sum(asked) == len(many)
    pool = model._tokenising
    assert pool is not None
    assert not pool._idle.empty()
    del model
    assert pool._idle.empty(), "it ends with the encoder"
