"""What an index was made with, and how many commits it has seen: the table `settings`."""

import json
import sqlite3
from dataclasses import asdict, dataclass
from pathlib import Path

from ..config import Options
from ..errors import IndexMismatch
from ..types import Json

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Settings:
    """Saved with the index. `generation` grows by one with every commit."""

    options: Options
    fingerprint: str
    declaration: dict[str, Json]
    generation: int = 0


def read_schema(connection: sqlite3.Connection, index: Path) -> int:
    """The schema version of the database, 0 where it has none yet.

    Raises `IndexMismatch` where a newer clsearch made it.
    """
    made = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'settings'").fetchone()
    if not made:
        return 0
    row = connection.execute("SELECT value FROM settings WHERE key = 'schema'").fetchone()
    version = int(row[0]) if row else 0
    if version > SCHEMA:
        raise IndexMismatch(
            f"the index at {str(index)!r} has schema {version}, made by a newer clsearch; this one "
            f"reads up to {SCHEMA}. Upgrade clsearch, or index again into another folder."
        )
    return version


def read_settings(connection: sqlite3.Connection) -> Settings:
    """The settings of an index whose schema was checked."""
    rows = dict(connection.execute("SELECT key, value FROM settings").fetchall())
    return Settings(
        options=Options(**json.loads(rows["options"])),
        fingerprint=rows["fingerprint"],
        declaration=json.loads(rows["declaration"]),
        generation=int(rows["generation"]),
    )


def settings_rows(settings: Settings) -> list[dict[str, str]]:
    """The rows that `read_settings` reads back."""
    return [
        {"key": "options", "value": json.dumps(asdict(settings.options))},
        {"key": "fingerprint", "value": settings.fingerprint},
        {"key": "declaration", "value": json.dumps(settings.declaration, sort_keys=True)},
        {"key": "generation", "value": str(settings.generation)},
    ]
