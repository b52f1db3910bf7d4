"""Tokens by words are those of whole texts, as the `tokenizers` library gives them."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from clsearch.index.config import EMBEDDED_MODEL, SAMPLE
from clsearch.index.encoder import word_pieces
from clsearch.index.encoder.word_pieces import Pieces, WordPieces, runs_by_words

BACKEND = tokenizers.Tokenizer.from_file(str(EMBEDDED_MODEL / "tokenizer.json"))
BACKEND.no_truncation()
BACKEND.no_padding()
WORDS = WordPieces(BACKEND)

# What a tokenizer treats in its own way: kinds of white space, marks, controls, special tokens.
ODD = [
    *" \t\n\r\x0b\x0c\x1c\x85\xa0\u2028\u3000\u200b\xad\ufeff\x00\x07\ufffd.,-'_#@",
    *(
        "  ",
        "\r\n",
        "\u0301",
        "e\u0301",
        "\u05b0",
        "İ",
        "ß",
        "ﬁ",
        "漢字",
        "한국",
        "ไทย",
        "😀\u200d🔬",
    ),
    *("[CLS]", "[SEP]", "[MASK]", "[UNK]", "[PAD]", "##s", "Unbelievably", "x" * 120, "3.14"),
]
TEXTS = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(ODD), max_size=30).map("".join))


def by_library(texts: list[str]) -> tuple[list[list[int]], list[list[tuple[int, int]]]]:
    wholes = BACKEND.encode_batch(texts, add_special_tokens=False)
    return [whole.ids for whole in wholes], [whole.offsets for whole in wholes]


def by_text(pieces: Pieces) -> tuple[list[list[int]], list[list[tuple[int, int]]]]:
    bounds = np.cumsum(pieces.sizes)[:-1]
    ids = [part.tolist() for part in np.split(pieces.ids, bounds)]
    spans = np.split(np.stack([pieces.starts, pieces.ends], axis=1), bounds)
    return ids, [list(map(tuple, part.tolist())) for part in spans]


@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_ids_and_spans_are_the_library_s(texts: list[str]) -> None:
    texts = [text.encode("utf-8", "replace").decode() for text in texts]
    assert by_text(WORDS.of(texts)) == by_library(texts)


def test_of_the_sample() -> None:
    files = sorted(file for file in (SAMPLE / "documents").rglob("*") if file.is_file())
    texts = [file.read_text("utf-8") for file in files]
    assert by_text(WordPieces(BACKEND).of(texts)) == by_library(texts)


def test_no_texts() -> None:
    assert [part.tolist() for part in WORDS.of([])] == [[], [], [], []]


def test_words_are_forgotten_and_learned_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_pieces, "MOST", 5)
    words = WordPieces(BACKEND)
    for text in ("one two three four five", "six seven", "one six two", ""):
        assert by_text(words.of([text])) == by_library([text])
        assert len(words._ids) <= 5 + len(text.split())


def test_long_words_are_forgotten_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is one unknown token, whatever its length."""
    monkeypatch.setattr(word_pieces, "MOST_LETTERS", 5_000)
    words = WordPieces(BACKEND)
    for number in range(30):
        text = f"{number:x>1000}"
        assert by_text(words.of([text])) == by_library([text])
        assert sum(map(len, words._known)) <= 7_000


def test_an_interrupted_call_leaves_nothing_half_known(monkeypatch: pytest.MonkeyPatch) -> None:
    words = WordPieces(BACKEND)
    words.of(["known"])

    def interrupted(self: WordPieces) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(WordPieces, "_learn", interrupted)
        with pytest.raises(KeyboardInterrupt):
            words.of(["known and new"])
    assert by_text(words.of(["known and new"])) == by_library(["known and new"])


def test_threads_share_it() -> None:
    words = WordPieces(BACKEND)
    texts = [[f"shared alone{thread}x{n} routers" for n in range(300)] for thread in range(4)]
    found: dict[int, list[Pieces]] = {}

    def ask(thread: int) -> None:
        found[thread] = [words.of([text]) for text in texts[thread]]

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    for thread, each in found.items():
        ids, _ = by_library(texts[thread])
        assert [pieces.ids.tolist() for pieces in each] == ids


@pytest.mark.parametrize("architecture", ["xlm-roberta", "modernbert"])
def test_others_are_left_to_the_library(
    architecture: str, plain_models: Callable[[str], Path]
) -> None:
    path = plain_models(architecture) / "tokenizer.json"
    assert not runs_by_words(tokenizers.Tokenizer.from_file(str(path)))


def test_a_token_with_a_space_in_it_needs_the_whole_text() -> None:
    backend = tokenizers.Tokenizer.from_str(BACKEND.to_str())
    assert runs_by_words(backend)
    backend.add_tokens(["two words"])
    assert not runs_by_words(backend)
