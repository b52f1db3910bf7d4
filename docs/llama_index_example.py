"""An index behind LlamaIndex, without a key: python docs/llama_index_example.py

The model is LlamaIndex's stand-in, which repeats the prompt; put one of yours in its place.
"""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine

from clsearch import Index, Searcher
from clsearch.index.config import SAMPLE
from clsearch.integrations.llama_index import ClsearchRetriever

with TemporaryDirectory() as folder:
    documents, path = Path(folder) / "documents", Path(folder) / "sample.clsearch"
    shutil.copytree(SAMPLE / "documents" / "cooking", documents / "cooking")
    with Index.open(path) as index:
        index.sync([documents])
    with Searcher.open(path) as searcher:
        retriever = ClsearchRetriever(searcher, k=3)
        engine = RetrieverQueryEngine.from_args(retriever, llm=MockLLM())
        answer = engine.query("why is my loaf flat")
        print(answer)
        for found in answer.source_nodes:
            print(f"{found.score:.3f}  {found.metadata['source']}:{found.metadata['line']}")
