"""What a model declares, against sentence-transformers on the same folder: cosine >= 0.99999."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import LayerNorm, Pooling

from clsearch.index.encoder import Encoder

ARCHITECTURES = ("bert", "distilbert", "mpnet", "xlm-roberta", "modernbert")
POOLINGS = (
    "cls",
    "max",
    "mean",
    "mean_sqrt_len_tokens",
    "weightedmean",
    "lasttoken",
    ("mean", "cls"),
    ("lasttoken", "max", "weightedmean"),
)
Reference = Callable[[str], SentenceTransformer]
Same = Callable[[np.ndarray, np.ndarray], None]


def save(model: SentenceTransformer, folder: Path) -> Path:
    model.save(str(folder), create_model_card=False)
    return folder


def with_modules(reference: SentenceTransformer, *modules: torch.nn.Module) -> SentenceTransformer:
    return SentenceTransformer(modules=[reference[0], *modules], device="cpu")


def randomised(module: torch.nn.Module) -> torch.nn.Module:
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 0.5)
    return module


@pytest.mark.parametrize("pooling", POOLINGS, ids=str)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.usefixtures("only_torch")
def test_every_pooling_of_every_architecture(
    architecture: str,
    pooling: str | tuple[str, ...],
    reference: Reference,
    texts: list[str],
    assert_same: Same,
    tmp_path: Path,
) -> None:
    model = with_modules(reference(architecture), Pooling(32, pooling), Normalize())
    encoder = Encoder.load(str(save(model, tmp_path / "model")))
    expected = model.encode(texts)
    assert_same(encoder.encode_passages(texts), expected)
    assert_same(encoder.encode_queries(texts), expected)
    modes = [pooling] if isinstance(pooling, str) else list(pooling)
    assert encoder.declaration["pooling"] == modes
    assert encoder.dimension == 32 * len(modes) == expected.shape[1]


@pytest.mark.parametrize("pooling", POOLINGS, ids=str)
def test_every_pooling_in_numpy(
    pooling: str | tuple[str, ...],
    reference: Reference,
    texts: list[str],
    assert_same: Same,
    tmp_path: Path,
) -> None:
    model = with_modules(reference("bert"), Pooling(32, pooling))
    encoder = Encoder.load(str(save(model, tmp_path / "model")))
    assert_same(encoder.encode_queries(texts), model.encode(texts))


def test_the_texts_tell_models_apart(reference: Reference, texts: list[str]) -> None:
    """The comparisons above have power only where different texts have different vectors."""
    for architecture in ARCHITECTURES:
        vectors = reference(architecture).encode(texts, normalize_embeddings=True)
        cosines = vectors @ vectors.T - 2 * np.eye(len(texts))
        assert cosines.max() < 0.999, architecture
        assert np.median(cosines) < 0.95, architecture


@pytest.mark.parametrize(
    "modules",
    [
        [Dense(32, 20)],
        [Dense(32, 48, bias=False, activation_function=torch.nn.GELU()), Normalize()],
        [Normalize(), Dense(32, 16, activation_function=torch.nn.Identity())],
        [Dense(32, 32, activation_function=torch.nn.ReLU(), use_residual=True)],
        [Dense(32, 24, activation_function=torch.nn.Sigmoid(), use_residual=True)],
        [Dense(32, 24, activation_function=torch.nn.SiLU()), LayerNorm(24), Dense(24, 12)],
    ],
    ids=lambda modules: "+".join(type(module).__name__ for module in modules),
)
@pytest.mark.parametrize("architecture", ["bert", "xlm-roberta"])
def test_modules_after_pooling(
    architecture: str,
    modules: list[torch.nn.Module],
    reference: Reference,
    texts: list[str],
    assert_same: Same,
    tmp_path: Path,
) -> None:
    chain = [randomised(module) for module in modules]
    model = with_modules(reference(architecture), Pooling(32, "mean"), *chain)
    encoder = Encoder.load(str(save(model, tmp_path / "model")))
    expected = model.encode(texts)
    assert_same(encoder.encode_passages(texts), expected)
    assert encoder.dimension == expected.shape[1]


@pytest.mark.parametrize("include_prompt", [True, False])
@pytest.mark.parametrize("pooling", [*POOLINGS[:6], ("max", "mean")], ids=str)
@pytest.mark.parametrize("architecture", ["bert", "mpnet", "modernbert"])
def test_prompts(
    architecture: str,
    pooling: str | tuple[str, ...],
    include_prompt: bool,
    reference: Reference,
    texts: list[str],
    assert_same: Same,
    tmp_path: Path,
) -> None:
    pool = Pooling(32, pooling, include_prompt=include_prompt)
    model = with_modules(reference(architecture), pool)
    model.prompts = {"query": "search query: ", "document": "the passage: "}
    encoder = Encoder.load(str(save(model, tmp_path / "model")))
    assert_same(encoder.encode_queries(texts), model.encode_query(texts))
    assert_same(encoder.encode_passages(texts), model.encode_document(texts))
    plain = model.encode(texts, normalize_embeddings=True)
    assert not np.allclose(encoder.encode_queries(texts), plain, atol=1e-3)
    assert encoder.declaration["prompts"] == model.prompts


def test_prompt_names_of_older_models(
    reference: Reference, texts: list[str], assert_same: Same, tmp_path: Path
) -> None:
    model = reference("bert")
    folder = save(model, tmp_path / "model")
    options = folder / "config_sentence_transformers.json"

    options.write_text(json.dumps({"prompts": {"query": "query: ", "passage": "passage: "}}))
    encoder = Encoder.load(str(folder))
    assert_same(encoder.encode_queries(texts), model.encode(texts, prompt="query: "))
    assert_same(encoder.encode_passages(texts), model.encode(texts, prompt="passage: "))

    options.write_text(json.dumps({"prompts": {"s2s": "word: "}, "default_prompt_name": "s2s"}))
    loaded, encoder = SentenceTransformer(str(folder), device="cpu"), Encoder.load(str(folder))
    assert_same(encoder.encode_queries(texts), loaded.encode(texts))
    assert_same(encoder.encode_passages(texts), loaded.encode(texts))


def test_truncated_dimensions(
    reference: Reference, texts: list[str], assert_same: Same, tmp_path: Path
) -> None:
    folder = save(reference("bert"), tmp_path / "model")
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"truncate_dim": 8}))
    encoder = Encoder.load(str(folder))
    assert encoder.dimension == 8
    expected = SentenceTransformer(str(folder), device="cpu").encode(texts)
    assert_same(encoder.encode_passages(texts), expected)


@pytest.mark.parametrize("settings", [
    {"max_seq_length": 9, "do_lower_case": False},
    {"max_seq_length": 24, "do_lower_case": True},
    {"query_length": 7, "document_length": 12},
    {"tokenizer_args": {"model_max_length": 10}},
])  # fmt: skip
def test_lengths_and_case(
    settings: dict[str, object],
    plain_models: Callable[[str], Path],
    texts: list[str],
    assert_same: Same,
    tmp_path: Path,
) -> None:
    """Old and new keys of sentence_bert_config.json; XLM-RoBERTa's tokenizer keeps upper case."""
    modules = [Transformer(str(plain_models("xlm-roberta"))), Pooling(32, "mean")]
    folder = save(SentenceTransformer(modules=modules, device="cpu"), tmp_path / "model")
    (folder / "sentence_bert_config.json").write_text(json.dumps(settings))
    model, encoder = SentenceTransformer(str(folder), device="cpu"), Encoder.load(str(folder))
    assert_same(encoder.encode_queries(texts), model.encode_query(texts))
    assert_same(encoder.encode_passages(texts), model.encode_document(texts))
    arguments = settings.get("tokenizer_args")
    limits = {**settings, **(arguments if isinstance(arguments, dict) else {})}
    declared = ("max_seq_length", "document_length", "model_max_length")
    assert encoder.max_length == next(limits[key] for key in declared if key in limits)


def test_the_old_layout(
    plain_models: Callable[[str], Path], texts: list[str], assert_same: Same, tmp_path: Path
) -> None:
    """As sentence-transformers 2 wrote it: a folder for each module, flags for pooling."""
    import shutil

    folder = tmp_path / "model"
    shutil.copytree(plain_models("bert"), folder / "0_Transformer")
    library = "sentence_transformers.models"
    entries = [
        {"idx": place, "name": str(place), "path": f"{place}_{kind}", "type": f"{library}.{kind}"}
        for place, kind in enumerate(("Transformer", "Pooling", "Normalize"))
    ]
    (folder / "modules.json").write_text(json.dumps(entries))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps(
            {
                "word_embedding_dimension": 32,
                "pooling_mode_mean_tokens": True,
                "pooling_mode_max_tokens": True,
                "pooling_mode_cls_token": False,
                "pooling_mode_mean_sqrt_len_tokens": False,
            }
        )
    )
    encoder = Encoder.load(str(folder))
    assert encoder.declaration["pooling"] == ["max", "mean"]
    expected = SentenceTransformer(str(folder), device="cpu").encode(texts)
    assert_same(encoder.encode_passages(texts), expected)


def test_pooling_that_is_asked_for_replaces_the_declared_one(
    reference: Reference, texts: list[str], assert_same: Same, tmp_path: Path
) -> None:
    folder = save(with_modules(reference("bert"), Pooling(32, "mean")), tmp_path / "model")
    model = with_modules(reference("bert"), Pooling(32, ("cls", "mean")))
    encoder = Encoder.load(str(folder), pooling="cls+mean")
    assert_same(encoder.encode_passages(texts), model.encode(texts))
    assert encoder.declaration["pooling"] == ["cls", "mean"]
    assert encoder.fingerprint != Encoder.load(str(folder)).fingerprint
