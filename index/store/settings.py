"""What an index was made with, and how many commits it has seen: the table `settings`."""

import json
import shlex
import sqlite3
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..config import Calibration, Options
from ..errors import IndexDamaged, IndexMismatch
from ..types import Json
from .connection import REBUILD

SCHEMA = 5


@dataclass(frozen=True, slots=True)
class Settings:
    """Saved with the index. `generation` grows by one with every commit."""

    options: Options
    fingerprint: str
    declaration: dict[str, Json]
    generation: int = 0
    calibration: Calibration = field(default_factory=Calibration)


def read_schema(connection: sqlite3.Connection, index: Path) -> int:
    """The schema version of the database, 0 where it has none yet.

    Raises `IndexMismatch` where a newer clsearch made it, and `IndexDamaged` where it lost its
    tables: one commit makes them all, and such a database must not be taken for a new one.
    """
    made = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'settings'").fetchone()
    if not made and connection.execute("PRAGMA page_count").fetchone()[0] <= 1:
        return 0
    sql = "SELECT value FROM settings WHERE key = 'schema'"
    row = connection.execute(sql).fetchone() if made else None
    if row is None:
        raise IndexDamaged(
            f"the database of the index at {str(index)!r} is damaged (it has lost its tables). "
            f"{REBUILD}"
        )
    version = int(row[0])
    if version > SCHEMA:
        raise IndexMismatch(
            f"the index at {str(index)!r} has schema {version}, made by a newer clsearch; this one "
            f"reads up to {SCHEMA}. Upgrade clsearch, or index again into another folder."
        )
    return version


def check_current(connection: sqlite3.Connection, index: Path) -> bool:
    """Whether the database has tables, and then those of this version: what a reader needs.

    Raises `IndexMismatch` where an older clsearch made them (whoever writes migrates them), and as
    `read_schema` does.
    """
    version = read_schema(connection, index)
    if 0 < version < SCHEMA:
        raise IndexMismatch(
            f"the index at {str(index)!r} has schema {version}, made by an older clsearch; this "
            f"one reads {SCHEMA}. Run `clsearch optimize --index {shlex.quote(str(index))}` once: "
            "it brings the index up to date, from the text it holds."
        )
    return version > 0


def read_settings(connection: sqlite3.Connection) -> Settings:
    """The settings of an index whose schema was checked."""
    rows = dict(connection.execute("SELECT key, value FROM settings").fetchall())
    return Settings(
        options=Options(**json.loads(rows["options"])),
        fingerprint=rows["fingerprint"],
        declaration=json.loads(rows["declaration"]),
        generation=int(rows["generation"]),
        calibration=Calibration(**json.loads(rows.get("calibration", "{}"))),
    )


def settings_rows(settings: Settings) -> list[dict[str, str]]:
    """The rows that `read_settings` reads back."""
    return [
        {"key": "options", "value": json.dumps(asdict(settings.options))},
        {"key": "fingerprint", "value": settings.fingerprint},
        {"key": "declaration", "value": json.dumps(settings.declaration, sort_keys=True)},
        {"key": "generation", "value": str(settings.generation)},
        {"key": "calibration", "value": json.dumps(asdict(settings.calibration))},
    ]
