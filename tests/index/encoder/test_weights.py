"""Reading safetensors, and folders that hold something else."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import save_file

from clsearch.index.encoder import Encoder
from clsearch.index.encoder.weights import Weights, half_to_float, weight_files
from clsearch.index.errors import ModelError

NewModel = Callable[..., Path]


def test_as_the_library_reads_them(new_model: NewModel) -> None:
    file = new_model("bert") / "model.safetensors"
    weights, expected = Weights(file), load_file(file)
    assert sorted(weights.names()) == sorted(expected)
    for name, tensor in expected.items():
        np.testing.assert_array_equal(weights.array(name), tensor)
    table = "embeddings.word_embeddings.weight"
    rows = np.array([[3, 1], [0, 3]])
    np.testing.assert_array_equal(weights.rows(table, rows), expected[table][rows])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_floating_type(dtype: torch.dtype, tmp_path: Path) -> None:
    tensor = torch.randn(5, 3, generator=torch.Generator().manual_seed(1)).to(dtype)
    whole = torch.arange(3)
    save_file({"a": tensor, "n": whole}, tmp_path / "a.safetensors")
    weights = Weights(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(weights.array("a"), tensor.float().numpy())
    assert not weights.readable("n")
    with pytest.raises(ModelError, match="no tensor 'n' of a floating point type"):
        weights.array("n")


def test_a_broken_file_is_an_error_and_not_garbage(new_model: NewModel) -> None:
    folder = new_model("bert")
    file = folder / "model.safetensors"
    good = file.read_bytes()
    for broken in (b"", b"\x80\x04pickle", good[:100], good[:-1], b"\xff" * 64, good[:8] + b"[]"):
        file.write_bytes(broken)
        with pytest.raises(ModelError, match=r"model\.safetensors cannot be read as safetensors"):
            Encoder.load(str(folder))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.ckpt", "weights.pt"])
def test_pickle_only(name: str, new_model: NewModel) -> None:
    folder = new_model("bert")
    (folder / "model.safetensors").rename(folder / name)
    with pytest.raises(ModelError, match="as pickle only") as error:
        Encoder.load(str(folder))
    assert name in str(error.value)
    assert f"save_pretrained('{folder}', safe_serialization=True)" in str(error.value)


def test_no_weights(new_model: NewModel) -> None:
    folder = new_model("bert")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"no weights: model\.safetensors is missing"):
        Encoder.load(str(folder))


def test_a_missing_shard(new_model: NewModel) -> None:
    folder = new_model("bert")
    (folder / "model.safetensors").rename(folder / "one.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}))
    with pytest.raises(ModelError, match=r"incomplete, two\.safetensors is missing"):
        Encoder.load(str(folder))
    index.write_text(json.dumps({"weight_map": {"a": "one.safetensors"}}))
    assert weight_files(folder) == [folder / "one.safetensors"]
    shutil.copy(folder / "one.safetensors", folder.parent)
    index.write_text(json.dumps({"weight_map": {"a": "../one.safetensors"}}))
    with pytest.raises(ModelError, match="incomplete"):
        weight_files(folder)


def test_weights_of_another_configuration(new_model: NewModel) -> None:
    """What is missing would be random: it is refused, not filled."""
    folder = new_model("bert")
    config = json.loads((folder / "config.json").read_text())
    config["num_hidden_layers"] = 3
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"do not fit config\.json.*encoder\.layer\.2"):
        Encoder.load(str(folder)).encode_queries(["router"])


def test_every_half_as_numpy_converts_it() -> None:
    """All 65,536: zeros of both signs, subnormal, normal; infinities and what is no number."""
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)]
    converted = np.empty(finite.shape, np.float32)
    half_to_float(finite, converted)
    np.testing.assert_array_equal(converted.view(np.uint32), finite.astype("f4").view(np.uint32))
    converted = np.empty(every.shape, np.float32)
    half_to_float(every, converted)
    np.testing.assert_array_equal(converted, every.astype(np.float32))
