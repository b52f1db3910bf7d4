"""The answers of several settings and run files, measured and compared query by query."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from ...index.errors import UsageError
from ...index.types import Json
from ...terminal import SILENT, Status
from .asking import Setting, ask, names
from .collection import Collection
from .metrics import DEFAULT, Metric, Qrels, Run, measure
from .runs import read_run, run_files, write_run
from .significance import holm, randomisation

DECIMALS = 7  # trec_eval's values to 1e-6, and no digits that mean nothing


@dataclass(frozen=True, slots=True)
class Difference:
    """A row's mean less that of the first row; p of the paired test, and with Holm's correction."""

    mean: float
    p: float
    adjusted: float


@dataclass(frozen=True, slots=True)
class Row:
    """How one setting, or one run file, answers.

    `values` is metric -> query -> value, `versus` metric -> difference to the first row, empty for
    that row itself.
    """

    name: str
    setting: Setting | None
    file: Path | None
    run: Run
    values: Mapping[str, Mapping[str, float]]
    versus: Mapping[str, Difference]

    @property
    def metrics(self) -> dict[str, float]:
        """Metric -> its mean over all judged queries."""
        return {name: sum(of.values()) / len(of) for name, of in self.values.items()}

    def to_json(self) -> dict[str, Json]:
        """With the settings by name, null where they do not apply."""
        given = asdict(self.setting) if self.setting else {}
        return {
            "name": self.name,
            **{field.name: given.get(field.name) for field in fields(Setting)},
            "run": None if self.file is None else str(self.file),
            "metrics": {name: round(value, DECIMALS) for name, value in self.metrics.items()},
            "versus_first": {
                name: {
                    "difference": round(one.mean, DECIMALS),
                    "p": round(one.p, DECIMALS),
                    "p_holm": round(one.adjusted, DECIMALS),
                }
                for name, one in self.versus.items()
            },
        }


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What `eval` prints. `documents` is None where nothing was asked: run files alone."""

    collection: Collection
    documents: int | None
    rows: tuple[Row, ...]

    def to_json(self, per_query: bool = False) -> dict[str, Json]:
        """One setting alone has its mode and its metrics at the top, all else a list of rows."""
        of, row = self.collection, self.rows[0]
        alone = len(self.rows) == 1 and row.setting is not None
        said: dict[str, Json] = {"collection": of.name, "split": of.split}
        if row.setting and alone:
            said["mode"] = row.setting.mode
        said |= {"queries": len(of.queries), "documents": self.documents}
        if alone:
            said["metrics"] = row.to_json()["metrics"]
        else:
            said["rows"] = [row.to_json() for row in self.rows]
        if per_query:
            said["per_query"] = [
                {"id": id, "query": text, "metrics": [_of_query(row, id) for row in self.rows]}
                for id, text in of.queries.items()
            ]
        return said


def evaluate(
    collection: Collection,
    settings: Sequence[Setting] = (Setting(),),
    runs: Sequence[Path] = (),
    metrics: Sequence[Metric] = DEFAULT,
    index: Path | None = None,
    cached: bool = True,
    save: Path | None = None,
    status: Status = SILENT,
) -> Evaluation:
    """Measure run files, then settings; each row but the first is compared with the first.

    A document counts with its best passage. `index` is for the corpus of a BEIR folder: it is
    added to it. Else each model gets an index in the user's cache folder, a temporary one where not
    `cached`; what an existing index was made with is asked of that index itself. `save` is where
    what was found is written as a TREC run, a folder where there are several settings.

    UsageError where a run file is none or cannot be written, or `index` holds other documents or
    would have to hold two models; ModelError and the errors of an index as they come.
    """
    settings = list(dict.fromkeys(settings))
    if index is not None and len({(one.model, one.pooling) for one in settings}) > 1:
        raise UsageError(
            f"the index {str(index)!r} holds the vectors of one model: name one, or leave out"
            " --index to compare several"
        )
    qrels = collection.qrels
    runs = list(dict.fromkeys(runs))
    alike = len({file.name for file in runs}) < len(runs)
    rows = [
        _row(str(file) if alike else file.name, None, file, read_run(file, qrels), metrics, qrels)
        for file in runs
    ]
    documents = None
    if settings:
        called = names(settings)
        files = run_files(save, called) if save else []
        depth = max(metric.depth for metric in metrics)
        answers = ask(collection, settings, depth, index, cached, status)
        documents = answers.documents
        rows += [
            _row(name, one, None, answers.runs[one], metrics, qrels)
            for name, one in zip(called, settings, strict=True)
        ]
        for written, one in zip(files, settings, strict=False):
            write_run(written, answers.runs[one])
    return Evaluation(collection, documents, tuple(_compared(rows)))


def _row(
    name: str,
    setting: Setting | None,
    file: Path | None,
    run: Run,
    metrics: Sequence[Metric],
    qrels: Qrels,
) -> Row:
    values = {metric.name: measure(metric, qrels, run) for metric in metrics}
    return Row(name, setting, file, run, values, {})


def _compared(rows: Sequence[Row]) -> list[Row]:
    """The rows with their differences to the first; p is corrected over the rows."""
    first, others = rows[0], rows[1:]
    versus: list[dict[str, Difference]] = [{} for _ in others]
    for name, before in first.values.items():
        differences = [[row.values[name][id] - before[id] for id in before] for row in others]
        p = [randomisation(of) for of in differences]
        for into, of, one, adjusted in zip(versus, differences, p, holm(p), strict=True):
            into[name] = Difference(sum(of) / len(of), one, adjusted)
    return [first, *(replace(row, versus=of) for row, of in zip(others, versus, strict=True))]


def _of_query(row: Row, id: str) -> dict[str, Json]:
    return {name: round(of[id], DECIMALS) for name, of in row.values.items()}
