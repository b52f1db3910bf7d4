"""Facets and maps against what the documents say and what NumPy makes of the vectors."""

import base64
import json
import shutil
import stat
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from clsearch.index.index import Index
from clsearch.index.store.snapshot import Snapshot
from clsearch.index.vectors import Segment
from clsearch.search import filters
from clsearch.search.serve import facets, maps
from clsearch.search.serve.app import create_app
from clsearch.search.serve.settings import Settings

KINDS = {"x": "<u2", "y": "<u2", "document": "<u4", "line": "<u4"}

# Keys that filters must quote, or that are named like what filters know.
ODD_KEYS = ["path", "and", "Null", 'odd "key"', "a.b", "ключ", "dc:title", "metadata", "date", ""]
ODD_VALUES = ["it's", "100%", "a'' b", "\\", "'", "真", 7, -1, 2.5, 1e21, True, False]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where maps are kept."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "clsearch" / "maps"


@pytest.fixture
def made(tmp_path: Path, encoder: Any) -> Callable[..., Path]:
    """Documents -> the index `NAME.clsearch` with them."""

    def made(documents: list[dict[str, Any]], name: str = "notes") -> Path:
        path = tmp_path / f"{name}.clsearch"
        with Index.open(path, encoder=encoder) as index:
            index.add({"text": f"amber {one['id']}", **one} for one in documents)
        return path

    return made


@pytest.fixture
def client(encoder: Any) -> Iterator[Callable[[Path], TestClient]]:
    """The path of an index -> a client of a server of it, that is running."""
    open_ones: list[TestClient] = []

    def client(path: Path) -> TestClient:
        app = create_app([path], Settings(), load=lambda model, pooling: encoder)
        one = TestClient(app, base_url="http://127.0.0.1:7700")
        one.__enter__()
        open_ones.append(one)
        return one

    yield client
    for one in open_ones:
        one.__exit__()


def in_folders() -> list[dict[str, Any]]:
    """Thirty documents below `library/`, in three folders and in none, with metadata."""
    folders = ["art/new", "art", "maps%_", "it's"]
    return [
        {
            "id": f"library/{folders[n % 4]}/{n}.md" if n % 5 else f"library/{n}.md",
            "title": f"Number {n}",
            "metadata": {
                "lang": ["en", "de", "el"][n % 3],
                "year": 1990 + n % 4,
                "rare": n,
                "kept": n % 2 == 0,
                "same": "x",
                "tag": ["a", "b", "a"][: n % 4],
                "long": "y" * 81,
                "deep": {"lang": "en"},
                "none": None,
            },
        }
        for n in range(30)
    ]


def read(path: Path) -> facets.Facets:
    with Snapshot.open(path) as snapshot:
        return facets.read(snapshot)


def passing(path: Path, where: str) -> int:
    """How many documents a filter lets through: each of these has one passage."""
    with Snapshot.open(path) as snapshot:
        return len(snapshot.matching(filters.parse(where)))


def test_facets_count_what_documents_have(made: Callable[..., Path]) -> None:
    """Folders below what all share, then keys; nothing of what all or only one have."""
    documents = in_folders()
    found = {facet.name: facet for facet in read(made(documents)).facets}
    expected: dict[str | None, Counter[Any]] = {
        None: Counter(one["id"].split("/")[1] for one in documents if one["id"].count("/") > 1),
        "lang": Counter(one["metadata"]["lang"] for one in documents),
        "year": Counter(one["metadata"]["year"] for one in documents),
        "kept": Counter(one["metadata"]["kept"] for one in documents),
        "tag": Counter(tag for one in documents for tag in set(one["metadata"]["tag"])),
    }
    assert {
        name: {value.value: value.documents for value in facet.values}
        for name, facet in found.items()
    } == expected
    assert next(iter(found)) is None
    for facet in found.values():
        counts = [value.documents for value in facet.values]
        assert counts == sorted(counts, reverse=True)


def test_a_facet_s_filter_leaves_its_documents(made: Callable[..., Path]) -> None:
    path = made(in_folders())
    for facet in read(path).facets:
        for value in facet.values:
            assert passing(path, value.where) == value.documents, value.where


@pytest.mark.parametrize("key", ODD_KEYS)
def test_odd_keys_and_values_can_be_filtered_by(made: Callable[..., Path], key: str) -> None:
    path = made(
        [
            {"id": f"{n}-{copy}", "metadata": {key: value}}
            for n, value in enumerate(ODD_VALUES)
            for copy in range(2)
        ]
    )
    [facet] = read(path).facets
    assert facet.name == key
    assert {json.dumps(value.value) for value in facet.values} == set(map(json.dumps, ODD_VALUES))
    for value in facet.values:
        assert passing(path, value.where) == value.documents == 2, value.where


def test_facets_are_bounded(made: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """By keys, by values, and by the documents that are read, which is said."""
    many = [
        {"id": f"{n}", "metadata": {f"key {key}": n // 2 % 20 for key in range(20)}}
        for n in range(40)
    ]
    path = made(many)
    found = read(path)
    assert len(found.facets) == facets.KEYS
    assert {len(facet.values) for facet in found.facets} == {facets.VALUES}
    monkeypatch.setattr(facets, "DOCUMENTS", 6)
    found = read(path)
    assert (found.counted, found.documents) == (6, 40)
    assert [value.documents for value in found.facets[0].values] == [2, 2, 2]


@pytest.mark.parametrize("ids", [[], ["a.md"], ["x/a.md", "x/b.md"], ["a.md", "b.md"]])
def test_one_folder_parts_nothing(made: Callable[..., Path], ids: list[str]) -> None:
    assert read(made([{"id": id} for id in ids])).facets == ()


def column(drawn: Mapping[str, Any], name: str) -> Any:
    return np.frombuffer(base64.b64decode(drawn["points"][name]), KINDS.get(name, "<f8"))


def stored(path: Path) -> dict[int, Any]:
    """Passage id -> vector, of those that were not removed."""
    with Snapshot.open(path) as snapshot:
        gone = set(snapshot.tombstones().tolist())
        held: dict[int, Any] = {}
        for row in snapshot.segments:
            segment = Segment.open(path, row)
            held.update(zip(segment.ids.tolist(), segment.vectors(segment.ids), strict=True))
    return {id: held[id] for id in sorted(held) if id not in gone}


def test_a_map_is_the_plane_of_the_live_vectors(made: Callable[..., Path], encoder: Any) -> None:
    """By NumPy, up to the sign; on one scale, in 16 bits; each point with its passage."""
    path = made(in_folders())
    with Index.open(path, encoder=encoder) as index:
        index.remove(["library/art/1.md"])
        index.add([{"id": "late.md", "text": "A basalt column.\n\nIt stands. " * 40}])
    held = stored(path)
    _, drawn = maps.draw(path)
    assert drawn["passages"] == drawn["shown"] == len(held)
    assert column(drawn, "id").tolist() == list(held)

    vectors = np.stack(list(held.values())).astype(np.float64)
    centred = vectors - vectors.mean(axis=0)
    _, values, axes = np.linalg.svd(centred, full_matrices=False)
    expected = centred @ axes[:2].T
    shown = np.stack([column(drawn, "x"), column(drawn, "y")], axis=1).astype(np.float64)
    scale = maps.SIDE / np.ptp(expected, axis=0).max()
    shown -= shown.mean(axis=0)
    for axis in range(2):
        sign = np.sign(shown[:, axis] @ expected[:, axis])
        np.testing.assert_allclose(shown[:, axis], sign * scale * expected[:, axis], atol=15)
    shares = (values**2 / (values**2).sum())[:2]
    np.testing.assert_allclose(drawn["shares"], shares, atol=1e-3)

    with Snapshot.open(path) as snapshot:
        passages = snapshot.passages(list(held))
    for place, id in enumerate(held):
        passage = passages[id].passage
        document = drawn["documents"][column(drawn, "document")[place]]
        assert document == [passages[id].document, passages[id].title]
        spans = [column(drawn, name)[place] for name in ("start", "end", "line")]
        assert spans == [passage.start, passage.end, passage.line]


def test_a_map_s_colours_are_those_of_the_facets(made: Callable[..., Path]) -> None:
    """Per document the place of its value among the labels, 0 for any other."""
    documents = in_folders()
    _, drawn = maps.draw(made(documents))
    known = {one["id"]: one for one in documents}
    names = [colour["name"] for colour in drawn["colours"]]
    assert names[0] is None
    assert set(names) == {None, "lang", "year", "kept", "tag"}
    for colour in drawn["colours"]:
        of = np.frombuffer(base64.b64decode(colour["of"]), np.uint8)
        for (id, _), number in zip(drawn["documents"], of.tolist(), strict=True):
            if colour["name"] is None:
                parts = id.split("/")
                value = parts[1] if len(parts) > 2 else None
            else:
                value = known[id]["metadata"][colour["name"]]
            value = value[0] if isinstance(value, list) and value else value
            label = colour["labels"][number - 1] if number else None
            assert label == (value if value != [] else None)


def test_of_many_passages_a_sample_is_drawn(
    made: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And said; the same each time."""
    path = made(in_folders())
    monkeypatch.setattr(maps, "SHOWN", 12)
    first, second = maps.draw(path)[1], maps.draw(path)[1]
    assert (first["passages"], first["shown"]) == (30, 12)
    assert len(set(column(first, "id").tolist())) == 12
    assert set(column(first, "id").tolist()) < set(stored(path))
    assert first == second


@pytest.mark.parametrize("count", [0, 1, 2])
def test_maps_of_next_to_nothing(made: Callable[..., Path], count: int) -> None:
    _, drawn = maps.draw(made([{"id": str(n)} for n in range(count)]))
    assert drawn["shown"] == count
    assert len(column(drawn, "x")) == count


def wait(maps_of: maps.Maps, path: Path) -> maps.Map:
    for _ in range(500):
        made, current = maps_of.get(path)
        if made is not None and current:
            return made
        time.sleep(0.01)
    raise AssertionError("no map in time")


def test_a_map_is_made_once_and_kept(
    made: Callable[..., Path],
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a file for its owner alone, which another server takes; a damaged one is made anew."""
    path = made(in_folders())
    first = maps.Maps()
    assert first.get(path) == (None, False)
    one = wait(first, path)
    [file] = cache.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    with monkeypatch.context() as patched:
        patched.setattr(maps, "draw", None)
        assert maps.Maps().get(path) == (one, True)
    for damaged in (b"", b"nonsense", file.read_bytes()[:-5], b"\xff\n}"):
        file.write_bytes(damaged)
        assert wait(maps.Maps(), path) == one


def test_an_older_map_is_shown_while_the_newer_is_made(
    made: Callable[..., Path], encoder: Any
) -> None:
    path = made(in_folders())
    server = maps.Maps()
    before = wait(server, path)
    with Index.open(path, encoder=encoder) as index:
        index.add([{"id": "late.md", "text": "basalt"}])
    assert server.get(path) == (before, False)
    after = wait(server, path)
    assert json.loads(after.body)["shown"] == json.loads(before.body)["shown"] + 1


def test_another_index_at_the_same_path_has_a_map_of_its_own(
    made: Callable[..., Path], tmp_path: Path
) -> None:
    """Though it has as many commits: it is told by the names of its segments."""
    path = made([{"id": str(n), "text": f"amber {n}"} for n in range(5)])
    wait(maps.Maps(), path)
    path.rename(tmp_path / "old")
    made([{"id": str(n), "text": f"basalt {n}"} for n in range(5)])
    assert maps.Maps().get(path) == (None, False)


def test_what_keeps_a_map_from_being_made_is_said(
    made: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the next call begins again."""
    path = made(in_folders())
    server = maps.Maps()
    with monkeypatch.context() as patched:
        patched.setattr(maps, "plane", lambda vectors: 1 / 0)
        server.get(path)
        with pytest.raises(ZeroDivisionError):
            wait(server, path)
    assert wait(server, path)


def test_the_routes(made: Callable[..., Path], client: Callable[[Path], TestClient]) -> None:
    """Facets, the map once it is made, and neither of an index that is not there."""
    path = made(in_folders())
    server = client(path)
    told = server.get("/v1/indexes/notes/facets").json()
    assert told["index"] == "notes"
    assert told["documents"] == told["counted"] == 30
    assert told["facets"] == read(path).to_json()["facets"]
    for _ in range(500):
        answer = server.get("/v1/indexes/notes/map")
        if answer.status_code == 200:
            break
        assert (answer.status_code, answer.json()) == (202, {"state": "making"})
        assert answer.headers["retry-after"] == "1"
        time.sleep(0.01)
    drawn = answer.json()
    assert drawn.pop("state") == "current"
    assert drawn == maps.draw(path)[1]
    tag = {"If-None-Match": answer.headers["etag"]}
    assert server.get("/v1/indexes/notes/map", headers=tag).status_code == 304
    for what in ("facets", "map"):
        refused = server.get(f"/v1/indexes/other/{what}")
        assert refused.status_code == 404
        assert "other" in refused.json()["error"]["message"]


def test_facets_follow_the_index(
    made: Callable[..., Path], client: Callable[[Path], TestClient], encoder: Any
) -> None:
    path = made(in_folders())
    server = client(path)
    before = server.get("/v1/indexes/notes/facets").json()
    with Index.open(path, encoder=encoder) as index:
        index.add([{"id": "late.md", "text": "basalt", "metadata": {"lang": "en"}}])
    after = server.get("/v1/indexes/notes/facets").json()
    assert after["generation"] > before["generation"]
    assert after["documents"] == 31


def test_what_was_kept_is_read_once_while_a_map_is_made(
    made: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made(in_folders())
    go_on = threading.Event()
    read: list[Path] = []
    make, kept = maps._make, maps.kept
    monkeypatch.setattr(maps, "_make", lambda index: (go_on.wait(30), make(index))[1])
    monkeypatch.setattr(maps, "kept", lambda index: (read.append(index), kept(index))[1])
    asked = maps.Maps()
    for _ in range(3):
        assert asked.get(path) == (None, False)
    go_on.set()
    asked.close()
    made_map, current = asked.get(path)
    assert current
    assert made_map == kept(path)
    assert read == [path]


def test_facets_are_those_of_the_index_that_is_there_now(
    made: Callable[..., Path], client: Callable[[Path], TestClient]
) -> None:
    """Another index at the same path, with as many commits."""

    def values() -> list[str]:
        [facet] = server.get("/v1/indexes/notes/facets").json()["facets"]
        return [value["value"] for value in facet["values"]]

    def documents(lang: str) -> list[dict[str, Any]]:
        return [{"id": f"{n}", "metadata": {"lang": lang if n else "la"}} for n in range(4)]

    path = made(documents("en"))
    server = client(path)
    assert values() == ["en"]
    shutil.rmtree(path)
    assert made(documents("de")) == path
    assert values() == ["de"]


FILES = {
    "/": "text/html; charset=utf-8",
    "/page/page.css": "text/css; charset=utf-8",
    "/page/page.js": "text/javascript; charset=utf-8",
    "/page/map.js": "text/javascript; charset=utf-8",
}


def test_the_page_s_files(made: Callable[..., Path], client: Callable[[Path], TestClient]) -> None:
    """With their types, asked for again by ETag, under a policy; and nothing beside them."""
    server = client(made([{"id": "a"}]))
    for path, type in FILES.items():
        answer = server.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (200, type)
        assert answer.headers["cache-control"] == "no-cache"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        tag = {"If-None-Match": answer.headers["etag"]}
        again = server.get(path, headers=tag)
        assert (again.status_code, again.content) == (304, b"")
        assert server.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
        head = server.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == str(len(answer.content))
    for other in ("/page/", "/page/page.py", "/page/../page.py", "/page/%2e%2e/page.py", "/x"):
        assert server.get(other).status_code == 404
