"""The retriever for LangChain: LangChain's own tests, and what its documents say."""

import asyncio
import importlib
import sys
from typing import Any

import pytest
from langchain_tests.integration_tests import RetrieversIntegrationTests

from clsearch import Searcher
from clsearch.index.errors import ClsearchError, UsageError
from clsearch.integrations.langchain import ClsearchRetriever


class TestStandard(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _made(self, searcher: Searcher) -> None:
        self.searcher = searcher

    @property
    def retriever_constructor(self) -> type[ClsearchRetriever]:
        return ClsearchRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"searcher": self.searcher}

    @property
    def retriever_query_example(self) -> str:
        return "jade"


def test_a_document_says_where_its_passage_stands(searcher: Searcher) -> None:
    [hit] = searcher.search("green", 1)
    [document] = ClsearchRetriever(searcher=searcher, k=1).invoke("green")
    assert document.page_content == "jade is green"
    assert document.id == "0.txt#0-13"
    assert document.metadata == {
        "n": 0,
        "source": "0.txt",
        "title": "T0",
        "heading": "",
        "line": 1,
        "start": 0,
        "end": 13,
        "score": hit.score,
        "weak": hit.weak,
    }


def test_the_options_are_those_of_a_search(searcher: Searcher) -> None:
    def found(query: str, **options: Any) -> list[str]:
        retriever = ClsearchRetriever(searcher=searcher, **options)
        return [document.id or "" for document in retriever.invoke(query)]

    def expected(query: str, **options: Any) -> list[str]:
        hits = searcher.search(query, **options)
        return [f"{hit.document}#{hit.passage.start}-{hit.passage.end}" for hit in hits]

    options: list[dict[str, Any]] = [
        {"mode": "lexical"},
        {"where": "n >= 2", "k": 2},
        {"min_score": 0.6},
        {"group": "document", "mode": "dense"},
    ]
    for some in options:
        assert found("jade iron", **some) == expected("jade iron", **some)
    retriever = ClsearchRetriever(searcher=searcher, k=1)
    for documents in (
        retriever.invoke("jade", k=2, where="n > 0"),
        asyncio.run(retriever.ainvoke("jade", k=2, where="n > 0")),
    ):
        assert {document.metadata["n"] for document in documents} == {1, 2}
    with pytest.raises(UsageError, match="k is 0"):
        retriever.invoke("jade", k=0)


def test_without_its_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "langchain_core.retrievers", None)
    monkeypatch.delitem(sys.modules, "clsearch.integrations.langchain")
    with pytest.raises(ClsearchError, match=r"pip install 'clsearch\[langchain\]'"):
        importlib.import_module("clsearch.integrations.langchain")
