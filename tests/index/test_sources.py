"""The walk over files and folders: what is found, what is left out, what is named."""

import os
import socket
from pathlib import Path

import pytest

from clsearch.index.errors import SourceError
from clsearch.index.sources import Found, file_id, is_within, walk
from clsearch.index.types import Skipped


def make(root: Path, *names: str) -> None:
    """Write files of these names, each holding its name."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


def ids(source: Path, base: Path) -> list[str]:
    """The ids of the files found; nothing may be skipped."""
    found = list(walk(source, base))
    assert not [entry for entry in found if isinstance(entry, Skipped)]
    return [entry.id for entry in found if isinstance(entry, Found)]


def skipped(source: Path, base: Path) -> dict[str, str]:
    """What is skipped, and why."""
    return {entry.name: entry.reason for entry in walk(source, base) if isinstance(entry, Skipped)}


def test_files_come_in_order_with_their_stat(tmp_path: Path) -> None:
    """Sorted by name within each folder, folders and files together."""
    make(tmp_path, "notes/b.md", "notes/a/z.md", "notes/a/b/c.md", "notes/c.md", "notes/B.md")
    os.utime(tmp_path / "notes/b.md", ns=(1, 1_234_567_890_123_456_789))
    found = list(walk(tmp_path / "notes", tmp_path))
    assert [entry.id for entry in found if isinstance(entry, Found)] == [
        "notes/B.md",
        "notes/a/b/c.md",
        "notes/a/z.md",
        "notes/b.md",
        "notes/c.md",
    ]
    path = str(tmp_path / "notes/b.md")
    assert found[3] == Found("notes/b.md", path, 1_234_567_890_123_456_789, len("notes/b.md"))


def test_ids_are_relative_to_the_base_or_absolute(tmp_path: Path) -> None:
    """However the source is spelt."""
    make(tmp_path, "home/notes/a.md", "else/b.md")
    home = tmp_path / "home"
    assert ids(home, home) == ["notes/a.md"]
    assert ids(home / "notes/../notes", home) == ["notes/a.md"]
    assert ids(home / "notes/a.md", home) == ["notes/a.md"]
    assert ids(tmp_path / "else", home) == [f"{tmp_path}/else/b.md"]
    (tmp_path / "way").symlink_to(home)
    assert ids(tmp_path / "way/notes", tmp_path / "way") == ["notes/a.md"]
    assert ids(tmp_path / "way/notes", home) == ["notes/a.md"]


def test_a_file_id_is_a_name_of_its_own() -> None:
    """A sibling that starts alike is not below; the root has no double slash."""
    assert file_id("/home/ada2/a", "/home/ada") == "/home/ada2/a"
    assert file_id("/a/b", "/") == "a/b"
    assert file_id("/home/ada", "/home/ada") == "."
    assert file_id(os.fsdecode(b"/x/\xff\xc3\xa9"), "/x") == "\\xffé"


@pytest.mark.parametrize(
    ("document_id", "folder", "expected"),
    [
        ("notes/a.md", "notes", True),
        ("notes", "notes", True),
        ("notes.md", "notes", False),
        ("notes/c.jsonl#1", "notes/c.jsonl", True),
        ("notes/a.md", ".", True),
        ("/else/a.md", ".", False),
        ("/else/a.md", "/else", True),
    ],
)
def test_what_is_within(document_id: str, folder: str, expected: bool) -> None:
    """Folders hold files, files hold records, the base holds all that is relative."""
    assert is_within(document_id, folder) is expected


def test_what_programs_made_is_left_out_unless_named(tmp_path: Path) -> None:
    """Hidden, fetched, cached, virtual environments, indexes; but a file may bear the name."""
    make(
        tmp_path,
        ".hidden/a.md",
        ".secret",
        "node_modules/a.js",
        "sub/__pycache__/a.pyc",
        "env/pyvenv.cfg",
        "env/a.py",
        "old/index.db",
        "old/vectors/x.faiss",
        "sub/index.db",
        "sub/node_modules.md",
        "__pycache__.md",
    )
    assert ids(tmp_path, tmp_path) == ["__pycache__.md", "sub/index.db", "sub/node_modules.md"]
    assert ids(tmp_path / ".hidden", tmp_path) == [".hidden/a.md"]
    assert ids(tmp_path / ".secret", tmp_path) == [".secret"]
    assert ids(tmp_path / "env", tmp_path) == ["env/a.py", "env/pyvenv.cfg"]
    assert ids(tmp_path / "old", tmp_path) == ["old/index.db", "old/vectors/x.faiss"]


def test_links(tmp_path: Path) -> None:
    """To files: followed. To folders: named, so that no loop is entered. To nothing: named."""
    make(tmp_path, "notes/a.md", "target/b.md", "file.md")
    (tmp_path / "notes/file.md").symlink_to(tmp_path / "file.md")
    (tmp_path / "notes/folder").symlink_to(tmp_path / "target")
    (tmp_path / "notes/up").symlink_to(tmp_path / "notes")
    (tmp_path / "notes/self").symlink_to(tmp_path / "notes/self")
    (tmp_path / "notes/gone").symlink_to(tmp_path / "nowhere")
    found = [entry.id for entry in walk(tmp_path / "notes", tmp_path) if isinstance(entry, Found)]
    assert found == ["notes/a.md", "notes/file.md"]
    reasons = skipped(tmp_path / "notes", tmp_path)
    assert sorted(reasons) == ["notes/folder", "notes/gone", "notes/self", "notes/up"]
    assert "link to a folder" in reasons["notes/folder"]
    assert "not there" in reasons["notes/gone"]
    assert "symbolic links" in reasons["notes/self"]
    assert ids(tmp_path / "notes/folder", tmp_path) == ["notes/folder/b.md"]


def test_pipes_and_sockets_are_named_and_never_opened(tmp_path: Path) -> None:
    """Opening the pipe would wait for ever."""
    make(tmp_path, "a.md")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        folder = os.open(tmp_path, os.O_RDONLY)
        try:  # by a short name: that of a socket has at most 108 bytes
            server.bind(f"/proc/self/fd/{folder}/socket")
        finally:
            os.close(folder)
        assert skipped(tmp_path, tmp_path) == {
            "pipe": "it is a named pipe",
            "socket": "it is a socket",
        }


def test_names_of_every_kind(tmp_path: Path) -> None:
    """Line ends, 255 bytes, bytes that are no UTF-8: each has an id that UTF-8 holds."""
    long = "x" * 252 + ".md"
    make(tmp_path, "two\nlines.md", long, "日本語.md")
    with open(os.fsencode(tmp_path) + b"/\xff.md", "w") as file:
        file.write("x")
    found = ids(tmp_path, tmp_path)
    assert sorted(found) == sorted(["two\nlines.md", long, "日本語.md", "\\xff.md"])
    for name in found:
        name.encode("utf-8")


def test_a_folder_that_cannot_be_listed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is below it has not vanished. The rest is walked on."""
    make(tmp_path, "a/x.md", "b/x.md", "c/x.md")
    scandir = os.scandir

    def refuse(path: str) -> "os._ScandirIterator[str]":
        if path.endswith("/b"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = list(walk(tmp_path, tmp_path))
    assert [e.id for e in found if isinstance(e, Found)] == ["a/x.md", "c/x.md"]
    assert skipped(tmp_path, tmp_path) == {"b": "the folder cannot be listed: permission denied"}
    assert list(walk(tmp_path / "b", tmp_path)) == [
        Skipped("b", "the folder cannot be listed: permission denied")
    ]


def test_a_source_that_is_none(tmp_path: Path) -> None:
    """At once, not when the walk is begun."""
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe")
    for name, reason in (
        ("missing", "not there"),
        ("gone", "link to what is not there"),
        ("pipe", "named pipe"),
    ):
        with pytest.raises(SourceError, match=f"{name}.*{reason}"):
            walk(tmp_path / name, tmp_path)


def test_depth_is_no_danger(tmp_path: Path) -> None:
    """Folders nest deeper than a stack of calls."""
    folders = [str(tmp_path)]
    for _ in range(1200):
        folders.append(f"{folders[-1]}/d")
        os.mkdir(folders[-1])
    try:
        make(Path(folders[-1]), "a.md")
        assert ids(tmp_path, tmp_path) == ["d/" * 1200 + "a.md"]
    finally:  # pytest's own cleaning is recursive
        os.unlink(f"{folders[-1]}/a.md")
        for folder in reversed(folders[1:]):
            os.rmdir(folder)
