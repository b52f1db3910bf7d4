"""Tokens by words are those of whole texts, as the `tokenizers` library gives them.

In Python, and by the file of C: until it has the vocabulary, and once it has.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from clsearch.index.config import EMBEDDED_MODEL, SAMPLE
from clsearch.index.encoder import native_pieces, word_pieces
from clsearch.index.encoder.native_pieces import NativePieces, library
from clsearch.index.encoder.word_pieces import Frame, Pieces, WordPieces, runs_by_words

BACKEND = tokenizers.Tokenizer.from_file(str(EMBEDDED_MODEL / "tokenizer.json"))
BACKEND.no_truncation()
BACKEND.no_padding()

Words = WordPieces | NativePieces
Make = Callable[[tokenizers.Tokenizer], Words]


def with_vocabulary(backend: tokenizers.Tokenizer) -> NativePieces:
    """What takes words of ASCII apart from the first on."""
    made = NativePieces(backend)
    made._give_vocabulary()
    return made


MAKES: Sequence[Make] = (WordPieces, NativePieces, with_vocabulary)[: 3 if library() else 1]
of_each_kind = pytest.mark.parametrize("make", MAKES)
WORDS = [make(BACKEND) for make in MAKES]

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
ASCII = st.text(st.characters(max_codepoint=127), max_size=60)
TEXTS = st.one_of(
    st.text(max_size=60), ASCII, st.lists(st.sampled_from(ODD), max_size=30).map("".join)
)


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
    for words in WORDS:
        assert by_text(words.of(texts)) == by_library(texts)


@of_each_kind
def test_of_the_sample(make: Make) -> None:
    files = sorted(file for file in (SAMPLE / "documents").rglob("*") if file.is_file())
    texts = [file.read_text("utf-8") for file in files]
    words = make(BACKEND)
    for _ in range(2):
        assert by_text(words.of(texts)) == by_library(texts)


FRAMES = [
    Frame(np.array(before, np.int64), np.array(after, np.int64), room, cut_left, 7)
    for before, after in (([101], [102]), ([], [5, 6]), ([], []))
    for room in (0, 1, 5, 1000)
    for cut_left in (False, True)
]


@given(st.lists(TEXTS, max_size=4), st.sampled_from(FRAMES))
def test_framed_tokens_are_cut_from_the_library_s(texts: list[str], frame: Frame) -> None:
    texts = [text.encode("utf-8", "replace").decode() for text in texts]
    expected = []
    for ids in by_library(texts)[0]:
        kept = ids[max(len(ids) - frame.room, 0) :] if frame.cut_left else ids[: frame.room]
        expected.append([*frame.before.tolist(), *kept, *frame.after.tolist()] or [frame.pad])
    for words in WORDS:
        tokens = words.tokens(texts, frame)
        assert tokens.ids.tolist() == [id for ids in expected for id in ids]
        assert tokens.sizes.tolist() == [len(ids) for ids in expected]
        assert tokens.types is None


@of_each_kind
def test_no_texts(make: Make) -> None:
    assert [part.tolist() for part in make(BACKEND).of([])] == [[], [], [], []]


@pytest.fixture
def learned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The words that the library is asked for."""
    asked: list[str] = []
    tokens_of = word_pieces.tokens_of

    def noted(backend: tokenizers.Tokenizer, words: Sequence[str]) -> Any:
        asked.extend(words)
        return tokens_of(backend, words)

    for module in (word_pieces, native_pieces):
        monkeypatch.setattr(module, "tokens_of", noted)
    return asked


@pytest.mark.parametrize("make", MAKES[:2])
def test_words_are_forgotten_and_learned_again(
    make: Make, learned: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (word_pieces, native_pieces):
        monkeypatch.setattr(module, "MOST", 5)
    words = make(BACKEND)
    expected: list[str] = []
    for text, new in (
        ("one two three four five", "one two three four five"),
        ("six one", "six"),  # all are forgotten before the next
        ("one six two", "one six two"),
        ("two six", ""),
    ):
        assert by_text(words.of([text])) == by_library([text])
        expected += new.split()
        assert [word for word in learned if word] == expected
    words.forget()
    assert by_text(words.of(["one six"])) == by_library(["one six"])
    assert learned[-2:] == ["one", "six"]


@pytest.mark.parametrize("make", MAKES[:2])
def test_long_words_are_forgotten_too(
    make: Make, learned: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is one unknown token, whatever its length."""
    for module in (word_pieces, native_pieces):
        monkeypatch.setattr(module, "MOST_LETTERS", 5_000)
    words = make(BACKEND)
    for number in range(30):
        text = f"{number:x>1000} known"
        assert by_text(words.of([text])) == by_library([text])
    assert learned.count("known") == 6, "each time that there are more than five thousand letters"


@of_each_kind
def test_an_interrupted_call_leaves_nothing_half_known(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = make(BACKEND)
    words.of(["known"])

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        for module in (word_pieces, native_pieces):
            patched.setattr(module, "tokens_of", interrupted)
        with pytest.raises(KeyboardInterrupt):
            words.of(["known and néw"])
    assert by_text(words.of(["known and néw"])) == by_library(["known and néw"])


@of_each_kind
def test_threads_share_it(make: Make) -> None:
    words = make(BACKEND)
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


native = pytest.mark.skipif(library() is None, reason="word_pieces.c was not compiled")


@native
def test_the_vocabulary_comes_once_many_words_have(
    learned: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From then on the library is asked for no word of plain ASCII."""
    monkeypatch.setattr(native_pieces, "LEARNED", 6)
    words = NativePieces(BACKEND)
    for text in ("one two three", "two four", "five six seven", "Unbelievably, e-mail [x] naïve"):
        assert by_text(words.of([text])) == by_library([text])
    assert learned == ["one", "two", "three", "four", "[x]", "naïve"]


PROGRAM = """
import threading, time
from clsearch.index.encoder.tokenizer import Tokenizer
from clsearch.index.encoder.declaration import read_declaration
from clsearch.index.config import EMBEDDED_MODEL

words = Tokenizer(read_declaration(EMBEDDED_MODEL))

def forever():
    while True:
        words.pieces(["one two three four " * 5000])

for _ in range(2):
    threading.Thread(target=forever, daemon=True).start()
time.sleep(0.3)
"""


def test_a_program_may_end_while_a_thread_tokenises() -> None:
    for _ in range(3):
        subprocess.run(
            [sys.executable, "-c", PROGRAM], check=True, env={**os.environ, "MALLOC_PERTURB_": "85"}
        )


def changed(**changes: Any) -> tokenizers.Tokenizer:
    """The tokenizer with other values of its model and its normalizer."""
    described = json.loads(BACKEND.to_str())
    for part in ("model", "normalizer"):
        known = changes.keys() & described[part].keys()
        described[part] |= {key: changes[key] for key in known}
    return tokenizers.Tokenizer.from_str(json.dumps(described))


TEXT = "Unbelievably tokenised e-mail of foobar, x" + "y" * 30 + " FOObar\x00 [CLS] Ünder über fOo "


@native
@pytest.mark.parametrize(
    "backend",
    [
        changed(lowercase=False),
        changed(max_input_chars_per_word=10),
        changed(max_input_chars_per_word=1),
        changed(max_input_chars_per_word=2**64 - 1),
        changed(continuing_subword_prefix="xx"),
        changed(unk_token="the"),
    ],
    ids=["cased", "ten letters", "one letter", "any letters", "prefix", "unknown"],
)
def test_of_other_models(backend: tokenizers.Tokenizer) -> None:
    expected = backend.encode(TEXT, add_special_tokens=False)
    found = with_vocabulary(backend).of([TEXT])
    assert by_text(found) == ([expected.ids], [expected.offsets])


@native
@pytest.mark.parametrize("token", ["foo", "Foo", "über", "K", "\u212aelvin", "ß", "\x00foo"])
@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize("single_word", [True, False])
def test_of_added_tokens(token: str, normalized: bool, single_word: bool) -> None:
    """A word that may have one is left to the library."""
    backend = tokenizers.Tokenizer.from_str(BACKEND.to_str())
    added = tokenizers.AddedToken(token, normalized=normalized, single_word=single_word)
    backend.add_tokens([added])
    text = TEXT + "kelvin Kelvin strasse ss SS foo x-foo"
    expected = backend.encode(text, add_special_tokens=False)
    found = with_vocabulary(backend).of([text])
    assert by_text(found) == ([expected.ids], [expected.offsets])


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
