"""Files -> an index: documents come in, and vectors where they are of the same text and encoder."""

from collections.abc import Callable

from ..batch import Batch, EncoderLike
from ..errors import UsageError
from ..report import Progress, Tally
from ..store import documents
from ..store.store import Store
from .formats import Source


def take_in(
    store: Store,
    encoder: EncoderLike,
    source: Source,
    progress: Callable[[Progress], None] | None,
) -> Tally:
    """Add the documents of a source, or bring those of the same id up to date.

    Each is split anew; a passage takes the vector that the source has for the very text, if that is
    of this encoder's fingerprint, and is encoded otherwise. Commits as it goes.

    Raises `UsageError` at the first that is none; those before it may be committed.
    """
    tally = Tally()
    batch = Batch(store, encoder, tally)
    batch.encode_waiting()
    if source.origin and source.origin.fingerprint == encoder.fingerprint:
        _compare(source, encoder)
    places: dict[str, str] = {}
    for incoming in source.incoming(encoder.fingerprint):
        document = documents.storable(incoming.document)
        first = places.setdefault(document.id, incoming.where)
        if first != incoming.where:
            raise UsageError(
                f"{incoming.where}: the id {document.id!r} is taken by {first}; take one of them "
                "out"
            )
        row = documents.find(store, document.id)
        if row and row.hash == documents.content_hash(documents.columns(document)):
            tally.unchanged += 1  # and it stays with the source that brought it
            continue
        batch.put(document, None, incoming.mtime, incoming.vectors)
        if progress:
            progress(Progress(0, None, tally.added + tally.updated, tally.encoded))
    batch.flush()
    return tally


def _compare(source: Source, encoder: EncoderLike) -> None:
    """Raises `UsageError` where an export contradicts itself."""
    assert source.origin
    if source.origin.dimension != encoder.dimension:
        raise UsageError(
            f"{source.file.parent}: export.json says {source.origin.dimension} dimensions, where "
            f"the encoder of that fingerprint has {encoder.dimension}. Export again, or remove it: "
            "then passages are encoded anew."
        )
