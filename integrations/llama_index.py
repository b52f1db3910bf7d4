"""A retriever for LlamaIndex; its extra is `llama-index`."""

import asyncio

from ..index.errors import ClsearchError
from ..search.grouping import Group
from ..search.hit import Hit
from ..search.scale import Mode
from ..search.searcher import Searcher
from .metadata import PLACE, metadata, passage_id

try:
    from llama_index.core.callbacks import CallbackManager
    from llama_index.core.retrievers import BaseRetriever
    from llama_index.core.schema import (
        NodeRelationship,
        NodeWithScore,
        QueryBundle,
        RelatedNodeInfo,
        TextNode,
    )
except ModuleNotFoundError as error:
    raise ClsearchError(
        f"no module {error.name!r}, which the retriever for LlamaIndex needs:"
        " pip install 'clsearch[llama-index]'"
    ) from error


class ClsearchRetriever(BaseRetriever):
    """The passages of an index that answer a query, as LlamaIndex's nodes with scores, best first.

    Many retrievers may share one searcher. A node's metadata is that of
    `clsearch.integrations.metadata`, its id names the document and the span of the passage, and its
    source is the document. The scores and offsets are kept from the language model.
    """

    def __init__(
        self,
        searcher: Searcher,
        k: int = 10,
        mode: Mode = "hybrid",
        *,
        where: str | None = None,
        rerank: str | None = None,
        min_score: float = 0.0,
        group: Group = "passage",
        callback_manager: CallbackManager | None = None,
    ) -> None:
        """With the options of `Searcher.search`."""
        super().__init__(callback_manager=callback_manager)
        self.searcher = searcher
        self.k = k
        self.mode: Mode = mode
        self.where = where
        self.rerank = rerank
        self.min_score = min_score
        self.group: Group = group

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        hits = self.searcher.search(
            query_bundle.query_str,
            self.k,
            self.mode,
            where=self.where,
            rerank=self.rerank,
            min_score=self.min_score,
            group=self.group,
        )
        return [NodeWithScore(node=_node(hit), score=hit.score) for hit in hits]

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return await asyncio.to_thread(self._retrieve, query_bundle)


def _node(hit: Hit) -> TextNode:
    return TextNode(
        id_=passage_id(hit),
        text=hit.passage.text,
        start_char_idx=hit.passage.start,
        end_char_idx=hit.passage.end,
        metadata=metadata(hit),
        excluded_llm_metadata_keys=list(PLACE),
        excluded_embed_metadata_keys=list(PLACE),
        relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=hit.document)},
    )
