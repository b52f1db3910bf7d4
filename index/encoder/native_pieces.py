"""The tokens of words by `word_pieces.c`: as `WordPieces`, in a sixth of its time."""

import os
import threading
import weakref
from array import array
from collections.abc import Sequence
from ctypes import POINTER, Structure, c_char_p, c_int64, c_uint64, c_void_p, sizeof
from functools import cache
from typing import Any

import numpy as np
import tokenizers
from numpy.typing import NDArray
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer

from ..compiled import load
from .batches import Tokens
from .word_pieces import MOST, MOST_LETTERS, Frame, Pieces, tokens_of

# From so many words on that the library has tokenised, the file of C is given the vocabulary, which
# takes as long as that did. A command that asks one question never needs it.
LEARNED = 5_000

_VERSION = 1  # as in the file of C
_ASCII = 128
_ALL = (1 << 63) - 1  # tokens of a text
_HEAD = bytes(16)  # what the file of C may read behind letters


class _Stranger(Structure):
    """As the file of C says."""

    _fields_ = (("word", c_int64), ("at", c_int64), ("size", c_int64))


@cache
def library() -> Any:
    """`word_pieces.c`, compiled; None where it was not, or is of another version."""
    table, letters, numbers = c_void_p, c_char_p, c_void_p
    return load(
        f"{__package__}.native_word_pieces",
        _VERSION << 32 | sizeof(_Stranger),
        {
            "make_table": (table, (c_uint64,)),
            "empty_table": (None, (table,)),
            "free_table": (None, (table,)),
            "give_vocabulary": (
                c_int64,
                (table, letters, numbers, numbers, c_int64, letters, *[c_int64] * 4, letters),
            ),
            "look_up": (c_int64, (table, letters, numbers, *[c_int64] * 4)),
            "strangers": (POINTER(_Stranger), (table,)),
            "learn": (c_int64, (table, *[numbers] * 3)),
            "count_tokens": (c_int64, (table,)),
            "write_tokens": (None, (table, c_int64, numbers)),
            "write_framed": (
                c_int64,
                (table, *[c_int64] * 2, *[numbers, c_int64] * 2, c_int64, numbers, numbers),
            ),
        },
    )


class NativePieces:
    """What is known of words. Threads may share it."""

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        """Of a tokenizer that `runs_by_words`, without truncation and padding."""
        self._library = library()
        self._backend = backend
        self._using = threading.Lock()
        self._learned: int | None = 0  # words, by the library; None once there is a vocabulary
        self._table = self._library.make_table(int.from_bytes(os.urandom(8), "little"))
        if not self._table:
            raise MemoryError("the tokens of words")
        # Not at the end of the program: a thread may be tokenising then.
        weakref.finalize(self, self._library.free_table, self._table).atexit = False

    def forget(self) -> None:
        """Know no word."""
        with self._using:
            self._library.empty_table(self._table)

    def of(self, texts: Sequence[str]) -> Pieces:
        """The tokens of each text, as the tokenizer gives them."""
        letters, sizes = _joined(texts)
        with self._using:
            self._look_up(letters, sizes, _ALL)
            count = self._library.count_tokens(self._table)
            found = np.empty(3 * count + len(texts), np.int64)
            self._library.write_tokens(self._table, count, _at(found))
        ids, starts, ends = found[: 3 * count].reshape(3, count)
        return Pieces(ids, starts, ends, found[3 * count :])

    def tokens(self, texts: Sequence[str], frame: Frame) -> Tokens:
        """The tokens of each text, cut, between special ones."""
        before, after, room, cut_left, pad = frame
        special = _at(before), len(before), _at(after), len(after), pad
        letters, sizes = _joined(texts)
        kept = np.empty(len(texts), np.int64)
        with self._using:
            self._look_up(letters, sizes, _ALL if cut_left else room)
            most = min(self._library.count_tokens(self._table), room * len(texts))
            ids = np.empty(most + len(texts) * (len(before) + len(after) + 1), np.int64)
            written = room, cut_left, *special, _at(ids), _at(kept)
            count = self._library.write_framed(self._table, *written)
        return Tokens(ids[:count], None, kept)

    def _look_up(self, letters: bytes, sizes: "array[int]", enough: int) -> None:
        """Have the table know the words of texts, of each as many as have `enough` tokens."""
        at, count = sizes.buffer_info()
        asked = self._table, letters, at, count, MOST, MOST_LETTERS, enough
        strange = _fitting(self._library.look_up(*asked))
        if self._learned is not None and self._learned + strange >= LEARNED:
            self._give_vocabulary()
            self._library.empty_table(self._table)
            strange = _fitting(self._library.look_up(*asked))
        if strange:
            self._learn(letters, strange)

    def _learn(self, letters: bytes, strange: int) -> None:
        """Tokenise the words of the texts that are not known."""
        strangers = self._library.strangers(self._table)[:strange]
        words = [letters[one.at : one.at + one.size].decode() for one in strangers]
        ids, spans, sizes = tokens_of(self._backend, words)
        _fitting(self._library.learn(self._table, *map(_at, (sizes, ids, spans))))
        if self._learned is not None:
            self._learned += strange

    def _give_vocabulary(self) -> None:
        """Have words of ASCII tokenised by the file of C from now on, where it can."""
        model, normalizer = self._backend.model, self._backend.normalizer
        assert isinstance(model, WordPiece)
        assert isinstance(normalizer, BertNormalizer)
        ids = self._backend.get_vocab(False)
        unknown, elsewhere = ids.get(model.unk_token), _begun_by(self._backend)
        if unknown is not None and elsewhere is not None:
            longest = min(model.max_input_chars_per_word, _ALL)
            pieces = [(piece.encode(), id) for piece, id in ids.items() if piece.isascii()]
            sizes = np.array([len(piece) for piece, _ in pieces], np.int64)
            numbers = np.array([id for _, id in pieces], np.int64)
            prefix = model.continuing_subword_prefix.encode()
            _fitting(
                self._library.give_vocabulary(
                    *(self._table, b"".join(piece for piece, _ in pieces) + _HEAD),
                    *(_at(sizes), _at(numbers), len(pieces), prefix + _HEAD, len(prefix)),
                    *(unknown, longest, normalizer.lowercase, elsewhere),
                )
            )
        self._learned = None


def _begun_by(backend: tokenizers.Tokenizer) -> bytes | None:
    """For each character of ASCII, 1 where a special token begins with it, in either case.

    A word that has it may be more than pieces. None where a special token begins with what may be
    normalised away, or to another.
    """
    begun = bytearray(_ASCII)
    for token in backend.get_added_tokens_decoder().values():
        for letter in {token.content[:1].lower(), token.content[:1].upper()}:
            if len(letter) != 1 or not "!" <= letter <= "~":
                return None
            begun[ord(letter)] = 1
    return bytes(begun)


def _joined(texts: Sequence[str]) -> tuple[bytes, "array[int]"]:
    """Texts one after the other, and how many bytes each has."""
    encoded = [text.encode() for text in texts]
    sizes = array("q", map(len, encoded))
    return b"".join([*encoded, _HEAD]), sizes


def _at(array: NDArray[Any]) -> int:
    return array.ctypes.data


def _fitting(given: int) -> int:
    """What a function gave; MemoryError where it says that memory ended."""
    if given < 0:
        raise MemoryError("the tokens of words")
    return given
