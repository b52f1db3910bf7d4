"""A collection's queries asked with each setting, of the index that the setting needs."""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from ...index.config import Options
from ...index.errors import UsageError
from ...index.files import DATABASE
from ...index.store.snapshot import Snapshot
from ...terminal import SILENT, Status
from ..scale import Mode
from ..searcher import Searcher
from .cache import cache_folder, fill, with_index
from .collection import Collection
from .corpus import Corpus, IndexCorpus
from .metrics import Run, by_places

# How a row is called where another one names what this one leaves open.
UNNAMED = {"model": "embedded", "pooling": "declared pooling"}


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to answer. `model` None is that of the index, or the embedded one."""

    mode: Mode = "hybrid"
    model: str | None = None
    pooling: str | None = None
    rerank: str | None = None


@dataclass(frozen=True, slots=True)
class Answers:
    """What the settings answer, and of how many documents."""

    documents: int
    runs: Mapping[Setting, Run]


def names(settings: Sequence[Setting]) -> list[str]:
    """A name for each: what they do not all share; the mode where they share everything.

    >>> names([Setting("dense"), Setting("lexical")])
    ['dense', 'lexical']
    >>> names([Setting("dense"), Setting("dense", "intfloat/e5-small")])
    ['embedded', 'intfloat/e5-small']
    """
    shown = [asdict(one) for one in settings]
    varying = [key for key in shown[0] if len({one[key] for one in shown}) > 1] if shown else []
    return [
        ", ".join(one[key] or UNNAMED.get(key, f"no {key}") for key in varying) or one["mode"]
        for one in shown
    ]


def ask(
    collection: Collection,
    settings: Sequence[Setting],
    depth: int,
    index: Path | None = None,
    cached: bool = True,
    status: Status = SILENT,
) -> Answers:
    """The best `depth` documents for each query, with each setting.

    `index`, `cached` and errors as of `evaluate`.
    """
    corpus = collection.corpus
    if corpus is None:
        raise UsageError("there are judgments and no queries: name --topics to ask them")
    named = dict(zip(settings, names(settings), strict=True))
    counts: list[int] = []
    runs: dict[Setting, Run] = {}

    def search(path: Path, group: Sequence[Setting]) -> None:
        with Snapshot.open(path) as snapshot:
            counts.append(snapshot.counts().documents)
        searcher = Searcher.open(path)
        for setting in group:
            status.show(f"searching: {named[setting]}")
            runs[setting] = _run(searcher, collection, depth, setting)

    with ExitStack() as stack:
        if cached:
            root = cache_folder()
        else:
            root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="clsearch-eval-")))
        for wanted, group in _by_options(corpus, settings).items():
            if index is not None:
                _fill_alone(corpus, wanted, index, status)
                search(index, group)
            elif isinstance(corpus, IndexCorpus) and corpus.options() == wanted:
                search(corpus.path, group)
            else:
                with_index(corpus, wanted, root, partial(search, group=group), status)
    return Answers(counts[-1], {setting: runs[setting] for setting in settings})


def _run(searcher: Searcher, collection: Collection, depth: int, setting: Setting) -> Run:
    """What one setting answers, in the ids of the judgments."""
    queries = collection.queries
    # One more, for a document with the id of the query is none in BEIR.
    found = searcher.rank_documents(
        list(queries.values()), depth + 1, setting.mode, rerank=setting.rerank
    )
    run: Run = {}
    for query, ranking in zip(queries, found, strict=True):
        others = [id for id in ranking if collection.may_find_itself or id != query][:depth]
        run[query] = by_places([collection.judged_as.get(id, id) for id in others])
    return run


def _by_options(corpus: Corpus, settings: Sequence[Setting]) -> dict[Options, list[Setting]]:
    """The settings by what their index is made with."""
    own = corpus.options() if isinstance(corpus, IndexCorpus) else Options()
    groups: dict[Options, list[Setting]] = {}
    for one in settings:
        model = one.model or own.model
        pooling = one.pooling or (own.pooling if model == own.model else None)
        groups.setdefault(Options(model, pooling), []).append(one)
    return groups


def _fill_alone(corpus: Corpus, options: Options, index: Path, status: Status) -> None:
    """Bring the corpus into an index of the user's.

    UsageError, before anything changes, where it holds other documents.
    """
    if (index / DATABASE).exists():
        own = {document.id for document in corpus.documents()}
        others = [id for id in IndexCorpus(index).ids() if id not in own]
        if others:
            raise UsageError(
                f"the index {str(index)!r} holds {others[0]!r}, which is not of the collection:"
                " use an index of this collection alone, or none"
            )
    fill(corpus, options, index, status)
