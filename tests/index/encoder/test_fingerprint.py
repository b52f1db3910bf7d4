"""A fingerprint changes with everything that changes a vector, and with nothing else."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from clsearch.index.encoder import Encoder
from clsearch.index.encoder import fingerprint as module


def fingerprint(folder: Path, **options: str) -> str:
    return Encoder.load(str(folder), **options).fingerprint


def change_weight(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["encoder.layer.1.output.dense.bias"][3] += 1e-3
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def change_json(folder: Path, name: str, **values: object) -> None:
    path = folder / name
    current = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(current | values))


CHANGES: dict[str, Callable[[Path], None]] = {
    "weights": change_weight,
    "activation": lambda folder: change_json(folder, "config.json", hidden_act="relu"),
    "length": lambda folder: change_json(folder, "sentence_bert_config.json", max_seq_length=9),
    "query length": lambda folder: change_json(folder, "sentence_bert_config.json", query_length=9),
    "case": lambda folder: change_json(folder, "sentence_bert_config.json", do_lower_case=True),
    "prompt": lambda folder: change_json(
        folder, "config_sentence_transformers.json", prompts={"query": "q: "}
    ),
    "dimensions": lambda folder: change_json(
        folder, "config_sentence_transformers.json", truncate_dim=16
    ),
    "tokenizer": lambda folder: change_json(folder, "tokenizer.json", normalizer=None),
    "tokenizer options": lambda folder: change_json(
        folder, "tokenizer_config.json", do_lower_case=False
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_it(change: str, new_model: Callable[..., Path]) -> None:
    folder = new_model("bert")
    before = fingerprint(folder)
    CHANGES[change](folder)
    assert fingerprint(folder) != before


def test_pooling_changes_it(new_model: Callable[..., Path]) -> None:
    folder = new_model("bert")
    prints = {fingerprint(folder, pooling=mode) for mode in ("cls", "mean", "max", "cls+mean")}
    assert len(prints) == 4
    assert fingerprint(folder, pooling="cls") == fingerprint(folder)


def test_what_does_not_change_it(new_model: Callable[..., Path], tmp_path: Path) -> None:
    folder = new_model("bert")
    before = fingerprint(folder)
    assert len(before) == 64
    assert set(before) <= set("0123456789abcdef")
    (folder / "README.md").write_text("A model.")
    assert fingerprint(folder) == before
    assert fingerprint(folder, device="cpu") == before
    shutil.copytree(folder, tmp_path / "copy")
    assert fingerprint(tmp_path / "copy") == before


def test_weights_are_hashed_once_for_each_change(
    new_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A digest is kept with the stamp of its file; as large a file of the same time is another."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "LARGE", 0)
    folder = new_model("bert")
    weights = folder / "model.safetensors"
    first = fingerprint(folder)
    assert not (tmp_path / "cache").exists()  # so fresh a file may change within its stamp
    monkeypatch.setattr(module, "FRESH", -1.0)
    assert fingerprint(folder) == first
    kept = {file: file.read_bytes() for file in (tmp_path / "cache/clsearch/digests").iterdir()}
    assert json.loads(kept[module._place(weights)])["stamp"][0] == weights.stat().st_size
    with monkeypatch.context() as patched:
        patched.setattr(module, "mmap", None)  # to hash would fail
        assert fingerprint(folder) == first
    of = weights.stat()
    change_weight(folder)
    os.utime(weights, ns=(of.st_atime_ns, of.st_mtime_ns))
    assert weights.stat().st_size == of.st_size
    assert fingerprint(folder) != first
    for file in kept:
        file.write_text("no JSON")
    assert fingerprint(folder) != first


def test_a_cache_that_cannot_be_written_is_done_without(
    new_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = new_model("bert")
    first = fingerprint(folder)
    monkeypatch.setattr(module, "LARGE", 0)
    monkeypatch.setattr(module, "FRESH", -1.0)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert fingerprint(folder) == first
