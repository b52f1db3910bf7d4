"""What the folder of a cross-encoder declares: head, activation, prompt, length."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import ModelError
from ..types import Json
from .activations import Activation, declared_activation
from .declaration import (
    Task,
    declared_modules,
    inside,
    max_length,
    read_json,
    read_prompts,
    read_transformer_settings,
    refuse_adapter,
)

SCORES = Task("sequence-classification", "scores", "logits")

# What transformers takes where config.json names neither id2label nor num_labels.
_DEFAULT_LABELS = 2


@dataclass(frozen=True)
class CrossDeclaration:
    """The folder of a cross-encoder, read. `length` is in tokens of a pair, special ones included.

    `activation` is the name of a class in torch.nn, `activate` what it does to the logits.
    """

    folder: Path
    activation: str
    activate: Activation
    prompt: str
    length: int
    lowercase: bool


def read_cross_declaration(folder: Path) -> CrossDeclaration:
    """Read what a folder declares, as sentence-transformers writes it or as transformers does.

    sentence-transformers of today writes `modules.json` and its own two files; before version 5 it
    wrote nothing but a line in config.json, and where there is no `modules.json` that is all that
    counts. Raises ModelError where something is missing or not known, and where the model does not
    give one score for a pair.
    """
    declared = declared_modules(folder)
    options = dict[str, Json]()
    transformer, settings = folder, dict[str, Json]()
    if declared:
        options = read_json(folder / "config_sentence_transformers.json")
        transformer = inside(folder, _only_transformer(folder, options, declared))
        settings = read_transformer_settings(transformer, SCORES)
        _refuse_other_task(transformer, settings)
    config = read_json(transformer / "config.json", required=True)
    refuse_adapter(transformer)
    _refuse_other_head(transformer, config)
    if not declared:
        _refuse_chat(transformer)
    name = _activation(folder, options, config)
    short, activate = declared_activation(name, folder)
    prompts, default = read_prompts(folder, options)
    return CrossDeclaration(
        folder=transformer,
        activation=short,
        activate=activate,
        prompt=str(prompts[str(default)] or "") if default is not None else "",
        length=max_length(transformer, config, settings),
        lowercase=bool(settings.get("do_lower_case", False)),
    )


def _only_transformer(
    folder: Path, options: Mapping[str, Json], declared: list[tuple[str, str]]
) -> str:
    """The path of the one module that a cross-encoder may have here."""
    kind = options.get("model_type", "SentenceTransformer")
    if kind != "CrossEncoder":
        raise ModelError(
            f"{folder} declares itself a {kind}: it has no classification head, so it gives no "
            "score for a pair; rerank with a cross-encoder"
        )
    for place, (name, _) in enumerate(declared):
        library, short = name.partition(".")[0], name.rpartition(".")[2]
        if place or library != "sentence_transformers" or short != "Transformer":
            raise ModelError(
                f"{folder / 'modules.json'}: module {name!r} is not known in a cross-encoder, "
                "which has one Transformer of sentence_transformers; rerank with another model"
            )
    return declared[0][1]


def _refuse_other_task(folder: Path, settings: Mapping[str, Json]) -> None:
    # Without a task it is a transformer for token vectors.
    task = settings.get("transformer_task", "feature-extraction")
    if task != SCORES.transformer_task:
        raise ModelError(
            f"{folder}: transformer_task is {task!r}, but a cross-encoder's is "
            f"{SCORES.transformer_task!r}: it has no classification head; rerank with another model"
        )
    modalities = settings.get("modality_config")
    if isinstance(modalities, dict) and "message" in modalities:
        raise ModelError(
            f"{folder}: the model takes pairs as messages of a chat, which is not supported; "
            "rerank with another model"
        )


def _refuse_other_head(folder: Path, config: Mapping[str, Json]) -> None:
    """ModelError where the model generates text, or has more labels than one."""
    architectures = config.get("architectures")
    names = [str(name) for name in architectures] if isinstance(architectures, list) else []
    if names and names[0].endswith("ForCausalLM"):
        raise ModelError(
            f"{folder} is a {names[0]}: it has no classification head but generates text, which is "
            "not supported; rerank with a model for sequence classification"
        )
    if not any(name.endswith("ForSequenceClassification") for name in names):
        # With one label, as sentence-transformers loads it: the weights tell whether there is one.
        return
    labels = config.get("id2label")
    count = len(labels) if isinstance(labels, dict) else config.get("num_labels", _DEFAULT_LABELS)
    if count != 1:
        raise ModelError(
            f"{folder} gives {count} scores for a pair, one for each of its labels, and none of "
            "them says how well a passage answers; rerank with a model of one label"
        )


def _refuse_chat(folder: Path) -> None:
    """A tokenizer's chat template is how sentence-transformers would then write the pair."""
    options = read_json(folder / "tokenizer_config.json")
    files = ("chat_template.jinja", "chat_template.json")
    if options.get("chat_template") or any((folder / name).exists() for name in files):
        raise ModelError(
            f"{folder} declares a chat template: the model takes pairs as messages of a chat, "
            "which is not supported; rerank with another model"
        )


def _activation(folder: Path, options: Mapping[str, Json], config: Mapping[str, Json]) -> str:
    """The declared class name: the newest place first, a sigmoid where none says anything."""
    older = config.get("sentence_transformers")
    name = options.get("activation_fn")
    if name is None and isinstance(older, dict) and "activation_fn" in older:
        name = older["activation_fn"]
    elif name is None:
        name = config.get("sbert_ce_default_activation_function")
    if name is None:
        return "torch.nn.Sigmoid"
    if not isinstance(name, str):
        raise ModelError(f"{folder}: activation_fn is {name!r}, not the name of a class")
    return name
