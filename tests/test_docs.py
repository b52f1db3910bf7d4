"""The command line's page says what the command line does."""

import runpy
from pathlib import Path
from typing import Any

import click
import pytest

from clsearch.cli import cli

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture(scope="module")
def maker() -> dict[str, Any]:
    """The names of docs/make_cli.py."""
    return runpy.run_path(str(DOCS / "make_cli.py"))


def test_the_page_is_what_the_commands_give(maker: dict[str, Any]) -> None:
    """Else: python docs/make_cli.py."""
    written = (DOCS / "cli.md").read_text(encoding="utf-8")
    assert written == maker["page"](), "stale: run python docs/make_cli.py"


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_every_command_and_every_option_says_what_it_does(name: str) -> None:
    """A help text for each; `--index` and `--json` on each that reads or writes an index."""
    command = cli.commands[name]
    assert command.help
    options = [option for option in command.params if isinstance(option, click.Option)]
    for option in options:
        assert option.help, f"{name} {option.name}"
    assert "--json" in {flag for option in options for flag in option.opts}


def test_every_json_object_is_documented(maker: dict[str, Any]) -> None:
    """An example for each command, and none for a command that is not there."""
    assert set(maker["JSON"]) == set(cli.commands)
