"""An index behind LangChain, without a key: python docs/langchain_example.py

The model is a stand-in that repeats the first passage; put a chat model of yours in its place.
"""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompt_values import PromptValue
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnablePassthrough

from clsearch import Index, Searcher
from clsearch.index.config import SAMPLE
from clsearch.integrations.langchain import ClsearchRetriever

PROMPT = ChatPromptTemplate.from_template(
    "Answer from these passages alone, and name the one that you use.\n\n"
    "{passages}\n\nQuestion: {question}"
)


def numbered(documents: list[Document]) -> str:
    """The passages as the model reads them."""
    return "\n\n".join(
        f"[{number}] {document.metadata['source']}\n{document.page_content}"
        for number, document in enumerate(documents, start=1)
    )


def stand_in(prompt: PromptValue) -> str:
    """What a chat model would write."""
    first = prompt.to_string().split("[1] ")[1].split("\n\n[2]")[0]
    return f"As [1] says: {first}"


with TemporaryDirectory() as folder:
    documents, path = Path(folder) / "documents", Path(folder) / "sample.clsearch"
    shutil.copytree(SAMPLE / "documents" / "cooking", documents / "cooking")
    with Index.open(path) as index:
        index.sync([documents])
    with Searcher.open(path) as searcher:
        retriever = ClsearchRetriever(searcher=searcher, k=3)
        chain = (
            {"passages": retriever | numbered, "question": RunnablePassthrough()}
            | PROMPT
            | RunnableLambda(stand_in)
            | StrOutputParser()
        )
        print(chain.invoke("why is my loaf flat"))
