"""Declarations that are wrong or unknown: an error that names them, never a silent difference."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from clsearch.index.encoder import Encoder
from clsearch.index.encoder.declaration import read_declaration
from clsearch.index.errors import ModelError, UsageError

NewModel = Callable[..., Path]
OLD, NEW = "sentence_transformers.models", "sentence_transformers.sentence_transformer.modules"


def declare(folder: Path, *modules: tuple[str, dict[str, object]]) -> Path:
    """Write modules.json, a Transformer first, and a folder with config.json for each module."""
    entries = [{"type": f"{OLD}.Transformer", "path": ""}]
    for place, (kind, config) in enumerate(modules, 1):
        path = f"{place}_{kind.rpartition('.')[2]}"
        (folder / path).mkdir(exist_ok=True)
        (folder / path / "config.json").write_text(json.dumps(config))
        entries.append({"type": kind, "path": path})
    (folder / "modules.json").write_text(json.dumps(entries))
    return folder


POOLING = (f"{OLD}.Pooling", {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True})


@pytest.mark.parametrize(
    "kind",
    [
        f"{OLD}.WeightedLayerPooling",
        f"{NEW}.lstm.LSTM",
        "sentence_transformers.base.modules.router.Router",
        "custom_code.Pooling",
        "Dense",
    ],
)
def test_an_unknown_module_is_named(kind: str, new_model: NewModel) -> None:
    folder = declare(new_model("bert"), POOLING, (kind, {}))
    with pytest.raises(ModelError, match=f"module '{kind}' is not known"):
        read_declaration(folder)


def test_modules_in_another_order(new_model: NewModel) -> None:
    folder = new_model("bert")
    with pytest.raises(ModelError, match="module 1 is Normalize, where Pooling must stand"):
        read_declaration(declare(folder, (f"{OLD}.Normalize", {}), POOLING))
    with pytest.raises(ModelError, match="module 2 is Pooling, where Dense or LayerNorm"):
        read_declaration(declare(folder, POOLING, POOLING))
    with pytest.raises(ModelError, match="declares no Pooling"):
        read_declaration(declare(folder))


@pytest.mark.parametrize("path", ["../elsewhere", "/etc", "a/../../b"])
def test_a_path_that_leads_out(path: str, new_model: NewModel) -> None:
    folder = declare(new_model("bert"), POOLING)
    entries = json.loads((folder / "modules.json").read_text())
    entries[1]["path"] = path
    (folder / "modules.json").write_text(json.dumps(entries))
    with pytest.raises(ModelError, match="leads out of the model folder"):
        read_declaration(folder)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"embedding_dimension": 32, "pooling_mode": "attention"}, "'attention' is not known"),
        ({"embedding_dimension": 32, "pooling_mode": ["cls", "best"]}, "'best' is not known"),
        ({"embedding_dimension": 32, "pooling_mode": []}, "list of poolings is empty"),
        ({"pooling_mode_best_tokens": True}, "pooling pooling_mode_best_tokens is not known"),
        ({"embedding_dimension": 64, "pooling_mode": "cls"}, "64 dimensions, config.json of 32"),
        ({"embedding_dimension": "32"}, "embedding_dimension is '32'"),
    ],
)  # fmt: skip
def test_wrong_poolings(config: dict[str, object], message: str, new_model: NewModel) -> None:
    folder = declare(new_model("bert"), (f"{NEW}.pooling.Pooling", config))
    with pytest.raises(ModelError, match=message):
        read_declaration(folder)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"in_features": 32, "out_features": 8, "activation_function": "os.system"}, "'os.system'"),
        ({"in_features": 32, "out_features": 8, "activation_function": "torch.nn.X"}, "not known"),
        ({"in_features": 32}, "out_features is None, not a size"),
        ({"in_features": 32, "out_features": 8}, "no weights"),
        ({"in_features": 32, "module_input_name": "token_embeddings"}, "'token_embeddings'"),
    ],
)
def test_wrong_dense(config: dict[str, object], message: str, new_model: NewModel) -> None:
    folder = declare(new_model("bert"), POOLING, (f"{OLD}.Dense", config))
    with pytest.raises(ModelError, match=message):
        read_declaration(folder)
    (folder / "2_Dense" / "pytorch_model.bin").write_bytes(b"")
    if message == "no weights":
        with pytest.raises(ModelError, match="as pickle only"):
            read_declaration(folder)


def test_dense_of_another_size(new_model: NewModel) -> None:
    import torch
    from safetensors.torch import save_file

    dense = (f"{OLD}.Dense", {"in_features": 32, "out_features": 8})
    folder = declare(new_model("bert"), POOLING, dense)
    tensors = {"linear.weight": torch.zeros(8, 32), "linear.bias": torch.zeros(8)}
    save_file(tensors, folder / "2_Dense" / "model.safetensors")
    assert read_declaration(folder).dimension == 8
    with pytest.raises(ModelError, match=r"takes vectors of 32 dimensions.*cls\+mean leads to 64"):
        read_declaration(folder, "cls+mean")
    save_file(tensors | {"linear.bias": torch.zeros(9)}, folder / "2_Dense" / "model.safetensors")
    with pytest.raises(ModelError, match=r"linear\.bias has the shape \(9,\)"):
        read_declaration(folder)


@pytest.mark.parametrize(
    "settings",
    [
        {"transformer_task": "text-generation"},
        {"module_output_name": "sentence_embedding"},
        {"modality_config": {"text": {"method": "encode", "method_output_name": "x"}}},
        {"query_expansion": {"strategy": "fixed", "length": 32}},
        {"processor_kwargs": {"padding_side": "left"}},
        {"model_args": {"trust_remote_code": True}},
    ],
)
def test_settings_that_would_change_the_vectors(
    settings: dict[str, object], new_model: NewModel
) -> None:
    folder = declare(new_model("bert"), POOLING)
    (folder / "sentence_bert_config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match=f"{next(iter(settings))} = .* is not known"):
        read_declaration(folder)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model_type": "SparseEncoder"}, "declares itself a SparseEncoder"),
        ({"prompts": ["query"]}, "prompts is no object"),
        ({"prompts": {"a": "b"}, "default_prompt_name": "c"}, r"'c' is none of its prompts \(a\)"),
        ({"truncate_dim": 0}, "truncate_dim is 0"),
    ],
)
def test_wrong_options(options: dict[str, object], message: str, new_model: NewModel) -> None:
    folder = new_model("bert")
    (folder / "config_sentence_transformers.json").write_text(json.dumps(options))
    with pytest.raises(ModelError, match=message):
        read_declaration(folder)


def test_a_default_prompt_beside_a_query_prompt_is_not_for_passages(new_model: NewModel) -> None:
    folder = new_model("bert")
    options = {"prompts": {"query": "ask: "}, "default_prompt_name": "query"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(options))
    declared = read_declaration(folder)
    assert (declared.query_prompt, declared.passage_prompt) == ("ask: ", "")


def test_lengths_never_exceed_the_positions(new_model: NewModel) -> None:
    folder = new_model("xlm-roberta")
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 512}')
    # 40 positions, of which the first real one has number pad_token_id + 1 = 2.
    assert read_declaration(folder).passage_length == 38
    (folder / "sentence_bert_config.json").unlink()
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 1e30}')
    assert read_declaration(folder).passage_length == 38
    assert Encoder.load(str(folder)).encode_queries(["the " * 99]).shape == (1, 32)


def test_what_is_no_model(new_model: NewModel, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is no model: config\.json is missing"):
        Encoder.load(str(tmp_path))
    folder = new_model("bert")
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="is an adapter: merge it"):
        Encoder.load(str(folder))
    (folder / "config.json").write_text("not json")
    with pytest.raises(ModelError, match=r"config\.json cannot be read"):
        Encoder.load(str(folder))
    (folder / "config.json").write_text("[]")
    with pytest.raises(ModelError, match="holds no JSON object"):
        Encoder.load(str(folder))


def test_remote_code_is_never_run(new_model: NewModel) -> None:
    folder = new_model("bert")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoModel": "code.Mine", "AutoConfig": "code.C"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text("open('ran', 'w')\nraise SystemExit('the code was run')\n")
    with pytest.raises(ModelError, match="cannot be loaded by transformers"):
        Encoder.load(str(folder)).encode_queries(["router"])


def test_an_unknown_pooling_is_wrong_use(new_model: NewModel) -> None:
    with pytest.raises(UsageError, match="'avg' is no pooling"):
        Encoder.load(str(new_model("bert")), pooling="avg")
