# ruff: noqa: RUF001 - the scripts are meant
"""A document -> its passages: every character in one, none too long, cut where a reader would."""

import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from math import ceil

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from clsearch.index.passages import encoded_text, encoded_texts, split
from clsearch.index.types import Document, Heading, Passage

LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = ["[UNK]", "the", "router", "re", "##set", "hold", "한국", "##어", "ไทย", *LETTERS]
VOCABULARY += [f"##{letter}" for letter in LETTERS] + list(".,;:!?-#=()。、")


def wordpiece() -> Tokenizer:
    """A small tokenizer that works as BERT's does: words, pieces, unknown words of any length."""
    tokenizer = Tokenizer(
        models.WordPiece(
            {piece: number for number, piece in enumerate(VOCABULARY)},
            unk_token="[UNK]",
            max_input_chars_per_word=100,
        )
    )
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


TOKENIZER = wordpiece()


def token_spans(texts: Sequence[str]) -> list[list[tuple[int, int]]]:
    """As an encoder gives them."""
    return [one.offsets for one in TOKENIZER.encode_batch(texts, add_special_tokens=False)]


def count(text: str) -> int:
    """The tokens of a text."""
    return len(token_spans([text])[0])


def words(texts: Sequence[str]) -> list[list[tuple[int, int]]]:
    """One token a word, so that lengths can be counted by eye."""
    return list(map(_words, texts))


def _words(text: str) -> list[tuple[int, int]]:
    spans, end = [], 0
    for word in text.split():
        start = text.index(word, end)
        end = start + len(word)
        spans.append((start, end))
    return spans


def check(document: Document, passages: list[Passage], limit: int) -> None:
    """What holds for all passages of all documents."""
    text = document.text
    covered = [False] * len(text)
    for passage in passages:
        assert document.text[passage.start : passage.end] == passage.text
        assert passage.text == passage.text.strip() != ""
        # One character may have more tokens than the limit; it cannot be cut.
        assert count(passage.text) <= limit or len(passage.text) == 1
        assert passage.line == document.line + text.count("\n", 0, passage.start)
        covered[passage.start : passage.end] = [True] * len(passage.text)
    assert all(done or text[at].isspace() for at, done in enumerate(covered))
    for before, after in pairwise(passages):
        assert before.end <= after.start


FRAGMENTS = st.sampled_from(
    [
        "the router ", "Reset it. ", "hold, then ", "\n", "\n\n", "\n\n    ", "\n- ", "\n1. ",
        "今天天气很好。", "我们去、公园！", "ภาษาไทยเป็น", " ", "\t", "한국어 ", "한국어", "اللغة؟ ",
        "हिन्दी। ", "👨‍👩‍👧‍👦", "🇩🇪🇫🇷", "e\u0301\u0302", "\u200b", "\u200b" * 40, "x" * 120,
        "antidisestablishment", "e.g. ", "...", "?!", "\u3000", "\x1c", "\x85", "Dr. Who ",
        "\u0301", " " * 300, ".",
    ]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    pieces=st.lists(st.one_of(FRAGMENTS, st.text(max_size=8)), max_size=60),
    limit=st.sampled_from([1, 2, 3, 5, 8, 16, 40, 250]),
    above=st.sampled_from(["", "T", "the router " * 9]),
    cuts=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 4)), max_size=5),
)
@example(pieces=["a" * 5000], limit=8, above="T", cuts=[])
@example(pieces=["e" + "\u0301" * 3000], limit=8, above="T", cuts=[])
@example(pieces=["." * 3000], limit=8, above="T", cuts=[])
@example(pieces=["👨‍👩‍👧‍👦"] * 300, limit=8, above="T", cuts=[])
def test_passages_cover_the_document(
    pieces: list[str], limit: int, above: str, cuts: list[tuple[float, int]]
) -> None:
    """In every script, with any headings, at any limit."""
    text = "".join(piece.replace("\r", "") for piece in pieces)
    text = text.encode("utf-8", "replace").decode()
    headings = tuple(
        Heading(int(place * len(text)), level, text[int(place * len(text)) :][:5])
        for place, level in sorted(cuts)
    )
    document = Document("d", above, text, headings=headings, line=3)
    if text.strip():
        check(document, split(document, token_spans, limit), limit)


def texts(text: str, limit: int) -> list[str]:
    """The passages' texts, a word counting one token."""
    return [passage.text for passage in split(Document("d", "", text), words, limit)]


def test_a_short_text_is_one_passage() -> None:
    """White space around it is not part of it."""
    assert texts("\n  One. Two.\n\nThree. \n", 10) == ["One. Two.\n\nThree."]


def test_paragraphs_stay_whole_and_shares_are_even() -> None:
    """Ten words at eight a passage: a cut near the middle, not after the eighth."""
    assert texts("a a a a\n\nb b\n\nc c c c", 8) == ["a a a a", "b b\n\nc c c c"]


def test_an_indented_paragraph_is_cut_last() -> None:
    """The second function is not torn from its body."""
    code = "def f\n    a a a\n\ndef g\n    b b\n\n    c c"
    assert texts(code, 7) == ["def f\n    a a a", "def g\n    b b\n\n    c c"]


def test_sentences_stay_whole() -> None:
    """A wrapped line ends none, nor do abbreviations, initials and numbers."""
    sentences = ["One two\nthree four.", "See e.g. J. Smith and 3.5 more.", "Last one."]
    assert texts(" ".join(sentences), 7) == sentences


@pytest.mark.parametrize(
    "sentences",
    [
        ["今天天气很好。", "我们去公园玩！", "你好吗？"],
        ["यह एक है। ", "यह दो है। "],
        ["ما هذا؟ ", "هذا بيت. "],
        ["Τι είναι; αυτό. ", "Ναι! "],
        ["He said “Stop.” ", "(They did.) "],
    ],
)
def test_sentences_of_every_script(sentences: list[str]) -> None:
    """Cut after their own marks, with or without a space."""
    text = "".join(sentences * 2)
    longest = max(count(sentence) for sentence in sentences)
    document = Document("d", "", text)
    found = split(document, token_spans, longest)
    check(document, found, longest)
    starts = {0}
    for sentence in sentences * 2:
        starts.add(max(starts) + len(sentence))
    assert {passage.start for passage in found} <= starts


def test_items_of_a_list_stay_whole() -> None:
    """They have no full stop to be cut at."""
    assert texts("- a b c\n- d e f\n2. g h i", 6) == ["- a b c", "- d e f", "2. g h i"]


def test_nothing_is_said_twice() -> None:
    """Sentences are shared out; none is repeated."""
    assert texts("A a a a. B b b. C c c. D d d. E e e. F f f.", 16) == [
        "A a a a. B b b. C c c.",
        "D d d. E e e. F f f.",
    ]


def test_title_and_headings_take_room() -> None:
    """A passage has what the encoder takes less what stands above it, yet at least half."""
    text = "# B C\n\n" + "d " * 100
    document = Document("d", "A", text, headings=(Heading(0, 1, "B C"),))  # A > B C: four words
    longest = {room: max(len(p.text.split()) for p in split(document, words, room)) for room in
               (6, 20, 30, 100)}  # fmt: skip
    assert longest == {6: 3, 20: 15, 30: 26, 100: 52}
    assert max(len(p.text.split()) for p in split(document, words, 100, goal=10)) == 10


def test_a_passage_keeps_to_its_section() -> None:
    """Its heading is the path to it; what stands before the first has none."""
    text = "Some words of introduction.\n\n# A\n\na a a a\n\n## B\n\nb b b b\n\n# C\n\nc c c c"
    headings = tuple(
        Heading(text.index(f"{mark} {name}"), len(mark), name)
        for mark, name in (("#", "A"), ("##", "B"), ("#", "C"))
    )
    document = Document("d", "T", text, headings=headings, pages=(0, text.index("## B")), line=5)
    assert [(p.text, p.heading, p.line, p.page) for p in split(document, words, 15, 12)] == [
        ("Some words of introduction.", "", 5, 1),
        ("# A\n\na a a a", "A", 7, 1),
        ("## B\n\nb b b b", "A > B", 11, 2),
        ("# C\n\nc c c c", "C", 15, 2),
    ]


def test_a_heading_alone_stands_with_what_is_below_it() -> None:
    """The short stand with the short, below what they share."""
    text = "# A\n\n## B\n\nb b b b b b b b\n\n## C\n\nc\n\n## D\n\nd\n\n# E\n\ne"
    headings = tuple(
        Heading(text.index(f"{mark} {name}"), len(mark), name)
        for mark, name in (("#", "A"), ("##", "B"), ("##", "C"), ("##", "D"), ("#", "E"))
    )
    document = Document("d", "T", text, headings=headings)
    assert [(p.text, p.heading) for p in split(document, words, 24)] == [
        ("# A\n\n## B\n\nb b b b b b b b", "A > B"),
        ("## C\n\nc\n\n## D\n\nd", "A"),
        ("# E\n\ne", "E"),
    ]


def test_lines_of_a_document_that_has_none_of_its_file() -> None:
    """A record is all on the line of its file."""
    document = Document("d", "", "a a\nb b\nc c", line=7, lined=False)
    assert [passage.line for passage in split(document, words, 2)] == [7, 7, 7]


def test_blank_documents() -> None:
    """A title alone can be found; nothing cannot."""
    assert split(Document("d", "Title", " \n"), words, 8) == [Passage(0, 0, "", 1)]
    assert split(Document("d", " ", " \n"), words, 8) == []


def test_graphemes_stay_whole() -> None:
    """A family is four people and three joiners, a letter may have marks, a flag is two."""
    for grapheme in ("👨‍👩‍👧‍👦", "e\u0301\u0302", "🇩🇪", "각"):
        text = unicodedata.normalize("NFD", grapheme) * 400
        size = len(unicodedata.normalize("NFD", grapheme))
        found = split(Document("d", "", text), token_spans, 20)
        assert len(found) > 1
        assert all(p.start % size == 0 and p.end % size == 0 for p in found), grapheme


def test_the_work_grows_with_the_text_and_no_faster() -> None:
    """Each character is tokenised at most once where words are kept whole, whatever its length."""
    counted = 0

    def counting(texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        nonlocal counted
        counted += sum(map(len, texts))
        return words(texts)

    text = "All of this is on one line. " * 20_000
    found = split(Document("d", "", text), counting, 250, 200)
    assert counted == len(text)
    assert len(found) <= ceil(140_000 / 180)


def test_text_for_the_encoder() -> None:
    """Below its title and headings, without those that it says itself; in NFC."""
    assert encoded_text("Routers", "", "Reset it.") == "Routers\nReset it."
    assert encoded_text("Routers", "", "# Routers\n\nReset it.") == "# Routers\n\nReset it."
    assert encoded_text("", "", "e\u0301") == "é"
    assert encoded_text("e\u0301", "", "é first") == "é first"
    assert encoded_text(" Title ", "", "") == "Title"
    assert encoded_text("T", "A > B", "text") == "T > A > B\ntext"
    assert encoded_text("T", "T > B", "text") == "T > B\ntext"
    assert encoded_text("", "A", "text") == "A\ntext"
    assert encoded_text("T", "A > B", "## B\n\ntext") == "T > A\n## B\n\ntext"
    assert encoded_text("T", "A > B", "# A\n\n## B\n\ntext") == "T\n# A\n\n## B\n\ntext"
    assert encoded_text("T", "T > B", "# T\n\n## B\n\ntext") == "# T\n\n## B\n\ntext"
    assert encoded_text("x" * 300, "A", "text") == "x" * 256 + "\ntext"


def test_text_that_an_earlier_version_gave_the_encoder() -> None:
    """Without headings."""
    assert encoded_texts("T", "A", "text") == ("T > A\ntext", "T\ntext")
    assert encoded_texts("T", "A", "T is") == ("T is", "T is")
    assert encoded_texts("", "A", "text") == ("A\ntext", "text")
    assert encoded_texts("T", "A", "") == ("T > A", "T")
