"""TREC's files: topics in both shapes, judgments, and what is wrong with a line."""

from pathlib import Path

import pytest

from clsearch.index.errors import UsageError
from clsearch.search.evaluate.trec import read_qrels, read_topics

CLASSIC = """\
<top>

<num> Number: 301
<title> International Organized Crime

<desc> Description:
Identify organizations that participate in
international criminal activity.

<narr> Narrative:
A relevant document must be.

</top>
<TOP>
<num>Number:  051 </num>
<dom> Domain: International Economics
<title> Topic:  Airbus
   Subsidies
</TOP>

<top>
<num> Number: 202
<desc> Description:
Status of nuclear treaties.
</top>
"""


def test_classic_topics(tmp_path: Path) -> None:
    """The title, on however many lines; the description where there is none."""
    (tmp_path / "topics").write_text(CLASSIC)
    assert read_topics(tmp_path / "topics") == {
        "301": "International Organized Crime",
        "051": "Airbus Subsidies",
        "202": "Status of nuclear treaties.",
    }


def test_topics_with_tabs(tmp_path: Path) -> None:
    """A tab in the text stays."""
    (tmp_path / "topics").write_text("\ufeff19335\tanthropological definition\n\n7\ta\tb\r\n")
    assert read_topics(tmp_path / "topics") == {"19335": "anthropological definition", "7": "a\tb"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1\ta\nno tab here\n", "line 2: 'no tab here' is not a topic"),
        ("1\ta\n2\t \n", "line 2"),
        ("1\ta\n1\tb\n", "topic '1' is there twice"),
        ("<top><num> Number: 1 <title> a </top><top><title> b </top>", "topic 2 has no <num>"),
        ("<top><num> Number: 1 </top>", "topic 1"),
    ],
)
def test_topics_that_are_none(tmp_path: Path, text: str, said: str) -> None:
    """The message has the line or the topic."""
    (tmp_path / "topics").write_text(text)
    with pytest.raises(UsageError) as caught:
        read_topics(tmp_path / "topics")
    assert said in str(caught.value)


def test_judgments(tmp_path: Path) -> None:
    """Any blanks between; negative ones are kept as they are."""
    (tmp_path / "qrels").write_text("301 0 FT-1 2\n301\t0\tFT-2\t0\n 302 Q0 FT-1 -1\r\n")
    assert read_qrels(tmp_path / "qrels") == {"301": {"FT-1": 2, "FT-2": 0}, "302": {"FT-1": -1}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("301 0 FT-1 2\n301 FT-1 2\n", "line 2: '301 FT-1 2' is not a judgment"),
        ("301 0 FT-1 yes\n", "line 1"),
        ("301 0 FT-1 2\n301 0 FT-1 2\n", "line 2"),
        ("\n", "no judgments"),
    ],
)
def test_judgments_that_are_none(tmp_path: Path, text: str, said: str) -> None:
    """trec_eval, too, refuses a document that is judged twice."""
    (tmp_path / "qrels").write_text(text)
    with pytest.raises(UsageError) as caught:
        read_qrels(tmp_path / "qrels")
    assert said in str(caught.value)
