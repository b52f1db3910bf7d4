"""What a framework is told of a passage beside its text."""

from typing import Any

from ..search.hit import Hit

# Where the passage stands and how it was found: nothing that a language model need read.
PLACE = ("score", "weak", "start", "end")


def passage_id(hit: Hit) -> str:
    """`notes/a.md#120-480`: the document, and the span of its text, which is the passage."""
    return f"{hit.document}#{hit.passage.start}-{hit.passage.end}"


def metadata(hit: Hit) -> dict[str, Any]:
    """The document's own metadata, and what every passage has; of equal names, the latter stays.

    `source` is the document's id, `start` and `end` count code points of its text, `line` and
    `page` from 1; there is no `page` where the document has none.
    """
    passage = hit.passage
    page = {} if passage.page is None else {"page": passage.page}
    return {
        **hit.metadata,
        "source": hit.document,
        "title": hit.title,
        "heading": passage.heading,
        "line": passage.line,
        **page,
        "start": passage.start,
        "end": passage.end,
        "score": hit.score,
        "weak": hit.weak,
    }
