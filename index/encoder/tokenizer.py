"""Text to token ids, by the `tokenizers` library from a model's own tokenizer.json."""

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import tokenizers
from tokenizers.normalizers import BertNormalizer, Lowercase
from tokenizers.normalizers import Sequence as NormalizerSequence

from ..errors import ModelError
from ..types import Json
from .batches import Numbers, Tokens
from .declaration import Declaration, read_json
from .native_pieces import NativePieces, library
from .weights import AGAIN
from .word_pieces import Frame, Pieces, WordPieces, runs_by_words, takes_spaces

# The files a tokenizer may be made of, whichever of them a folder has.
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "spiece.model",
    "tokenizer.model",
)

# From so many texts on, it pays to make a second tokenizer, which takes 0.1 s.
_MANY = 1024

_SURROGATES = re.compile("[\ud800-\udfff]")


class Tokenizer:
    """Threads may share it: a call changes nothing that another could see."""

    def __init__(self, declaration: Declaration) -> None:
        """Load the tokenizer of a model folder. Raises ModelError where there is none."""
        folder = declaration.folder
        options = read_json(folder / "tokenizer_config.json")
        self._backend = _load(folder)
        self._backend.no_truncation()
        self._backend.no_padding()
        self._backend.normalizer = _normalizer(
            self._backend.normalizer, options, declaration.lowercase
        )
        self._cutting: dict[int, tokenizers.Tokenizer] = {}
        self._words = _by_words(self._backend)
        self._taking_spaces = takes_spaces(self._backend)
        self._cut = "left" if options.get("truncation_side") == "left" else "right"
        self.pad = _pad_id(self._backend, options, declaration.config)
        self.special = self._backend.num_special_tokens_to_add(False)
        self._frame = _frame(self._backend)

    def encode(self, texts: Sequence[str], length: int) -> Tokens:
        """Texts to tokens, each cut to `length` with its special tokens.

        A lone surrogate is read as U+FFFD. A text that gives no token at all, because the tokenizer
        adds no special ones, is the padding token alone.
        """
        clean = list(map(_clean, texts))
        if self._frame and (words := self._words_for(clean)):
            before, after = self._frame
            room = max(length - self.special, 0)
            frame = Frame(before, after, room, self._cut == "left", self.pad)
            return words.tokens(clean, frame)
        if len(texts) < _MANY:
            # Truncation is not set in the backend, because spans must not have it.
            wholes = self._backend.encode_batch(clean, add_special_tokens=False)
            for place, encoding in enumerate(wholes):
                encoding.truncate(max(length - self.special, 0), direction=self._cut)
                wholes[place] = self._backend.post_process(encoding)
        else:
            wholes = self._with_truncation(length).encode_batch_fast(clean)
        ids = [whole.ids or [self.pad] for whole in wholes]
        if self._frame:
            return Tokens.of(ids)
        return Tokens.of(ids, [whole.type_ids or [0] for whole in wholes])

    def _words_for(self, texts: Sequence[str]) -> NativePieces | WordPieces | None:
        """What tokenises these texts word by word; None where one of them must be taken whole."""
        if any(token in text for token in self._taking_spaces for text in texts):
            return None
        return self._words

    def _with_truncation(self, length: int) -> tokenizers.Tokenizer:
        """A tokenizer that cuts and adds special tokens on all cores, outside of Python."""
        if length not in self._cutting:
            cutting = tokenizers.Tokenizer.from_str(self._backend.to_str())
            cutting.enable_truncation(length, direction=self._cut)
            self._cutting[length] = cutting
        return self._cutting[length]

    def prompt_tokens(self, prompt: str, length: int) -> int:
        """How many tokens at the start of a text with this prompt are the prompt's.

        As sentence-transformers counts: those of the prompt alone with its special tokens, without
        a special token at the end.
        """
        if not prompt:
            return 0
        encoding = self._backend.encode(_clean(prompt), add_special_tokens=False)
        encoding.truncate(max(length - self.special, 0), direction=self._cut)
        whole = self._backend.post_process(encoding)
        return len(whole.ids) - (whole.special_tokens_mask[-1:] == [1])

    def count(self, text: str) -> int:
        """Tokens of a text, without special tokens and without a limit."""
        return len(self._backend.encode(_clean(text), add_special_tokens=False))

    def spans(self, texts: Sequence[str]) -> list[Numbers]:
        """[start, end) of each token of each text, [n, 2], in code points, none of them special.

        Starts and ends never decrease; a token that stands for no text of its own is empty.
        """
        # One code point for one, so that the offsets hold for the text as given.
        pieces = self.pieces(texts)
        lengths = np.array([len(text) for text in texts], np.int64)
        # As if the texts stood one behind the other: then none decreases from one to the next.
        first = np.repeat(np.cumsum(lengths) - lengths, pieces.sizes)
        starts = np.maximum.accumulate(pieces.starts + first) - first
        ends = np.maximum(np.maximum.accumulate(pieces.ends + first) - first, starts)
        spans = np.stack([starts, ends], axis=1)
        stops = [0, *np.cumsum(pieces.sizes).tolist()]
        return [spans[start:stop] for start, stop in pairwise(stops)]

    def pieces(self, texts: Sequence[str]) -> Pieces:
        """The tokens of each text, without special tokens or a limit."""
        clean = list(map(_clean, texts))
        if words := self._words_for(clean):
            return words.of(clean)
        wholes = self._backend.encode_batch(clean, add_special_tokens=False)
        ids = np.array([id for whole in wholes for id in whole.ids], np.int64)
        spans = np.array([span for whole in wholes for span in whole.offsets], np.int64)
        sizes = np.array([len(whole) for whole in wholes], np.int64)
        starts, ends = spans.reshape(-1, 2).T
        return Pieces(ids, starts, ends, sizes)


def _clean(text: str) -> str:
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def _by_words(backend: tokenizers.Tokenizer) -> NativePieces | WordPieces | None:
    """What tokenises texts word by word; None where only whole texts can be tokenised."""
    if not runs_by_words(backend):
        return None
    return NativePieces(backend) if library() else WordPieces(backend)


def _frame(backend: tokenizers.Tokenizer) -> tuple[Numbers, Numbers] | None:
    """The special tokens before a text and after it; None where tokens are of several types."""
    whole = backend.post_process(backend.encode("a", add_special_tokens=False))
    if any(whole.type_ids) or 0 not in whole.special_tokens_mask:
        return None
    before = whole.special_tokens_mask.index(0)
    after = len(whole) - whole.special_tokens_mask[::-1].index(0)
    ids = np.array(whole.ids, np.int64)
    return ids[:before], ids[after:]


def _load(folder: Path) -> tokenizers.Tokenizer:
    path = folder / "tokenizer.json"
    if path.is_file():
        try:
            return tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises Exception itself, whatever is wrong
            raise ModelError(f"{path} cannot be read ({error}): {AGAIN}") from error
    refuse_without_tokenizer(folder)
    from .torch_backend import convert_tokenizer

    return convert_tokenizer(folder)


def refuse_without_tokenizer(folder: Path) -> None:
    """ModelError where a folder has no file that a tokenizer can be made of.

    transformers makes one even so, to which every word is unknown.
    """
    made_of = (TOKENIZER_FILES[0], *TOKENIZER_FILES[4:])
    if not any((folder / name).is_file() for name in made_of):
        raise ModelError(f"{folder} has no tokenizer: tokenizer.json is missing; {AGAIN}")


def _normalizer(
    normalizer: object, options: Mapping[str, Json], lowercase: bool
) -> BertNormalizer | NormalizerSequence | None:
    """The tokenizer's normalizer, with what tokenizer_config.json and `lowercase` say of case."""
    if isinstance(normalizer, BertNormalizer):
        accents = options.get("strip_accents", normalizer.strip_accents)
        chinese = options.get("tokenize_chinese_chars", normalizer.handle_chinese_chars)
        lower = options.get("do_lower_case", normalizer.lowercase)
        normalizer = BertNormalizer(
            clean_text=normalizer.clean_text,
            handle_chinese_chars=bool(chinese),
            strip_accents=accents if isinstance(accents, bool) else None,
            lowercase=bool(lower),
        )
    if lowercase:
        rest = [] if normalizer is None else [normalizer]
        return NormalizerSequence([Lowercase(), *rest])
    return normalizer  # type: ignore[return-value]


def _pad_id(
    backend: tokenizers.Tokenizer, options: Mapping[str, Json], config: Mapping[str, Json]
) -> int:
    token = options.get("pad_token")
    content = token.get("content") if isinstance(token, dict) else token
    pad = backend.token_to_id(content) if isinstance(content, str) else None
    declared = config.get("pad_token_id")
    return next((value for value in (pad, declared) if isinstance(value, int)), 0)
