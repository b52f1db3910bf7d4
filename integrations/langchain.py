"""A retriever for LangChain; its extra is `langchain`."""

import asyncio
from typing import Any

from ..index.errors import ClsearchError
from ..search.grouping import Group
from ..search.scale import Mode
from ..search.searcher import Searcher
from .metadata import metadata, passage_id

try:
    from langchain_core.callbacks import (
        AsyncCallbackManagerForRetrieverRun,
        CallbackManagerForRetrieverRun,
    )
    from langchain_core.documents import Document
    from langchain_core.retrievers import BaseRetriever
except ModuleNotFoundError as error:
    raise ClsearchError(
        f"no module {error.name!r}, which the retriever for LangChain needs:"
        " pip install 'clsearch[langchain]'"
    ) from error


class ClsearchRetriever(BaseRetriever):
    """The passages of an index that answer a query, as LangChain's documents, best first.

    The fields are the options of `Searcher.search`; `invoke(query, k=3)` says otherwise for one
    call. Many retrievers may share one searcher. `metadata` of a document is that of
    `clsearch.integrations.metadata`, its `id` names the document and the span of the passage.
    """

    searcher: Searcher
    k: int = 10
    mode: Mode = "hybrid"
    where: str | None = None
    rerank: str | None = None
    min_score: float = 0.0
    group: Group = "passage"

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **options: Any
    ) -> list[Document]:
        return self._search(query, options)

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **options: Any
    ) -> list[Document]:
        return await asyncio.to_thread(self._search, query, options)

    def _search(self, query: str, options: dict[str, Any]) -> list[Document]:
        own = {name: getattr(self, name) for name in ClsearchRetriever.__annotations__}
        hits = own.pop("searcher").search(query, **(own | options))
        return [
            Document(id=passage_id(hit), page_content=hit.passage.text, metadata=metadata(hit))
            for hit in hits
        ]
