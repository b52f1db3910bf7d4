"""The tokens of words, each tokenised once: texts repeat their words.

Exact where white space ends every token, and no token depends on what stands beyond it, as in
BERT's tokenizer: WordPiece (Schuster and Nakajima, 2012) after a split at spaces and punctuation.
A text whose words are known takes a tenth of the time that the `tokenizers` library takes.
"""

import threading
from array import array
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tokenizers
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from .batches import Numbers, Tokens, ranges

# With more tokens in its words, or more letters, all words are forgotten: some 50 MB.
MOST = 500_000
MOST_LETTERS = 8_000_000

# So many unknown words are tokenised at once.
TOGETHER = 500


class Pieces(NamedTuple):
    """The tokens of texts, without special ones, one text after the other.

    `ids` [n]; `starts` and `ends` [n], code points of their text; `sizes` [t], tokens of each text.
    """

    ids: Numbers
    starts: Numbers
    ends: Numbers
    sizes: Numbers


class Frame(NamedTuple):
    """What a text's tokens become: `room` of them at most, between `before` [b] and `after` [a].

    The first, or the last where it is `cut_left`. A text that gives no token at all is `pad` alone.
    """

    before: Numbers
    after: Numbers
    room: int
    cut_left: bool
    pad: int


def runs_by_words(backend: tokenizers.Tokenizer) -> bool:
    """Whether the tokens of a text are those of its words: a tokenizer like BERT's."""
    return (
        isinstance(backend.normalizer, BertNormalizer)
        and isinstance(backend.pre_tokenizer, BertPreTokenizer)
        and isinstance(backend.model, WordPiece)
        and not any(map(_reaches_out, backend.get_added_tokens_decoder().values()))
    )


def _reaches_out(token: tokenizers.AddedToken) -> bool:
    """Whether an added token may take what stands beyond the word that it is in.

    One that takes the spaces beside it, as MPNet's `<mask>`, is in no word where it is found as it
    is written: then `takes_spaces` names it.
    """
    beside = token.lstrip or token.rstrip
    return any(map(str.isspace, token.content)) or (beside and token.normalized)


def takes_spaces(backend: tokenizers.Tokenizer) -> list[str]:
    """The added tokens that take the spaces beside them: a text with one is tokenised whole."""
    added = backend.get_added_tokens_decoder().values()
    return [token.content for token in added if token.lstrip or token.rstrip]


class WordPieces:
    """What is known of words. Threads may share it."""

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        """Of a tokenizer that `runs_by_words`, without truncation and padding."""
        self._backend = backend
        self._using = threading.Lock()
        self.forget()

    def forget(self) -> None:
        """Know no word."""
        self._known = _Places()
        self._letters = 0
        self._ids, self._starts, self._ends = array("q"), array("q"), array("q")
        self._bounds = array("q", [0])  # the tokens of a word are those from its place to the next

    def of(self, texts: Sequence[str]) -> Pieces:
        """The tokens of each text, as the tokenizer gives them."""
        words: list[str] = []
        counts = np.empty(len(texts), np.int64)
        for place, text in enumerate(texts):
            # Other white space stays in the words: the tokenizer sees to it.
            found = text.replace("\n", " ").replace("\t", " ").replace("\r", " ").split(" ")
            words += found
            counts[place] = len(found)
        with self._using:
            try:
                ids, starts, ends, sizes = self._look_up(words)
            except BaseException:  # words may have a place, and no tokens yet
                self.forget()
                raise
        lengths = np.fromiter(map(len, words), np.int64, len(words)) + 1
        firsts = np.cumsum(counts) - counts
        begins = np.cumsum(lengths) - lengths
        begins = np.repeat(begins - np.repeat(begins[firsts], counts), sizes)
        ends_of_words = np.concatenate([[0], np.cumsum(sizes)])
        per_text = ends_of_words[firsts + counts] - ends_of_words[firsts]
        return Pieces(ids, starts + begins, ends + begins, per_text)

    def tokens(self, texts: Sequence[str], frame: Frame) -> Tokens:
        """The tokens of each text, cut, between special ones."""
        pieces = self.of(texts)
        before, after = frame.before, frame.after
        kept = np.minimum(pieces.sizes, frame.room)
        firsts = np.cumsum(pieces.sizes) - pieces.sizes
        if frame.cut_left:
            firsts += pieces.sizes - kept
        sizes = np.maximum(len(before) + kept + len(after), 1)
        starts = np.cumsum(sizes) - sizes
        # Where nothing else comes, padding stays.
        ids = np.full(sizes.sum(), frame.pad)
        ids[ranges(starts + len(before), kept)] = pieces.ids[ranges(firsts, kept)]
        for place, token in enumerate(before.tolist()):
            ids[starts + place] = token
        for place, token in enumerate(after.tolist(), len(before)):
            ids[starts + kept + place] = token
        return Tokens(ids, None, sizes)

    def _look_up(self, words: list[str]) -> tuple[Numbers, Numbers, Numbers, Numbers]:
        """Ids, starts and ends of the tokens of words, and how many tokens each word has."""
        if len(self._ids) > MOST or self._letters > MOST_LETTERS:
            self.forget()
        places = np.fromiter(map(self._known.__getitem__, words), np.int64, len(words))
        self._learn()
        bounds = np.frombuffer(self._bounds, np.int64)
        first = bounds[places]
        sizes = bounds[places + 1] - first
        chosen = ranges(first, sizes)
        ids, starts, ends = (
            np.frombuffer(values, np.int64)[chosen] if values else chosen
            for values in (self._ids, self._starts, self._ends)
        )
        return ids, starts, ends, sizes

    def _learn(self) -> None:
        """Tokenise the words that were asked for and are not known."""
        new = self._known.new
        if new:
            ids, spans, sizes = tokens_of(self._backend, new)
            self._letters += sum(map(len, new))
            self._ids.frombytes(ids.tobytes())
            self._starts.frombytes(spans[:, 0].tobytes())
            self._ends.frombytes(spans[:, 1].tobytes())
            self._bounds.frombytes((self._bounds[-1] + np.cumsum(sizes)).tobytes())
        new.clear()


def tokens_of(
    backend: tokenizers.Tokenizer, words: Sequence[str]
) -> tuple[Numbers, Numbers, Numbers]:
    """Ids [n] and spans [n, 2], in code points of the word, of the tokens of words [m]; their sizes
    [m], of which there is one at least.
    """
    # Many in a text, for which the tokenizer takes less time than for each alone.
    groups = [words[at : at + TOGETHER] for at in range(0, len(words), TOGETHER)]
    ids, spans, sizes = zip(*(_tokens_of(backend, group) for group in groups), strict=True)
    return np.concatenate(ids), np.concatenate(spans), np.concatenate(sizes)


def _tokens_of(
    backend: tokenizers.Tokenizer, words: Sequence[str]
) -> tuple[Numbers, Numbers, Numbers]:
    encoding = backend.encode(" ".join(words), add_special_tokens=False)
    lengths = np.fromiter(map(len, words), np.int64, len(words)) + 1
    begins = np.cumsum(lengths) - lengths
    spans = np.array(encoding.offsets, np.int64).reshape(-1, 2)
    of_word = np.searchsorted(begins, spans[:, 0], side="right") - 1
    spans -= begins[of_word, None]
    return np.array(encoding.ids, np.int64), spans, np.bincount(of_word, minlength=len(words))


class _Places(dict[str, int]):
    """Words, numbered as they come; `new` are those that came since it was emptied."""

    def __init__(self) -> None:
        super().__init__()
        self.new: list[str] = []

    def __missing__(self, word: str) -> int:
        place = self[word] = len(self)
        self.new.append(word)
        return place
