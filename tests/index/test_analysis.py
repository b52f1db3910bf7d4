# ruff: noqa: RUF001 - the scripts are meant
"""Text -> terms: exact, and the same in FTS5's table."""

import re
import sqlite3
import threading
import unicodedata
from collections.abc import Iterator

import pytest
import regex
import Stemmer
from hypothesis import example, given
from hypothesis import strategies as st

from clsearch.index import analysis
from clsearch.index.analysis import (
    LONGEST_COMPOUND,
    LONGEST_WORD,
    Among,
    Term,
    asked,
    asked_whole,
    compounds,
    fold,
    phrase,
    terms,
    words,
)
from clsearch.index.store import fulltext

WORDS = {
    # English: case, stems, possessives and what an apostrophe cuts off.
    "The runners' running shoes RAN": "the runner run shoe ran",
    "Don't stop: it's the user's guide, we\u2019ll see": "don stop it the user guid we see",
    "the letter 's', O'Reilly's (d) 't": "the letter s o reilli d t",
    # camelCase, identifiers, numbers.
    "getUserName HTTPServer PhD Word": "get user name http server ph d word",
    "get_user_name ERR_CONN_RESET": "get user name err conn reset",
    "iPhone12 fp16 42nd 1.11 11.1": "iphone12 fp16 42nd 1 11 11 1",
    "C++ C# std::vector<int> p->next": "c c std vector int p next",
    # Latin with accents; ß, æ, ø, ł and the Turkish i.
    "Die Straße nach ZÜRICH, STRASSE": "die strass nach zurich strass",
    "L'été où l'œuvre naïve d'Étienne": "l ete ou l oeuvr naiv d etienn",
    "cafe\u0301's crème, São": "cafe creme sao",
    "\u0301a \u0301": "a",
    "Łódź Ærø đ İstanbul ılık": "lodz aero d istanbul ilik",
    # Other scripts with spaces.
    "Όλοι οι άνθρωποι ΟΔΟΣ οδός": "ολοι οι ανθρωποι οδοσ οδοσ",
    "Ещё ёлка, ВСЕ люди": "еще елка все люди",
    "أحمد إلى الكِتَاب مـــحمد": "احمد الى الكتاب محمد",
    "שָׁלוֹם עולם": "שלום עולם",
    "हिन्दी की किताब": "हिन्दी की किताब",
    # Scripts without them: pairs, and the last character of a run alone.
    "인간은 자유": "인간 간은 은 자유 유",
    "東京都": "東京 京都 都",
    "ガギ か\u3099 ｶﾞｷﾞ": "ガギ ギ が ガギ ギ",
    "尊严和权利,上": "尊严 严和 和权 权利 利 上",
    "มนุษย์ทั้ง": "มนุ นุษ ษย์ ย์ทั้ ทั้ง ง",
    "สวัส\u200bดี": "สวั วัส สดี ดี",
    "ພາສາ": "ພາ າສ ສາ າ",
    "葛\U000e0100城": "葛城 城",
    # Mixed, and forms of compatibility.
    "Python入門、fp16の速度": "python 入門 門 fp16 の速 速度 度",
    "ＦＵＬＬ　Ｗｉｄｔｈ ２ Ⅷ ⑴ ﬁne": "full width 2 viii 1 fine",
    "Sil\u00adben\u00adtrennung wo\u200brd": "silbentrennung word",
    "❤\ufe0f 1\ufe0f\u20e3 \U0001f600 — … ?!": "1",
    "": "",
}


@pytest.mark.parametrize(("text", "terms"), WORDS.items(), ids=range(len(WORDS)))
def test_words(text: str, terms: str) -> None:
    """Composed or not, the terms are the same."""
    for form in (text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)):
        assert [term.text for term in words(form)] == terms.split()


COMPOUNDS = {
    "plain words, CAPITALS, 42 and fp16": "",
    "Wi-Fi wi\u2010fi wi_fi": "wifi wifi wifi =wifi",
    "getUserName get_user_name GetUserNames": (
        "getusernam =getusername getusernam =getusername getusernam =getusernames"
    ),
    "ERR_CONN_RESET user@example.com": "errconnreset =errconnreset userexamplecom =userexamplecom",
    "a->b std::vector up-regulated and/or": "ab =ab stdvector =stdvector upregul andor",
    "CVE-2021-44228, CVE\u20112021\u201144229.": "=cve-2021-44228 =cve-2021-44229",
    "1.11 11.1 v1.2.3 10:30": "=1.11 =11.1 =v1.2.3 =10:30",
    "C++, C# and C; #tag a+b": "=c++ =c# ab =ab",
    "PhD iPhone12 __init__": "phd =phd iphone12 =iphone12 =__init__",
    "e\u0301-mail é-mail Größe-XL": "email email grossexl",
    "हिन्दी-पाठ हिन्दी": "हिन्दीपाठ",
    "東京-大阪 東京": "東京大阪",
    "a-⑴ x-⒈ ـ-ـ": "=a-1 =x-1",
    "a" * LONGEST_COMPOUND + "-b": "",
    "a" * (LONGEST_COMPOUND - 2) + "-b": "a" * (LONGEST_COMPOUND - 2) + "b",
}


@pytest.mark.parametrize(("text", "terms"), COMPOUNDS.items(), ids=range(len(COMPOUNDS)))
def test_compounds(text: str, terms: str) -> None:
    """Words stemmed, identifiers as they are; what stands beside a digit keeps its joints."""
    assert [term.text for term in compounds(text)] == terms.split()


def test_spans_are_of_the_text() -> None:
    """What a term stands for, as it is written."""
    text = "Übergrößen: getUserName's 東京都, la\u0301 C++"
    assert [(term.text, text[term.start : term.end]) for term in words(text)] == [
        ("ubergrossen", "Übergrößen"),
        ("get", "get"),
        ("user", "User"),
        ("name", "Name"),
        ("東京", "東京"),
        ("京都", "京都"),
        ("都", "都"),
        ("la", "la\u0301"),
        ("c", "C"),
    ]
    assert [(term.text, text[term.start : term.end]) for term in compounds(text)] == [
        ("getusernam", "getUserName"),
        ("=getusername", "getUserName"),
        ("=c++", "C++"),
    ]


def test_long_runs_are_cut() -> None:
    """A word of a megabyte is no term, and costs no more than its length."""
    assert list(words("x9" * 500_000)) == [Term("x9" * 100, 0, LONGEST_WORD)]
    assert list(words("é" * 500_000)) == [Term("e" * LONGEST_WORD, 0, LONGEST_WORD)]
    assert list(compounds("a_" * 500_000)) == []
    assert max(len(term.text) for term in words("ก" + "\u0e34" * 10_000 + "ข")) <= LONGEST_WORD + 1


def test_asked() -> None:
    """Function words only where there are no others; a lone character may go on."""
    assert asked("How do I reset the Router, the router?") == ["reset", "router"]
    assert asked("To be, or not") == ["not"]
    assert asked("to be or") == ["to", "be", "or"]
    assert asked("東 京都 ก") == ["東*", "京都", "ก*"]
    assert asked("?!") == []


def test_asked_whole() -> None:
    """Each term of the compounds once."""
    assert asked_whole("the iPhone caches, iPhone") == ["iphon", "=iphone"]
    assert asked_whole("CVE-2021-44228") == ["=cve-2021-44228"]
    assert asked_whole("wi-fi and miRNAs") == ["wifi", "mirna", "=mirnas"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Running shoes", "run shoe"),
        ("인간은 천부적", "인간 간은 은 천부 부적"),
        ("東京 tower", "東京 京 tower"),
        ("tower 京", "tower 京*"),
        ("京 tower", "京 tower"),
        ("", ""),
        ("--", ""),
    ],
)
def test_phrase(text: str, expected: str) -> None:
    """The last run may go on in the text, those before end as they do there."""
    assert phrase(text) == expected


def test_fold_is_done_once() -> None:
    """Every letter that is alone stays as it was folded."""
    for point in map(chr, range(0x110000)):
        if point.isalnum():
            assert fold(fold(point)) == fold(point), hex(ord(point))


def test_threads_stem_alike() -> None:
    """Each with a stemmer of its own."""
    found: list[list[str]] = []
    letters = "abcdefghijklmnop"
    text = " ".join(f"{a}{b}{c}nations" for a in letters for b in letters for c in letters)

    def stem() -> None:
        found.append([term.text for term in words(text)])

    threads = [threading.Thread(target=stem) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [Stemmer.Stemmer("english").stemWords(text.split())] * 4


# Hypothesis draws mostly from what analysis treats differently.
TEXTS = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("abAB12 _-.@/:+#>'\u2019\u0301\u00ad\u200b\ufe0f\u0640éßİ½⒈㈠ﷺ"),
        st.sampled_from("한국어\u1112\u1161東京ガｶﾞกิ์हिन्दीخَ"),
    ),
    max_size=30,
)


@pytest.fixture(scope="module")
def connection() -> Iterator[sqlite3.Connection]:
    """The tables as an index has them, empty."""
    made = sqlite3.connect(":memory:")
    for table in fulltext.TABLES:
        made.execute(table)
    made.execute("CREATE VIRTUAL TABLE stored USING fts5vocab(passages_fts, row)")
    yield made
    made.close()


@given(TEXTS)
@example("\ud800a \0b")
def test_spans_of_any_text(text: str) -> None:
    """Inside, not empty, in ascending order."""
    for found in (list(words(text)), list(words(text, trailing=False)), list(compounds(text))):
        starts = [term.start for term in found]
        assert starts == sorted(starts)
        for term in found:
            assert 0 <= term.start < term.end <= len(text)
            assert term.text


@given(TEXTS)
@example("ﷺ-a ⑴_㈠ a-⒈")
def test_the_table_has_these_terms_and_no_others(connection: sqlite3.Connection, text: str) -> None:
    """FTS5's tokenizer parts them at spaces, and nowhere else; each is found, alone or quoted."""
    columns = fulltext.columns("", "", text)
    connection.execute("DELETE FROM passages_fts")
    connection.execute("INSERT INTO passages_fts VALUES (?, ?, ?, ?)", columns)
    stored = {term for (term,) in connection.execute("SELECT term FROM stored")}
    indexed = {term.text for term in [*words(text), *compounds(text)]}
    assert stored == indexed
    assert not any(re.search(r"\s", term) for term in stored)
    sql = "SELECT count(*) FROM passages_fts WHERE passages_fts MATCH ?"
    for term in {term.text for term in words(text, trailing=False)} | set(asked(text)):
        assert connection.execute(sql, (fulltext.quoted(term),)).fetchone() == (1,), term
    if whole := phrase(text):
        assert connection.execute(sql, (f"text : {fulltext.quoted(whole)}",)).fetchone() == (1,)


@given(TEXTS)
def test_a_normal_form_has_the_same_terms(text: str) -> None:
    """macOS writes NFD."""
    composed, apart = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    assert [term.text for term in words(apart)] == [term.text for term in words(composed)]
    assert [term.text for term in compounds(apart)] == [term.text for term in compounds(composed)]


@given(st.text(st.characters(codec="ascii"), max_size=40))
def test_ascii_is_the_same_beside_other_scripts(text: str) -> None:
    """It has a pattern of its own, for speed."""
    beside = text + " é"
    assert list(words(text)) == list(words(beside))[:-1]
    assert list(compounds(text)) == list(compounds(beside))


SPACED = "".join(c for c in map(chr, range(0x110000)) if not analysis._BEYOND.search(c))


def test_the_letters_of_alphabets_are_the_same_by_both_patterns() -> None:
    """None of them is of a script without spaces, a mark, or nothing within a word."""
    assert {*"aßéøαж½²’…→ﬁ"} <= {*SPACED}
    letters = regex.compile(r"[\p{L}\p{N}]", regex.VERSION1)
    for point in SPACED:
        assert bool(analysis._ALPHABETS.word.fullmatch(point)) == bool(letters.fullmatch(point))
        assert unicodedata.category(point)[0] != "M"
        assert not analysis._DROPPED.match(point)
        found = analysis._patterns().word.match(point)
        assert not (found and found.lastgroup)


@given(
    st.text(
        st.sampled_from(SPACED) | st.sampled_from("aZ9éÉσςжИ _-.:+#'\u2019\u2010\u2011dlst"),
        max_size=40,
    )
)
@example("the router\u2019s \u201cwi\u2010fi\u201d \u2013 CVE\u20112021\u2011 v1.2\u2026")
@example(
    "l'été d'Étienne's ÉtéX's x'ſ x'S é'LL_ getÉtéName É-é2 C++ é# H\u2082O cm\u207b\u00b2 ﬁne"
)
def test_alphabets_have_the_terms_that_the_patterns_of_all_scripts_find(text: str) -> None:
    """Only sooner."""

    def found() -> list[object]:
        spans = list(words(text)), list(words(text, trailing=False)), list(compounds(text))
        return [*spans, *terms(text)]

    sooner = found()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(analysis, "_spaced", lambda text: None)
        remembered = analysis._terms_between.__self__  # what it gave before
        patched.setattr(analysis, "_terms_between", remembered._given)
        assert sooner == found()


def test_what_is_known_of_words_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis, "KEPT", 100)
    kept = analysis._Remembered(len)
    words = [f"{number:x>{5 if number % 2 else 1000}}" for number in range(500)]
    assert list(map(kept.__getitem__, words)) == list(map(len, words))
    assert 0 < len(kept) <= 100
    assert max(map(len, kept)) == 5


@given(st.text(), st.text(st.sampled_from("aA bB1-'ést_東京."), max_size=30))
@example("aa'aaa aa", "a's s 's")
def test_among_leaves_out_only_what_is_not_asked_for(some: str, mixed: str) -> None:
    """Each term that is asked for, where it is; in other scripts than Latin, others may stand."""
    text = f"{some} {mixed} Reset the router's resets"
    every = list(words(text, False))
    among = {term.text for term in every[::3]} | {"nowhere", "reset"}
    found = list(words(text, False, Among(among, ["other Resets", text])))
    assert [term for term in found if term.text in among] == [
        term for term in every if term.text in among
    ]
    assert set(found) <= set(every)
    if not analysis._BEYOND.search(text) and not re.search("[a-z][A-Z]|[A-Z][A-Z][a-z]", text):
        assert {term.text for term in found} <= among


@given(st.text(), st.text(st.sampled_from("aA bB1-_'é."), max_size=30))
def test_among_leaves_out_no_compound_that_is_asked_for(some: str, mixed: str) -> None:
    text = f"{some} {mixed} Wi-Fi, v1.2"
    every = list(compounds(text))
    for one in every:
        found = compounds(text, Among({one.text}, [text]))
        assert [term for term in found if term.text == one.text] == [
            term for term in every if term.text == one.text
        ]
    assert not list(compounds(text, Among({"no such term"}, [text])))


@given(
    TEXTS
    | st.text(st.sampled_from("dlmrstveST9 '\u2019-."), max_size=30)
    | st.sampled_from([*WORDS])
)
@example("it's's 's ''s O'S we'll9 x'T")
def test_terms_without_spans_are_those_with(text: str) -> None:
    """Only sooner."""
    running, whole = terms(text)
    assert running == " ".join(term.text for term in words(text))
    assert whole == " ".join(term.text for term in compounds(text))
