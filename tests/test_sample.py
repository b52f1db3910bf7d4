"""The sample shows what it is for: questions in other words are answered by vectors alone."""

import json
from pathlib import Path

import pytest

from clsearch.cli import DEMO_QUESTIONS
from clsearch.index import Index
from clsearch.index.config import SAMPLE
from clsearch.search import Searcher
from clsearch.search.evaluate.beir import read_qrels, read_queries


@pytest.fixture(scope="module")
def searcher(tmp_path_factory: pytest.TempPathFactory) -> Searcher:
    """The sample, indexed with the embedded model."""
    index = tmp_path_factory.mktemp("sample") / ".clsearch"
    with Index.open(index) as opened:
        report = opened.sync([SAMPLE / "documents"])
    assert report.skipped == ()
    return Searcher.open(index)


@pytest.fixture(scope="module")
def answers() -> dict[str, str]:
    """Question -> the id of the document that answers it, relative to the documents' folder."""
    queries, qrels = read_queries(SAMPLE), read_qrels(SAMPLE, "test")
    assert queries.keys() == qrels.keys()
    return {queries[query]: document for query, (document,) in qrels.items()}


def first(searcher: Searcher, question: str, mode: str) -> str:
    """The document at rank 1, relative to the documents' folder; empty where there is none."""
    hits = searcher.search(question, k=1, mode=mode)  # type: ignore[arg-type]
    return hits[0].document.rpartition("/documents/")[2] if hits else ""


def test_every_judged_document_is_there(answers: dict[str, str]) -> None:
    """A file of that name, or a record of that id in it."""
    for document in answers.values():
        name, _, record = document.partition("#")
        text = (SAMPLE / "documents" / name).read_text(encoding="utf-8")
        assert not record or f'"_id": "{record}"' in text or f"\n{record}," in text


def test_vectors_answer_what_words_do_not(searcher: Searcher, answers: dict[str, str]) -> None:
    """Dense search has most of the questions right at rank 1, full-text search hardly any.

    Hybrid search is not led astray by the few words that happen to match.
    """
    right = {
        mode: sum(first(searcher, text, mode) == document for text, document in answers.items())
        for mode in ("hybrid", "dense", "lexical")
    }
    assert right["dense"] >= 30, right
    assert right["lexical"] <= 8, right
    assert right["hybrid"] >= right["dense"] - 1, right


@pytest.mark.parametrize("question", DEMO_QUESTIONS)
def test_the_demo_asks_what_it_can_answer(
    searcher: Searcher, answers: dict[str, str], question: str
) -> None:
    """As a user asks, in hybrid mode, the answer comes first; by words alone it does not."""
    assert first(searcher, question, "hybrid") == answers[question]
    assert first(searcher, question, "lexical") != answers[question]


@pytest.mark.parametrize("question", DEMO_QUESTIONS)
def test_the_demo_asks_in_other_words(answers: dict[str, str], question: str) -> None:
    """No word of five letters or more stands in the document, whatever its ending."""
    text = Path(SAMPLE / "documents" / answers[question]).read_text(encoding="utf-8").lower()
    assert not [word for word in question.lower().split() if len(word) > 4 and word[:5] in text]


def test_the_records_of_the_sample_are_json() -> None:
    """One a line."""
    for line in (SAMPLE / "documents" / "lists" / "novels.jsonl").read_text("utf-8").splitlines():
        assert {"_id", "title", "text"} <= json.loads(line).keys()
