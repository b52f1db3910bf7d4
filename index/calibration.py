"""How near an index comes to what nothing in it answers: from there on, a score means something."""

from dataclasses import replace

import numpy as np

from . import analysis, vectors
from .batch import EncoderLike
from .config import Calibration
from .store import fulltext
from .store.snapshot import Snapshot
from .store.store import Store
from .vectors import Segment

# Well-formed sentences of everyday words that mean nothing, so that no collection answers them.
PROBES = (
    "The turquoise spreadsheet negotiates with a polite volcano.",
    "How does a trombone repair the calendar of a hedgehog?",
    "Which senator polished the penguin's umbrella last Thursday?",
    "A carpet of thunder invoices the sleepy lighthouse.",
    "Why do marble staircases whisper to lemonade?",
    "The accordion was elected by seven frozen bicycles.",
    "Can a dentist borrow the moon from a pumpkin?",
    "Forty violins argued about the price of a hurricane.",
    "What is the favourite pillow of a diesel engine?",
    "The librarian knitted a bridge out of tax returns.",
    "Where do embarrassed pineapples keep their submarines?",
    "A velvet cactus apologises to the stock exchange.",
    "How many spoons can a comet divorce?",
    "The wrestler baptised a teapot in the parking lot.",
    "Who taught the glacier to play dominoes with a sheriff?",
    "Purple ladders rarely marry an honest sandwich.",
    "When does the castle of mustard open its left elbow?",
    "A nervous zebra deleted the recipe for gravity.",
    "Does the ferry prefer a haircut or a symphony?",
    "The mayor's trousers predicted an earthquake of jelly.",
    "How can I teach my ceiling to swim backwards?",
    "An elegant potato sued the weather for silence.",
    "Why is the printer of the kangaroo so jealous of Wednesday?",
    "The choir ironed a desert with borrowed giggles.",
    "Which button makes the cathedral sneeze?",
    "A parliament of socks voted against the ocean.",
    "Is it legal to photograph the inside of a Tuesday?",
    "The chess champion fried three violins in moonlight.",
    "What colour is the loneliness of a tractor?",
    "Seventeen dragons audited the bakery of my shadow.",
    "How tall is the opinion of a wooden spoon?",
    "The satellite lost its moustache in a card game.",
)

# The best of many grows with how many there are, slowly: measured again when more than a tenth has
# come or gone.
CHANGED = 0.1


def calibrate(store: Store, encoder: EncoderLike) -> None:
    """Measure the index where it has changed since it was measured, and save what was found."""
    known = store.settings.calibration
    # Ids are never reused: those above the last that was measured are new. What the segments hold
    # is added up, since counting a million passages takes a tenth of a second.
    sql = """
        SELECT
            (SELECT coalesce(sum(passages), 0) FROM segments WHERE state = 'live')
                - (SELECT count(*) FROM tombstones),
            (SELECT id FROM passages WHERE +segment IS NOT NULL ORDER BY id DESC LIMIT 1),
            (SELECT count(*) FROM passages WHERE id > ? AND +segment IS NOT NULL)
    """
    passages, last, new = store.database.execute(sql, (known.last,)).fetchone()
    gone = known.passages - (passages - new)
    if not passages or new + abs(gone) <= CHANGED * known.passages:
        return
    measured = replace(_measure(store, encoder), passages=passages, last=last)
    with store.transaction(begins_generation=False):
        store.save(replace(store.settings, calibration=measured))


def _measure(store: Store, encoder: EncoderLike) -> Calibration:
    asked = encoder.encode_queries(PROBES)
    with Snapshot.open(store.index) as snapshot:
        cosines = np.full((len(PROBES), 1), -np.inf, np.float32)
        excluded = snapshot.tombstones()
        for row in snapshot.segments:
            # One at a time, so that no more than one is in memory.
            segment = Segment.open(store.index, row)
            cosines = np.maximum(cosines, vectors.search([segment], asked, 1, excluded)[0])
        coverages = [_best_coverage(snapshot, probe) for probe in PROBES]
    return Calibration(
        cosine=float(cosines.mean()),
        cosine_deviation=float(cosines.std()),
        coverage=float(np.mean(coverages)),
        coverage_deviation=float(np.std(coverages)),
    )


def _best_coverage(snapshot: Snapshot, text: str) -> float:
    terms = analysis.asked(text)
    best = snapshot.match(fulltext.match_any(terms), 1)
    expected = fulltext.expected_bm25(
        snapshot.passage_count(), snapshot.frequencies(terms).values()
    )
    return best[0][1] / expected if best else 0.0
