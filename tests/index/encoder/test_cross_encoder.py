"""A cross-encoder against sentence-transformers on the same folder: scores equal to 1e-5."""

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import sentence_transformers
import torch
import transformers
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from clsearch.index.encoder import CrossEncoder
from clsearch.index.errors import ModelError

ARCHITECTURES = ("bert", "distilbert", "mpnet", "xlm-roberta", "modernbert")
# With the tokenizer of the tiny BERT. GPT-2's head reads the last token that is no padding.
OTHERS: dict[str, dict[str, object]] = {
    "electra": {
        "embedding_size": 16,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "max_position_embeddings": 40,
    },
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 40, "pad_token_id": 0},
    "xlnet": {"d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 48, "pad_token_id": 0},
}
QUERY = "How do I reset the router?"
LONG = "search the vector index and reset the long network cable " * 3
IDENTITY = "torch.nn.modules.linear.Identity"
Folders = Callable[[str], Path]
NewFolder = Callable[..., Path]


@pytest.fixture(scope="session")
def classifiers(
    plain_models: Folders, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Architecture -> a folder with one label, as transformers saves it. Not to be changed."""
    root = tmp_path_factory.mktemp("classifiers")

    def make(architecture: str) -> Path:
        folder = root / architecture
        if not folder.is_dir():
            like = "bert" if architecture in OTHERS else architecture
            shutil.copytree(plain_models(like), folder)
            config = transformers.AutoConfig.from_pretrained(folder, num_labels=1)
            if architecture in OTHERS:
                options = {**OTHERS[architecture], "vocab_size": config.vocab_size}
                config = transformers.AutoConfig.for_model(architecture, num_labels=1, **options)
            torch.manual_seed(11)
            model = transformers.AutoModelForSequenceClassification.from_config(config)
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    centre = 1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0
                    parameter.normal_(centre, 0.3)
            model.save_pretrained(folder)
        return folder

    return make


@pytest.fixture
def new_folder(classifiers: Folders, tmp_path: Path) -> NewFolder:
    """(architecture, **arguments of sentence-transformers' class) -> what that saves."""

    def make(architecture: str = "bert", **arguments: object) -> Path:
        model = reference(classifiers(architecture), **arguments)
        model.save_pretrained(str(tmp_path / "saved"), create_model_card=False)
        return tmp_path / "saved"

    return make


@pytest.fixture
def plain_copy(classifiers: Folders, tmp_path: Path) -> Path:
    """A BERT as transformers saves it, of this test's own."""
    return Path(shutil.copytree(classifiers("bert"), tmp_path / "plain"))


def reference(folder: Path, **arguments: object) -> sentence_transformers.CrossEncoder:
    return sentence_transformers.CrossEncoder(str(folder), device="cpu", **arguments)


def expected(
    folder: Path, query: str, texts: list[str], **arguments: object
) -> NDArray[np.float32]:
    scores: NDArray[np.float32] = reference(folder, **arguments).predict(
        [(query, text) for text in texts], batch_size=3
    )
    return scores


def change(path: Path, **values: object) -> None:
    """Set the keys of a JSON file; None takes one away."""
    content = {**(json.loads(path.read_text("utf-8")) if path.exists() else {}), **values}
    kept = {key: value for key, value in content.items() if value is not None}
    path.write_text(json.dumps(kept), "utf-8")


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, "electra", "gpt2"])
def test_as_transformers_saves_it(
    architecture: str, classifiers: Folders, texts: list[str]
) -> None:
    folder = classifiers(architecture)
    model = CrossEncoder.load(str(folder), "cpu")
    theirs = expected(folder, QUERY, texts)
    ours = model.scores(QUERY, texts)
    assert ours.dtype == np.float32
    assert ours.shape == (len(texts),)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    # The comparison has power only where texts have different scores.
    assert np.ptp(theirs) > 0.01
    assert model.bounded


@pytest.mark.parametrize("activation", [None, torch.nn.Sigmoid(), torch.nn.Identity()], ids=str)
@pytest.mark.parametrize("architecture", ["bert", "xlm-roberta", "distilbert"])
def test_as_sentence_transformers_saves_it(
    architecture: str,
    activation: torch.nn.Module | None,
    new_folder: NewFolder,
    texts: list[str],
) -> None:
    folder = new_folder(architecture, activation_fn=activation)
    assert (folder / "modules.json").is_file()
    model = CrossEncoder.load(str(folder), "cpu")
    ours = model.scores(QUERY, texts)
    np.testing.assert_allclose(ours, expected(folder, QUERY, texts), rtol=0, atol=1e-5)
    assert model.bounded == (not isinstance(activation, torch.nn.Identity))


@pytest.mark.parametrize(
    "declared",
    [
        {"sbert_ce_default_activation_function": IDENTITY},
        {"sbert_ce_default_activation_function": "torch.nn.modules.activation.Tanh"},
        {"sentence_transformers": {"activation_fn": IDENTITY, "version": "4.1.0"}},
        {
            "sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Sigmoid"},
            "sbert_ce_default_activation_function": IDENTITY,
        },
        {
            "sentence_transformers": {"activation_fn": None, "version": "4.1.0"},
            "sbert_ce_default_activation_function": IDENTITY,
        },
        {"sentence_transformers": {"version": "4.1.0"}},
    ],
    ids=str,
)
def test_activation_of_older_models(
    declared: dict[str, object], plain_copy: Path, texts: list[str]
) -> None:
    change(plain_copy / "config.json", **declared)
    ours = CrossEncoder.load(str(plain_copy), "cpu").scores(QUERY, texts)
    np.testing.assert_allclose(ours, expected(plain_copy, QUERY, texts), rtol=0, atol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_longer_part_of_a_pair_is_cut_first(architecture: str, classifiers: Folders) -> None:
    folder = classifiers(architecture)
    ours, theirs = CrossEncoder.load(str(folder), "cpu"), reference(folder)
    texts = [LONG, "red light " * 200, "how do i reset the network of light", "", "a red " * 9]
    for query in ("a", QUERY, LONG):
        expected = theirs.predict([(query, text) for text in texts])
        np.testing.assert_allclose(ours.scores(query, texts), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [{"max_seq_length": 11}, {"processor_kwargs": {"model_max_length": 10}}, {}],
    ids=str,
)
def test_declared_limit(settings: dict[str, object], new_folder: NewFolder) -> None:
    folder = new_folder("bert", max_length=16)
    change(folder / "sentence_bert_config.json", **settings)
    texts = [LONG, "the red light " * 4, "a"]
    ours = CrossEncoder.load(str(folder), "cpu").scores(QUERY, texts)
    np.testing.assert_allclose(ours, expected(folder, QUERY, texts), rtol=0, atol=1e-5)
    assert not np.allclose(ours, expected(folder, QUERY, texts, max_length=20), atol=1e-3)


def test_no_longer_than_the_table_of_positions(classifiers: Folders, tmp_path: Path) -> None:
    """RoBERTa's 40 positions hold 38 tokens, where sentence-transformers would fail."""
    folder = Path(shutil.copytree(classifiers("xlm-roberta"), tmp_path / "model"))
    change(folder / "tokenizer_config.json", model_max_length=None)
    ours = CrossEncoder.load(str(folder), "cpu").scores(QUERY, [LONG * 3])
    theirs = expected(folder, QUERY, [LONG * 3], max_length=38)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


def test_a_score_does_not_depend_on_its_neighbours(classifiers: Folders, texts: list[str]) -> None:
    model = CrossEncoder.load(str(classifiers("bert")), "cpu")
    many = texts * 40  # more than one batch
    together = model.scores(QUERY, many)
    backwards = model.scores(QUERY, many[::-1])[::-1]
    alone = np.concatenate([model.scores(QUERY, [text]) for text in texts] * 40)
    np.testing.assert_allclose(together, backwards, rtol=0, atol=1e-6)
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-6)


def test_threads_may_share_it(classifiers: Folders, texts: list[str]) -> None:
    model = CrossEncoder.load(str(classifiers("bert")), "cpu")
    one = model.scores(QUERY, texts)
    with ThreadPoolExecutor(4) as pool:
        for scores in pool.map(lambda _: model.scores(QUERY, texts), range(12)):
            np.testing.assert_array_equal(scores, one)


def test_a_default_prompt_goes_before_the_query(new_folder: NewFolder, texts: list[str]) -> None:
    folder = new_folder("bert")
    without = CrossEncoder.load(str(folder), "cpu").scores(QUERY, texts)
    options = folder / "config_sentence_transformers.json"
    change(options, prompts={"ask": "search query: ", "query": "a red light: "})
    named = CrossEncoder.load(str(folder), "cpu").scores(QUERY, texts)
    np.testing.assert_array_equal(named, without)
    change(options, default_prompt_name="ask")
    ours = CrossEncoder.load(str(folder), "cpu").scores(QUERY, texts)
    np.testing.assert_allclose(ours, expected(folder, QUERY, texts), rtol=0, atol=1e-5)
    assert not np.allclose(ours, without, atol=1e-3)


def test_lower_case(new_folder: NewFolder) -> None:
    folder = new_folder("modernbert")
    texts = ["The RED light", "THE", "the"]
    cased = CrossEncoder.load(str(folder), "cpu").scores(QUERY, texts)
    change(folder / "sentence_bert_config.json", do_lower_case=True)
    ours = CrossEncoder.load(str(folder), "cpu").scores(QUERY, texts)
    np.testing.assert_allclose(ours, expected(folder, QUERY, texts), rtol=0, atol=1e-5)
    assert not np.allclose(ours, cased, atol=1e-3)
    assert ours[1] == pytest.approx(ours[2], abs=1e-6)


def test_a_model_of_half_precision_runs_in_float32(plain_copy: Path, texts: list[str]) -> None:
    weights = load_file(plain_copy / "model.safetensors")
    halves = {name: value.to(torch.bfloat16) for name, value in weights.items()}
    save_file(halves, plain_copy / "model.safetensors", {"format": "pt"})
    change(plain_copy / "config.json", dtype="bfloat16")
    ours = CrossEncoder.load(str(plain_copy), "cpu").scores(QUERY, texts)
    theirs = expected(plain_copy, QUERY, texts, model_kwargs={"dtype": torch.float32})
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


def test_padding_at_the_left(classifiers: Folders, texts: list[str], tmp_path: Path) -> None:
    """XLNet's head reads the last token, whatever it is."""
    folder = Path(shutil.copytree(classifiers("xlnet"), tmp_path / "model"))
    change(folder / "tokenizer_config.json", padding_side="left")
    ours = CrossEncoder.load(str(folder), "cpu").scores(QUERY, texts)
    np.testing.assert_allclose(ours, expected(folder, QUERY, texts), rtol=0, atol=1e-5)


def test_a_model_that_names_no_padding(
    classifiers: Folders, texts: list[str], tmp_path: Path
) -> None:
    """transformers takes its pairs one by one only."""
    folder = Path(shutil.copytree(classifiers("gpt2"), tmp_path / "model"))
    change(folder / "config.json", pad_token_id=None)
    ours = CrossEncoder.load(str(folder), "cpu").scores(QUERY, texts)
    theirs = reference(folder).predict([(QUERY, text) for text in texts], batch_size=1)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


def test_any_string_has_a_score(classifiers: Folders) -> None:
    model = CrossEncoder.load(str(classifiers("bert")), "cpu")
    hard = [
        "",
        " \t\u3000",
        "\x00\x1b",
        "reset \ud800 router",
        "a" + "\u0301" * 5000,
        "x" * 100_000,
    ]
    for query in hard:
        scores = model.scores(query, hard)
        assert np.isfinite(scores).all()
        assert ((scores >= 0) & (scores <= 1)).all()
    np.testing.assert_array_equal(
        model.scores("a \udfff b", ["reset \ud800 router"]),
        model.scores("a \ufffd b", ["reset \ufffd router"]),
    )
    none = model.scores(QUERY, [])
    assert none.shape == (0,)
    assert none.dtype == np.float32


def test_numbers_that_are_none(plain_copy: Path) -> None:
    weights = load_file(plain_copy / "model.safetensors")
    weights["classifier.bias"].fill_(float("nan"))
    save_file(weights, plain_copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"no number for the text 'red light'"):
        CrossEncoder.load(str(plain_copy), "cpu").scores(QUERY, ["red light"])


def refused(folder: Path, *parts: str) -> None:
    with pytest.raises(ModelError) as caught:
        CrossEncoder.load(str(folder), "cpu")
    for part in (folder.name, *parts):
        assert part in str(caught.value)


def test_pickles_are_not_read(plain_copy: Path) -> None:
    weights = load_file(plain_copy / "model.safetensors")
    (plain_copy / "model.safetensors").unlink()
    torch.save(weights, plain_copy / "pytorch_model.bin")
    # What it says to do must keep the head.
    refused(plain_copy, "pickle", "AutoModelForSequenceClassification.from_pretrained")


def test_a_model_without_a_tokenizer(plain_copy: Path) -> None:
    """transformers would make one to which every word is unknown."""
    for name in ("tokenizer.json", "vocab.txt"):
        (plain_copy / name).unlink(missing_ok=True)
    refused(plain_copy, "has no tokenizer: tokenizer.json is missing")


def test_a_model_without_a_head(
    plain_models: Folders, plain_copy: Path, new_model: Folders
) -> None:
    for architecture in ("bert", "distilbert"):
        refused(plain_models(architecture), "has no classification head", "classifier.weight")
    # The same where config.json promises one.
    weights = load_file(plain_copy / "model.safetensors")
    body = {name: value for name, value in weights.items() if "classifier" not in name}
    save_file(body, plain_copy / "model.safetensors", {"format": "pt"})
    refused(plain_copy, "has no classification head", "classifier.weight")
    encoder = new_model("bert")
    change(encoder / "config_sentence_transformers.json", model_type="SentenceTransformer")
    kind = "sentence_transformers.models.Transformer"
    (encoder / "modules.json").write_text(json.dumps([{"type": kind, "path": ""}]))
    refused(encoder, "declares itself a SentenceTransformer", "has no classification head")


def test_weights_that_do_not_fit(plain_copy: Path) -> None:
    weights = load_file(plain_copy / "model.safetensors")
    missing = "bert.encoder.layer.1.output.dense.weight"
    rest = {name: value for name, value in weights.items() if name != missing}
    save_file(rest, plain_copy / "model.safetensors", {"format": "pt"})
    refused(plain_copy, missing)
    weights["classifier.weight"] = torch.zeros(2, 32)
    save_file(weights, plain_copy / "model.safetensors", {"format": "pt"})
    refused(plain_copy, "classifier.weight")


@pytest.mark.parametrize(
    ("file", "values", "parts"),
    [
        ("config.json", {"id2label": {"0": "A", "1": "B", "2": "C"}}, ["3 scores for a pair"]),
        # transformers leaves two labels out, as its default.
        ("config.json", {"id2label": None}, ["2 scores for a pair"]),
        ("config.json", {"architectures": ["Qwen3ForCausalLM"]}, ["Qwen3ForCausalLM", "generates"]),
        (
            "config.json",
            {"sbert_ce_default_activation_function": "torch.nn.modules.activation.Softmax"},
            ["Softmax", "not known", "Sigmoid"],
        ),
        (
            "config.json",
            {"sentence_transformers": {"activation_fn": "os.Sigmoid"}},
            ["'os.Sigmoid'", "not known"],
        ),
        ("config.json", {"sentence_transformers": {"activation_fn": 3}}, ["activation_fn", "3"]),
        ("config.json", {"model_type": "no-such-model"}, ["transformers", "no-such-model"]),
        ("adapter_config.json", {"r": 8}, ["adapter"]),
        ("tokenizer_config.json", {"chat_template": "{{ messages }}"}, ["chat template"]),
        ("tokenizer_config.json", {"model_max_length": 3}, ["3 tokens leaves no room"]),
    ],
    ids=str,
)
def test_what_is_refused(
    file: str, values: dict[str, object], parts: list[str], plain_copy: Path
) -> None:
    change(plain_copy / file, **values)
    refused(plain_copy, *parts)


@pytest.mark.parametrize(
    ("file", "values", "parts"),
    [
        ("config_sentence_transformers.json", {"model_type": "SparseEncoder"}, ["SparseEncoder"]),
        (
            "config_sentence_transformers.json",
            {"activation_fn": "builtins.list"},
            ["builtins.list"],
        ),
        ("config_sentence_transformers.json", {"default_prompt_name": "x"}, ["'x'"]),
        ("sentence_bert_config.json", {"transformer_task": None}, ["feature-extraction"]),
        ("sentence_bert_config.json", {"transformer_task": "fill-mask"}, ["fill-mask"]),
        ("sentence_bert_config.json", {"module_output_name": "logits"}, ["module_output_name"]),
        (
            "sentence_bert_config.json",
            {"modality_config": {"text": {"method": "forward", "method_output_name": "x"}}},
            ["modality_config"],
        ),
        (
            "sentence_bert_config.json",
            {
                "modality_config": {
                    "text": {"method": "forward", "method_output_name": "logits"},
                    "message": {"method": "forward", "method_output_name": "logits"},
                }
            },
            ["messages of a chat"],
        ),
    ],
    ids=str,
)
def test_what_is_refused_of_sentence_transformers(
    file: str, values: dict[str, object], parts: list[str], new_folder: NewFolder
) -> None:
    folder = new_folder("bert")
    change(folder / file, **values)
    refused(folder, *parts)


def test_a_module_that_is_not_known(new_folder: NewFolder) -> None:
    folder = new_folder("bert")
    modules = json.loads((folder / "modules.json").read_text())
    score = "sentence_transformers.cross_encoder.modules.logit_score.LogitScore"
    more = [*modules, {"idx": 1, "name": "1", "path": "1_LogitScore", "type": score}]
    (folder / "modules.json").write_text(json.dumps(more))
    refused(folder, "LogitScore", "not known")
    modules[0]["path"] = "../elsewhere"
    (folder / "modules.json").write_text(json.dumps(modules))
    refused(folder, "leads out of the model folder")


def test_a_name_that_is_none() -> None:
    with pytest.raises(ModelError, match="not a folder"):
        CrossEncoder.load("/nowhere/at all")
    with pytest.raises(ModelError, match="has no classification head"):
        CrossEncoder.load("embedded")
