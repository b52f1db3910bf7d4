"""Put an index right from the text in its database."""

from .batch import Batch, EncoderLike, Tally
from .store.store import Store


def repair(store: Store, encoder: EncoderLike) -> tuple[Tally, tuple[str, ...]]:
    """Encode what waits for a vector -> the tally, and what was found."""
    tally = Tally()
    Batch(store, encoder, tally).encode_waiting()
    return tally, ()
