"""The words that are marked are those that full text finds, the sentence the one that answers."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clsearch.index import analysis
from clsearch.index.encoder import Encoder
from clsearch.index.encoder.words import Words
from clsearch.search.likeness import Likeness
from clsearch.search.query import plain
from clsearch.search.snippets import Snippet, sentences, snippets_of

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


class Alike:
    """Words of two numbers each: a word is as like another as their cosine says."""

    def __init__(self, **degrees: float) -> None:
        """Of each word known, where it points, in degrees; others are like nothing."""
        self.degrees = degrees
        self.asked: list[list[str]] = []

    def word_vectors(self, texts: Sequence[str]) -> Words:
        self.asked.append(list(texts))
        parts = [re.findall(r"\w+", text.lower()) for text in texts]
        known = list(dict.fromkeys(word for of_one in parts for word in of_one))
        angles = [np.radians(self.degrees.get(word, np.nan)) for word in known]
        vectors = np.nan_to_num(np.array([np.cos(angles), np.sin(angles)], np.float32).T)
        places = [known.index(word) for of_one in parts for word in of_one]
        sizes = [len(of_one) for of_one in parts]
        return Words(vectors, np.array(places, np.int64), np.array(sizes))


def of(query: str, text: str) -> Snippet:
    """The snippet of one text, by words alone."""
    asked = plain(query)
    return snippets_of([(text, ())], dict.fromkeys(asked.terms, 1.0), asked.whole)[0]


def marked(query: str, text: str) -> list[str]:
    """The marked words."""
    return [text[slice(*span)] for span in of(query, text).marks]


def answers(
    text: str,
    weights: Mapping[str, float],
    alike: Alike | None = None,
    headings: tuple[str, ...] = (),
) -> str:
    """The sentence that is chosen."""
    likeness = Likeness(" ".join(weights), weights, alike) if alike else None
    (snippet,) = snippets_of([(text, headings)], weights, (), likeness)
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
    found = snippets_of([(text, ()) for text in texts], {"b1": 1.0}, ())
    assert [snippet.marks for snippet in found] == [((3, 5),), (), (), ((0, 2),)]
    assert [snippet.sentence for snippet in found] == [(0, 5), (0, 2), (0, 0), (0, 2)]
    assert snippets_of([], {"b1": 1.0}, ()) == []


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


def test_what_is_like_a_word_counts_where_the_word_is_missing() -> None:
    """As much as the square of the cosine: 0.75 at 30 degrees, 0.25 at 60."""
    alike = Alike(moon=0, sun=90, satellite=30, star=60)
    text = "# Sea\n\nIt is wet. A star. The satellite. The end."
    assert answers(text, {"moon": 1.0}, alike, ("Sea",)) == "The satellite."
    assert answers(text + " The moon.", {"moon": 1.0}, alike, ("Sea",)) == "The moon."
    # 0.25 of the moon and 0.75 of the sun beside 0.75 of the moon and 0.25 of the sun.
    assert answers(text, {"moon": 1.0, "sun": 1.5}, alike, ("Sea",)) == "A star."
    assert answers(text, {"moon": 1.5, "sun": 1.0}, alike, ("Sea",)) == "The satellite."


def test_the_nearest_word_of_a_sentence_counts_once() -> None:
    """Two that are a little like it are no more than one; what points away is nothing."""
    alike = Alike(moon=0, satellite=30, star=60, away=170)
    assert answers("A star, star, star. One satellite.", {"moon": 1.0}, alike) == "One satellite."
    assert answers("Away. The end.", {"moon": 1.0}, alike) == "Away."  # 0.97, but of the opposite
    assert answers("The end. Away.", {"moon": 1.0}, alike) == "The end."


def test_a_term_of_several_tokens_is_as_near_as_they_are_on_average(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`moonlight` is cut in two: 1 and 0.25 make 0.625, less than 0.75 and 0.75."""
    alike = Alike(moon=0, light=60, star=30, both=30)
    vectors = alike.word_vectors

    def cut(texts: Sequence[str]) -> Words:
        return vectors([text.replace("moonlight", "moon light") for text in texts])

    monkeypatch.setattr(alike, "word_vectors", cut)
    assert answers("The moon. The both.", {"moonlight": 1.0}, alike) == "The both."


def test_all_passages_are_asked_for_at_once() -> None:
    """And the query before them; nothing where it has no term that counts."""
    alike = Alike(moon=0, satellite=30)
    texts = ["The sea. One satellite.", "", "Alone."]
    likeness = Likeness("the moon", {"moon": 1.0}, alike)
    found = snippets_of([(text, ()) for text in texts], {"moon": 1.0}, (), likeness)
    chosen = [text[slice(*one.sentence)] for text, one in zip(texts, found, strict=True)]
    assert chosen == ["One satellite.", "", "Alone."]
    assert alike.asked == [["moon", "The sea.", "One satellite.", "Alone."]]
    assert answers("The sea. One satellite.", {"nowhere": 1.0}, Alike(moon=0)) == "The sea."


def test_the_model_knows_what_is_alike() -> None:
    """The embedded one, whose words were never asked to be compared."""
    encoder = Encoder.load()
    text = "Ring the bell in the hall. The physician sees patients at noon. Bring your own bread."
    weights = {"doctor": 5.0}
    likeness = Likeness("which doctor", weights, encoder)
    (snippet,) = snippets_of([(text, ())], weights, (), likeness)
    assert text[slice(*snippet.sentence)] == "The physician sees patients at noon."


def test_a_long_row_of_initials_takes_no_time() -> None:
    """What looks back to where the sentence began, at each of them, would take minutes."""
    assert len(sentences("A. " * 50_000)) == 1


def test_of_equal_sentences_the_first_is_chosen_whatever_the_order_of_a_set() -> None:
    """0.1 + 0.2 + 0.3 is 0.6 or a little more, as one adds; a set is in an order of chance."""
    for letters in permutations("bdfglm", 4):
        one, *three = (f"{letter}ozu" for letter in letters)
        weights = dict(zip([one, *three], (0.6, 0.1, 0.2, 0.3), strict=True))
        text = f"{one.title()}. {' '.join(three).capitalize()}."
        [snippet] = snippets_of([(text, ())], weights, ())
        assert text[slice(*snippet.sentence)] == f"{one.title()}."
