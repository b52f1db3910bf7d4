"""The words that are marked are those that full text finds, the sentence the one that answers."""

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from clsearch.index import analysis
from clsearch.search.query import plain
from clsearch.search.snippets import MOST_ENCODED, Snippet, Snippets, sentences

anything = st.text(st.characters(), max_size=60)
SHAPES = [
    *'。\uff01\uff1f」』.!?…"”)\n#-*+>|',
    " ",
    "\n\n",
    "\n- ",
    "\n1. ",
    "\n# ",
    "Dr.",
    "a",
    "B",
    "7",
    "é",
]
shaped = st.lists(st.sampled_from(SHAPES), max_size=40).map("".join)


class Nearness:
    """Cosines by the words of a sentence, 0 else; remembers what it was asked."""

    def __init__(self, **cosines: float) -> None:
        self.cosines = cosines
        self.asked: list[list[str]] = []

    def __call__(self, texts: list[str]) -> NDArray[np.float32]:
        self.asked.append(texts)
        words = [re.findall(r"\w+", text) for text in texts]
        found = [max(self.cosines.get(word, 0.0) for word in of_one) for of_one in words]
        return np.array(found, np.float32)


def snippets(
    passages: Sequence[tuple[str, Collection[str]]],
    weights: Mapping[str, float],
    whole: Collection[str],
    nearness: Nearness | None,
) -> list[Snippet]:
    """As a search makes them: what words leave undecided is encoded, all of it at once."""
    made = Snippets(passages, weights, whole)
    if nearness is None or not made.undecided:
        return made.by_words()
    return made.by_both(nearness(made.undecided).tolist())


def of(query: str, text: str) -> Snippet:
    """The snippet of one text, by words alone."""
    asked = plain(query)
    return snippets([(text, ())], dict.fromkeys(asked.terms, 1.0), asked.whole, None)[0]


def marked(query: str, text: str) -> list[str]:
    """The marked words."""
    return [text[slice(*span)] for span in of(query, text).marks]


def answers(
    text: str,
    weights: Mapping[str, float],
    nearness: Nearness | None = None,
    headings: tuple[str, ...] = (),
) -> str:
    """The sentence that is chosen."""
    (snippet,) = snippets([(text, headings)], weights, (), nearness)
    return text[slice(*snippet.sentence)]


def cut(text: str) -> list[str]:
    """The sentences of a text."""
    return [text[slice(*span)] for span in sentences(text)]


@pytest.mark.parametrize(
    ("query", "text", "words"),
    [
        ("run naive cafés", "Running the naïve Café; a runner", ["Running", "naïve", "Café"]),
        ("word", "\U0001f600 é word, word", ["word", "word"]),
        ("how do I reset it", "Resetting is how you do it", ["Resetting"]),
        ("東京", "ここは東京都です", ["東京"]),
        ("東京都", "ここは東京都です", ["東京都"]),  # two pairs that overlap are one mark
        ("都", "東京都庁と都", ["都", "都"]),
        ("한국어", "이것은 한국어로 된 책", ["한국어"]),
        (
            "\uff41\uff42\uff43 ガス",
            "ABC \uff41\uff42\uff43 ｶﾞｽ",
            ["ABC", "\uff41\uff42\uff43", "ｶﾞｽ"],
        ),
        ("ガ", "ｶﾞｽ", ["ｶﾞ"]),
        ("getUserName", "call get_user_name now", ["get_user_name"]),
        ("wi-fi", "the WiFi, wifi or Wi-Fi", ["WiFi", "wifi", "Wi-Fi"]),
        ("wifi", "the Wi-Fi", ["Wi-Fi"]),
        ("user", "getUserName", ["User"]),
        ("CVE-2021-44228", "see CVE-2021-44228.", ["CVE-2021-44228"]),
        ("b d", "a\0b \ud800\x01c\x02d", ["b", "d"]),
        ("nothing", "of it is here", []),
        ("?!", "a ?! b", []),
        ("a", "", []),
    ],
)
def test_marks(query: str, text: str, words: list[str]) -> None:
    """As the words stand in the text, whatever form they have there."""
    assert marked(query, text) == words


@pytest.mark.parametrize(
    ("query", "word"),
    [("cafe", "café"), ("viet", "Việt"), ("한국어", "한국어"), ("책", "책"), ("が", "が")],
)
def test_marks_in_decomposed_text(query: str, word: str) -> None:
    """A letter of several code points is marked whole, and nothing beside it."""
    text = unicodedata.normalize("NFD", f"à, {word} à.")
    assert marked(query, text) == [unicodedata.normalize("NFD", word)]
    assert of(query, text).marks[0][0] == 4


def test_a_lone_character_begins_a_decomposed_word() -> None:
    """Only the syllable that was asked for is marked."""
    text = unicodedata.normalize("NFD", "한국어")
    assert marked("한", text) == [unicodedata.normalize("NFD", "한")]


def test_each_text_has_its_own() -> None:
    """In their order."""
    texts = ["a1 b1", "c1", "", "b1"]
    found = snippets([(text, ()) for text in texts], {"b1": 1.0}, (), None)
    assert [snippet.marks for snippet in found] == [((3, 5),), (), (), ((0, 2),)]
    assert [snippet.sentence for snippet in found] == [(0, 5), (0, 2), (0, 0), (0, 2)]
    assert snippets([], {"b1": 1.0}, (), None) == []


@given(anything | shaped, anything)
def test_any_text_and_any_query(text: str, query: str) -> None:
    """Spans rise, never overlap, and lie inside, as the sentence does."""
    snippet = of(query, text)
    edges = [offset for span in snippet.marks for offset in span]
    assert edges == sorted(edges)
    assert all(start < end <= len(text) for start, end in snippet.marks)
    low, high = snippet.sentence
    assert 0 <= low <= high <= len(text)
    assert (low, high) in sentences(text) or not text.strip()


@given(anything)
def test_any_text_marks_its_own_words(text: str) -> None:
    """Queried by itself, nothing that full text knows is left unmarked, but function words."""
    rest = list(text)
    for start, end in reversed(of(text, text).marks):
        rest[start:end] = " "
    asked = set(analysis.asked(text))
    assert not asked & {term.text for term in analysis.words("".join(rest), trailing=False)}


@given(st.text(st.characters(categories=["Ll", "Lo", "Mn", "Mc", "Zs"]), max_size=40))
def test_decomposed_text_marks_the_same_words(text: str) -> None:
    """Marked in NFD, the spans are those marked in NFC, decomposed."""
    composed, decomposed = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    in_nfd = [unicodedata.normalize("NFC", word) for word in marked(text, decomposed)]
    in_nfc = marked(text, composed)
    assert len(in_nfc) == len(in_nfd)
    assert all(b.startswith(a) or a in b for a, b in zip(in_nfc, in_nfd, strict=True))


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three? Four…  Five", ["One.", "Two!", "Three?", "Four…", "Five"]),
        ("Dr. Who met J. R. Smith, cf. Fig. 3.", ["Dr. Who met J. R. Smith, cf. Fig. 3."]),
        ("See No. 5 at approx. Noon. No. It is e.g. Here.", None),
        ("Version 1.2.3 of x.y is out. Get it", ["Version 1.2.3 of x.y is out.", "Get it"]),
        ("wrapped by\nits author. And\non.", ["wrapped by\nits author.", "And\non."]),
        ("ends with ca. élan vital. Été", ["ends with ca. élan vital.", "Été"]),
        ("Plan B.\n\nthen C.\n- D. E\n- f", ["Plan B.", "then C.", "- D. E", "- f"]),
        ("a\n \nb\n1. c\n2) d\n| e |\n> f", ["a", "b", "1. c", "2) d", "| e |", "> f"]),
        ("# Aa. B\nc d. E\n## F\n\ng", ["# Aa.", "B", "c d.", "E", "## F", "g"]),
        ('He said "go." Then (he left.) So', ['He said "go."', "Then (he left.)", "So"]),
        (
            "東京です。大阪です\uff01本当\uff1f\uff1fはい",
            ["東京です。", "大阪です\uff01", "本当\uff1f\uff1f", "はい"],
        ),
        ("「はい。」と言う。次", ["「はい。」", "と言う。", "次"]),
        ("यह है। वह था। مرحبا؟ نعم", ["यह है।", "वह था।", "مرحبا؟", "نعم"]),
        ("", []),
        (" \n\n ", []),
    ],
)
def test_sentences(text: str, sentences: list[str] | None) -> None:
    """Stops, abbreviations, lists, headings, and scripts whose stops need no space."""
    if sentences is None:
        sentences = ["See No. 5 at approx. Noon.", "No.", "It is e.g. Here."]
    assert cut(text) == sentences


@given(shaped | anything)
def test_sentences_hold_all_that_is_no_white_space(text: str) -> None:
    """Each once, in its order; each begins and ends with such."""
    spans = sentences(text)
    edges = [offset for span in spans for offset in span]
    assert edges == sorted(edges)
    assert "".join("".join(text[slice(*span)].split()) for span in spans) == "".join(text.split())
    assert all(sentence and sentence == sentence.strip() for sentence in cut(text))


def test_the_sentence_with_the_weightiest_words() -> None:
    """Not the one with the most; the first of equals; the first of all where no word is found."""
    text = "Common usual. Common usual things. The rare one. A rare two."
    assert answers(text, {"common": 1.0, "usual": 1.0, "rare": 3.0}) == "The rare one."
    assert answers(text, {"common": 1.0, "usual": 1.0}) == "Common usual."
    assert answers(text, {"unknown": 1.0}) == answers(text, {}) == "Common usual."


def test_a_word_counts_once_in_a_sentence() -> None:
    """Saying it again answers no better."""
    assert answers("Rare. Moon moon moon. Moon sun.", {"moon": 1.0, "sun": 1.0}) == "Moon sun."


def test_a_prefix_and_what_stands_whole_count() -> None:
    """As the terms that they match."""
    assert answers("大阪です。東京都庁です。", {"都*": 1.0}) == "東京都庁です。"
    assert answers("The one. The Wi-Fi.", {"wifi": 1.0}) == "The Wi-Fi."


def test_headings_and_rules_answer_nothing() -> None:
    """They stand above the passage already; where there is nothing else, they are shown."""
    text = "# Moon\n\n---\n\nIt pulls the sea.\n\n**Tides**\n\nThe moon does."
    assert answers(text, {"moon": 1.0}, headings=("Moon", "Tides")) == "The moon does."
    assert answers(text, {"tide": 1.0}, headings=("Moon", "Tides")) == "It pulls the sea."
    assert answers(text, {"tide": 1.0}, headings=("Moon",)) == "**Tides**"
    assert answers("# Moon\n", {"tide": 1.0}, headings=("Moon",)) == "# Moon"
    assert answers("***", {}, headings=("",)) == "***"


def test_vectors_choose_where_words_do_not_tell() -> None:
    """What is near is asked of all sentences together, without headings."""
    text = "# Sea\n\nIt is wet. High water follows. The end."
    nearness = Nearness(water=0.5, end=0.25)
    assert answers(text, {"tide": 1.0}, nearness, ("Sea",)) == "High water follows."
    assert nearness.asked == [["It is wet.", "High water follows.", "The end."]]


def test_vectors_are_not_asked_where_words_tell_or_nothing_is_to_choose() -> None:
    """A quarter of the query's weight in one sentence; a text of one sentence; no text."""
    nearness = Nearness(water=1.0)
    weights = {"tide": 1.0, "a1": 1.0, "b1": 1.0, "c1": 1.0}
    assert answers("The water. The tide.", weights, nearness) == "The tide."
    assert answers("Only the water.", weights, nearness) == "Only the water."
    assert answers("", weights, nearness) == ""
    assert nearness.asked == []
    assert answers("The water. The tide.", {**weights, "d1": 1.0}, nearness) == "The water."
    assert nearness.asked == [["The tide.", "The water."]]


def test_words_and_vectors_are_fused() -> None:
    """As passages are: half the cosine, half the share times the best share, here 1/5.

    One fifth of the words adds 1/50, as much as a cosine that is 1/25 more.
    """
    weights = {"tide": 1.0, "a1": 1.0, "b1": 1.0, "c1": 1.0, "d1": 1.0}
    text = "The water. The tide."
    assert answers(text, weights, Nearness(water=0.5, tide=0.4609375)) == "The tide."
    assert answers(text, weights, Nearness(water=0.5, tide=0.453125)) == "The water."


def test_how_many_sentences_are_encoded() -> None:
    """MOST_ENCODED in one call: those of the first texts, whichever of them need it."""
    nearness = Nearness(near=1.0)
    texts = [
        "One1. One2. One3. The near.",
        "The tide. And more.",
        "Two1. Two2. Two3. Two4. Two5. The near.",
        "Three1. The near.",
    ]
    assert MOST_ENCODED == 10
    found = snippets([(text, ()) for text in texts], {"tide": 1.0}, (), nearness)
    chosen = [text[slice(*one.sentence)] for text, one in zip(texts, found, strict=True)]
    assert chosen == ["The near.", "The tide.", "The near.", "Three1."]
    assert [len(asked) for asked in nearness.asked] == [10]


def test_of_a_long_text_the_sentences_with_words_are_encoded_first() -> None:
    """Then those that come first."""
    nearness = Nearness(Say10=0.5, tide=0.6)
    says = [f"Say{number} it." for number in range(1, 30)]
    weights = {"tide": 1.0, "a1": 1.0, "b1": 1.0, "c1": 1.0, "d1": 1.0}
    assert answers(" ".join([*says, "The tide turns."]), weights, nearness) == "The tide turns."
    assert nearness.asked == [["The tide turns.", *says[:9]]]
    assert answers(" ".join(says), weights, nearness) == "Say10 it."


def test_a_long_row_of_initials_takes_no_time() -> None:
    """What looks back to where the sentence began, at each of them, would take minutes."""
    assert len(sentences("A. " * 50_000)) == 1


def test_of_equal_sentences_the_first_is_chosen_whatever_the_order_of_a_set() -> None:
    """0.1 + 0.2 + 0.3 is 0.6 or a little more, as one adds; a set is in an order of chance."""
    for letters in permutations("bdfglm", 4):
        one, *three = (f"{letter}ozu" for letter in letters)
        weights = dict(zip([one, *three], (0.6, 0.1, 0.2, 0.3), strict=True))
        text = f"{one.title()}. {' '.join(three).capitalize()}."
        [snippet] = Snippets([(text, ())], weights, ()).by_words()
        assert text[slice(*snippet.sentence)] == f"{one.title()}."
