"""The retriever for LlamaIndex: what its nodes say, awaited or not."""

import asyncio
import importlib
import sys
from typing import Any

import pytest
from llama_index.core.schema import MetadataMode, NodeRelationship, QueryBundle

from clsearch import Searcher
from clsearch.index.errors import ClsearchError
from clsearch.integrations.llama_index import ClsearchRetriever


def test_a_node_says_where_its_passage_stands(searcher: Searcher) -> None:
    [hit] = searcher.search("green", 1)
    [found] = ClsearchRetriever(searcher, k=1).retrieve("green")
    node: Any = found.node
    assert found.score == hit.score
    assert (node.node_id, node.text) == ("0.txt#0-13", "jade is green")
    assert (node.start_char_idx, node.end_char_idx) == (0, 13)
    assert node.relationships[NodeRelationship.SOURCE].node_id == "0.txt"
    assert node.metadata["line"] == 1
    assert node.metadata["n"] == 0
    read = node.get_content(MetadataMode.LLM)
    assert "source: 0.txt" in read
    assert "score" not in read


def test_the_options_are_those_of_a_search(searcher: Searcher) -> None:
    options: list[dict[str, Any]] = [
        {},
        {"mode": "lexical"},
        {"where": "n >= 2", "k": 2},
        {"min_score": 0.6},
        {"group": "document", "mode": "dense"},
    ]
    for some in options:
        expected = [(hit.document, hit.score) for hit in searcher.search("jade iron", **some)]
        retriever = ClsearchRetriever(searcher, **some)
        for nodes in (
            retriever.retrieve("jade iron"),
            asyncio.run(retriever.aretrieve(QueryBundle("jade iron"))),
        ):
            assert [(found.metadata["source"], found.score) for found in nodes] == expected


def test_without_its_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llama_index.core.retrievers", None)
    monkeypatch.delitem(sys.modules, "clsearch.integrations.llama_index")
    with pytest.raises(ClsearchError, match=r"pip install 'clsearch\[llama-index\]'"):
        importlib.import_module("clsearch.integrations.llama_index")
