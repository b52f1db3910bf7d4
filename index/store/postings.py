"""Which passages have a term, and how often: in blocks, as ranking by words reads them.

FTS5 keeps the same with the place of every word, for phrases, and walks over all of it to rank.
Here a term of a block is one row: the ids of its passages, and how often each has it. A commit adds
a block of the passages that came; eight of about one size become one. Passages that went stay in
their blocks, and are noted as gone, until a block is written again.
"""

from __future__ import annotations

import heapq
import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .inversion import Columns, Flat, Numbers, Rows

if TYPE_CHECKING:
    from sqlite_utils import Database

# `ids` counts from the `first` of the block, in two bytes each where all of its ids can be said in
# two, else in four; `counts` has one, two or four. `written` counts title, heading and text alone,
# without `whole`; null where that is the same. `lengths`, four bytes for each id from `first` to
# `last`, has the number of a passage's terms, and 0 for what is not in the block.
TABLES = (
    "CREATE TABLE postings_blocks (id INTEGER PRIMARY KEY, first INTEGER NOT NULL, "
    "last INTEGER NOT NULL, passages INTEGER NOT NULL, lengths BLOB NOT NULL)",
    "CREATE TABLE postings (block INTEGER NOT NULL, term TEXT NOT NULL, ids BLOB NOT NULL, "
    "counts BLOB NOT NULL, written BLOB, PRIMARY KEY (block, term)) WITHOUT ROWID",
    "CREATE TABLE postings_gone (block INTEGER NOT NULL, passage INTEGER NOT NULL, "
    "PRIMARY KEY (block, passage)) WITHOUT ROWID",
)

INSERT = "INSERT INTO postings VALUES (?, ?, ?, ?, ?)"

# Eight of one order of magnitude (in powers of eight) become one, as segments do, as long as it is
# none of more than LARGEST: what a merge writes must fit into the cache of a transaction.
FANOUT = 8
LARGEST = 65_536  # passages, of which each can be said in two bytes
SHORT = 1 << 16
BOUNDS = (8, 64, 512, 4096, LARGEST // FANOUT + 1)  # passages
# Where one of so many of a block's passages is gone, it is written again: each query reads what is.
AWAY = 8
HELD = 8_192  # rows that are held until a block of them is written: more than a commit has, mostly
CHUNK = 1 << 19  # bytes of ids that a merge holds


class Block(NamedTuple):
    """The postings of the terms that were asked for, in a range of passages.

    `lengths` [m] are of the ids from `first` on; `gone` are ids less `first` that count no more.
    For each posting `[n]`: `terms` has the place of its term in the question, ascending, `ids` the
    id less `first`, ascending for a term, `counts` and `written` how often it is there.
    """

    first: int
    lengths: NDArray[np.uint32]
    gone: Numbers
    terms: Numbers
    ids: Numbers
    counts: Numbers
    written: Numbers


def read(connection: sqlite3.Connection, terms: Sequence[str]) -> Iterator[Block]:
    """The blocks in the order of their passages that have any of these terms.

    A term that ends in `*` stands for all that begin with it, added up. ValueError where the tables
    hold what was never written there.
    """
    plain = [(place, term) for place, term in enumerate(terms) if not term.endswith("*")]
    prefixes = [(place, term[:-1]) for place, term in enumerate(terms) if term.endswith("*")]
    asked, gone = json.dumps([term for _, term in plain]), _gone(connection)
    blocks = connection.execute(
        "SELECT id, first, last, lengths FROM postings_blocks ORDER BY first, id"
    )
    for block, first, last, data in blocks:
        lengths = np.frombuffer(data, "<u4")
        if len(lengths) != last - first + 1:
            raise ValueError(f"a block of postings has {len(lengths)} lengths")
        columns = "ids, counts, coalesce(written, counts)"
        sql = f"SELECT key, {columns} FROM json_each(?) CROSS JOIN postings"
        rows = [
            (plain[key][0], *row)
            for key, *row in connection.execute(
                f"{sql} ON block = ? AND term = value ORDER BY key", (asked, block)
            )
        ]
        for place, stem in prefixes:
            sql = f"SELECT ?, {columns} FROM postings WHERE block = ? AND term BETWEEN ? AND ?"
            rows += connection.execute(sql, (place, block, stem, stem + "\U0010ffff"))
        if not rows:
            continue
        of = _flat(len(lengths), rows)
        if prefixes:
            of = _added(len(lengths), *of)
        away = gone.get(block, np.zeros(0, np.int64)) - first
        yield Block(first, lengths, away[(away >= 0) & (away < len(lengths))], *of)


def _flat(
    size: int, rows: list[tuple[int, bytes, bytes, bytes]]
) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """(place, id, count, written) of each posting of rows: `[n]` each."""
    places, of_ids, of_counts, of_written = zip(*rows, strict=True)
    width = np.dtype(_width_of_ids(size)).itemsize
    sizes = np.array([len(ids) for ids in of_ids]) // width
    ids = _numbers(of_ids, sizes)
    if ids.max() >= size:
        raise ValueError("a term of the postings has ids that its block has not")
    counts = _numbers(of_counts, sizes)
    written = counts if of_counts == of_written else _numbers(of_written, sizes)
    return np.repeat(places, sizes), ids, counts, written


def _added(
    size: int, places: Numbers, ids: Numbers, counts: Numbers, written: Numbers
) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """What a passage has several times of one place, as one."""
    keys, where = np.unique(places * size + ids, return_inverse=True)
    counts, written = (np.bincount(where, values).astype(np.int64) for values in (counts, written))
    return keys // size, keys % size, counts, written


def _gone(connection: sqlite3.Connection) -> dict[int, Numbers]:
    found: defaultdict[int, list[int]] = defaultdict(list)
    for block, passage in connection.execute("SELECT block, passage FROM postings_gone"):
        found[block].append(passage)
    return {block: np.array(ids, np.int64) for block, ids in found.items()}


class Changes:
    """What rows of `passages_fts` that come and go change in the postings."""

    def __init__(self, written: Callable[[Flat], None] = lambda flat: None) -> None:
        """Nothing has changed. `written` is told of all rows that came, as they are written."""
        self._rows = Rows()
        self._written = written

    def add(self, database: Database, id: int, row: Columns) -> None:
        """A row came."""
        self._rows.add(id, row)
        if len(self._rows) >= HELD:
            self.write(database)

    def take(self, database: Database, id: int) -> bool:
        """A row went -> whether it had come, and was not written."""
        database.execute(
            "INSERT OR IGNORE INTO postings_gone "
            "SELECT id, ? FROM postings_blocks WHERE ? BETWEEN first AND last",
            (id, id),
        )
        return self._rows.drop(id)

    def write(self, database: Database) -> None:
        """Bring the tables up to date, inside a transaction, and start anew."""
        if len(self._rows):
            flat = self._rows.flat()
            _write(database, flat)
            self._written(flat)
            self.clear()
        while group := _due(_sizes(database)):
            _merge(database, group)

    def clear(self) -> None:
        """Forget what has changed, but for what is written."""
        self._rows = Rows()


def clear(database: Database) -> None:
    """Make the tables anew, and empty, inside a transaction."""
    for table in ("postings", "postings_gone", "postings_blocks"):
        database.execute(f"DROP TABLE IF EXISTS {table}")
    for table in TABLES:
        database.execute(table)


def compact(database: Database) -> None:
    """As few blocks as can be, without what is gone, inside a transaction."""
    groups: list[list[int]] = []
    held = LARGEST
    without = set()
    for block, passages, gone in _sizes(database):
        held += passages - gone
        if held > LARGEST:
            groups.append([])
            held = passages - gone
        groups[-1].append(block)
        if not gone:
            without.add(block)
    for group in groups:
        if len(group) > 1 or group[0] not in without:
            _merge(database, group)


def stored(connection: sqlite3.Connection, block: int) -> Flat:
    """What a block has, without what is gone; ValueError as of `read`."""
    own = _Alive.of(connection, block, _gone(connection).get(block))
    terms: list[str] = []
    parts = [np.zeros((4, 0), np.int64)]  # numbers, ids, counts, written
    for some in _merged(connection, [block], [own]):
        numbers = np.repeat(np.arange(len(terms), len(terms) + len(some.terms)), some.sizes)
        terms += some.terms
        parts.append(np.stack([numbers, some.ids, some.counts, some.written]))
    numbers, ids, counts, written = np.concatenate(parts, axis=1)
    return Flat(terms, numbers, ids, counts, written, own.passages, own.lengths)


def _sizes(database: Database) -> list[tuple[int, int, int]]:
    """(block, passages, of them gone), by their passages."""
    rows = database.execute(
        "SELECT id, passages, (SELECT count(*) FROM postings_gone WHERE block = b.id) "
        "FROM postings_blocks b ORDER BY first, id"
    )
    return [(block, passages, gone) for block, passages, gone in rows]


def _due(sizes: list[tuple[int, int, int]]) -> list[int]:
    """The next blocks to merge, neighbours by their passages; empty where none are due.

    An eighth of one is gone, or eight of the last are below a bound.

    >>> _due([(1, 9000, 0), (2, 40, 5), (3, 4, 0)])
    [2]
    >>> _due([(1, 9000, 0), *((block, 1, 0) for block in range(2, 10))])
    [2, 3, 4, 5, 6, 7, 8, 9]
    """
    for block, passages, gone in sizes:
        if gone and AWAY * gone >= passages:
            return [block]
    for bound in BOUNDS:
        run = 0
        while run < len(sizes) and sizes[-run - 1][1] - sizes[-run - 1][2] < bound:
            run += 1
        if run >= FANOUT:
            return [block for block, _, _ in sizes[-run:]]
    return []


def _merge(database: Database, group: list[int]) -> None:
    """Write these blocks as one, without what is gone, some terms at a time."""
    connection = database.conn
    gone = _gone(connection)
    some = [_Alive.of(connection, block, gone.get(block)) for block in group]
    passages = np.concatenate([one.passages for one in some])
    if len(passages):
        lengths = np.concatenate([one.lengths for one in some])
        block, first, size = _insert(database, passages, lengths)
        for merged in _merged(connection, group, some):
            connection.executemany(INSERT, _rows(block, first, size, merged))
    for old in group:
        database.execute("DELETE FROM postings WHERE block = ?", (old,))
        database.execute("DELETE FROM postings_gone WHERE block = ?", (old,))
        database.execute("DELETE FROM postings_blocks WHERE id = ?", (old,))


class _Alive(NamedTuple):
    """What counts of a block: its passages with their lengths, and whether each of its ids does.

    `alive` [n] is of all of its range.
    """

    first: int
    size: int
    passages: Numbers
    lengths: Numbers
    alive: NDArray[np.bool_]

    @classmethod
    def of(cls, connection: sqlite3.Connection, block: int, gone: Numbers | None) -> _Alive:
        """Of a block; ValueError as of `read`."""
        first, last, data = connection.execute(
            "SELECT first, last, lengths FROM postings_blocks WHERE id = ?", (block,)
        ).fetchone()
        lengths = np.frombuffer(data, "<u4").astype(np.int64)
        if len(lengths) != last - first + 1:
            raise ValueError(f"a block of postings has {len(lengths)} lengths")
        alive = np.ones(len(lengths), np.bool_)
        if gone is not None:
            alive[gone[(gone >= first) & (gone <= last)] - first] = False
            lengths[~alive] = 0
        held = np.flatnonzero(lengths)
        return cls(first, len(lengths), held + first, lengths[held], alive)


# A term, the place of its block, ids, counts, written.
_Row: TypeAlias = tuple[str, int, bytes, bytes, bytes]


class _Terms(NamedTuple):
    """Some terms in their order, and the postings of all of them, by term and id: `[n]` each."""

    terms: list[str]
    sizes: Numbers
    ids: Numbers
    counts: Numbers
    written: Numbers


def _merged(
    connection: sqlite3.Connection, group: list[int], some: list[_Alive]
) -> Iterator[_Terms]:
    """What these blocks have of each term, without what is gone; ValueError as of `read`."""
    # Without a function between: each row passes here.
    sql = "SELECT term, ?, ids, counts, coalesce(written, counts) FROM postings WHERE block = ?"
    rows = [
        connection.execute(f"{sql} ORDER BY term", (place, block))
        for place, block in enumerate(group)
    ]
    every = heapq.merge(*rows, key=itemgetter(0))
    terms: list[str] = []
    sizes: list[int] = []
    waiting: list[_Row] = []
    held = 0
    for term, same in groupby(every, key=itemgetter(0)):
        own = list(same)
        terms.append(term)
        sizes.append(len(own))
        waiting += own
        held += sum(len(ids) for _, _, ids, _, _ in own)
        if held > CHUNK:
            yield _taken(terms, np.array(sizes), waiting, some)
            terms, sizes, waiting, held = [], [], [], 0
    if terms:
        yield _taken(terms, np.array(sizes), waiting, some)


def _taken(terms: list[str], rows: Numbers, given: list[_Row], some: list[_Alive]) -> _Terms:
    """The postings of these rows, of which each term has so many."""
    places = np.array([place for _, place, *_ in given])
    widths = np.array([np.dtype(_width_of_ids(one.size)).itemsize for one in some])[places]
    of_ids = [ids for _, _, ids, _, _ in given]
    sizes = np.array([len(ids) for ids in of_ids]) // widths
    ids = _numbers(of_ids, sizes)
    counts = _numbers([counts for *_, counts, _ in given], sizes)
    written = _numbers([written for *_, written in given], sizes)
    of_block = np.repeat(places, sizes)
    if (ids >= np.array([one.size for one in some])[of_block]).any():
        raise ValueError("a term of the postings has ids that its block has not")
    numbers = np.repeat(np.repeat(np.arange(len(terms)), rows), sizes)
    starts = np.cumsum([0, *(one.size for one in some)])
    alive = np.concatenate([one.alive for one in some])[starts[of_block] + ids]
    ids += np.array([one.first for one in some])[of_block]
    if not alive.all():
        numbers, ids, counts, written = (
            values[alive] for values in (numbers, ids, counts, written)
        )
    # Blocks are in the order of their first ids; those of rows that were written again overlap.
    if ((ids[1:] <= ids[:-1]) & (numbers[1:] == numbers[:-1])).any():
        order = np.lexsort((ids, numbers))
        ids, counts, written = ids[order], counts[order], written[order]
    sizes = np.bincount(numbers, minlength=len(terms))
    present = [term for term, size in zip(terms, sizes.tolist(), strict=True) if size]
    return _Terms(present, sizes[sizes > 0], ids, counts, written)


def _numbers(blobs: Sequence[bytes], sizes: Numbers) -> Numbers:
    """The numbers of blobs, of which each has so many, one after the other."""
    lengths = np.array([len(blob) for blob in blobs])
    if not sizes.all() or (lengths % sizes).any():
        raise ValueError("a term of the postings has not as many counts as ids")
    widths = (lengths // sizes).tolist()
    if len(set(widths)) == 1:
        return np.frombuffer(b"".join(blobs), f"<u{widths[0]}").astype(np.int64)
    return np.concatenate(
        [
            np.frombuffer(blob, f"<u{width}").astype(np.int64)
            for blob, width in zip(blobs, widths, strict=True)
        ]
    )


def _insert(database: Database, passages: Numbers, lengths: Numbers) -> tuple[int, int, int]:
    """Insert the row of a block -> its id, the first id of its passages, and their range."""
    first, last = int(passages.min()), int(passages.max())
    of_range = np.zeros(last - first + 1, "<u4")
    of_range[passages - first] = lengths
    count = int(np.count_nonzero(of_range))
    inserted = database.conn.execute(
        "INSERT INTO postings_blocks (first, last, passages, lengths) VALUES (?, ?, ?, ?)",
        (first, last, count, of_range.tobytes()),
    )
    return inserted.lastrowid or 0, first, len(of_range)


def _rows(
    block: int, first: int, size: int, of: _Terms
) -> Iterator[tuple[int, str, bytes, bytes, bytes | None]]:
    """Rows of a block that begins at an id and has a range of so many."""
    if not of.terms:
        return
    wide = next(f"<u{bytes}" for bytes in (1, 2, 4) if of.counts.max() < 1 << 8 * bytes)
    ids = (of.ids - first).astype(_width_of_ids(size))
    counts, written = of.counts.astype(wide), of.written.astype(wide)
    ends = np.cumsum(of.sizes)
    joined = np.add.reduceat(of.counts != of.written, ends - of.sizes) > 0
    start = 0
    for term, end, both in zip(of.terms, ends.tolist(), joined.tolist(), strict=True):
        own = slice(start, end)
        start = end
        but_whole = written[own].tobytes() if both else None
        yield block, term, ids[own].tobytes(), counts[own].tobytes(), but_whole


def _write(database: Database, flat: Flat) -> None:
    """Insert a block; none of no terms."""
    flat = flat.ordered()
    if not len(flat.ids):
        return
    block, first, size = _insert(database, flat.passages, flat.lengths)
    sizes = np.bincount(flat.numbers, minlength=len(flat.terms))
    terms = _Terms(flat.terms, sizes, flat.ids, flat.counts, flat.written)
    database.conn.executemany(INSERT, _rows(block, first, size, terms))


def _width_of_ids(size: int) -> str:
    return "<u2" if size <= SHORT else "<u4"
