"""What a model folder declares about itself: modules, pooling, prompts, lengths."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import ModelError
from ..types import Json
from .modules import STEPS, Step
from .pooling import MODES, parse_modes
from .weights import AGAIN

# The flags of old pooling configurations, in the order in which their vectors are concatenated.
_POOLING_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}

_TRANSFORMER_CONFIGS = (
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
)

# Models whose positions are a learned table, so that no text may be longer than it; the RoBERTa
# family counts positions from pad_token_id + 1.
_POSITION_TABLES = {"albert", "bert", "distilbert", "electra", "mobilebert"}
_SHIFTED_POSITION_TABLES = {"camembert", "mpnet", "roberta", "xlm-roberta", "xlm-roberta-xl"}

# For a model that names no limit at all: what BERT has.
_DEFAULT_LENGTH = 512

# transformers writes 1e30 for "no limit".
_NO_LIMIT = 10**9


@dataclass(frozen=True)
class Task:
    """What a Transformer module is there for, in the words of `sentence_bert_config.json`."""

    transformer_task: str
    module_output_name: str
    method_output_name: str


TOKEN_VECTORS = Task("feature-extraction", "token_embeddings", "last_hidden_state")


@dataclass(frozen=True)
class Declaration:
    """A model folder, read. Lengths are tokens, special tokens included."""

    folder: Path
    config: Mapping[str, Json]
    modes: tuple[str, ...]
    include_prompt: bool
    steps: tuple[Step, ...]
    query_prompt: str
    passage_prompt: str
    query_length: int
    passage_length: int
    lowercase: bool
    truncate: int | None
    hidden_size: int
    dimension: int

    def describe(self) -> dict[str, Json]:
        """The declaration as JSON, to be stored with an index."""
        return {
            "architecture": str(self.config.get("model_type")),
            "pooling": list(self.modes),
            "include_prompt": self.include_prompt,
            "modules": [dict(step.description) for step in self.steps],
            "prompts": {"query": self.query_prompt, "document": self.passage_prompt},
            "max_length": self.passage_length,
            "query_length": self.query_length,
            "lowercase": self.lowercase,
            "dimension": self.dimension,
            "normalise": True,
        }


def read_declaration(folder: Path, pooling: str | None = None) -> Declaration:
    """Read all that a model folder declares; `pooling` takes the place of what it says about that.

    A folder without `modules.json` is a plain transformer, whose vector is that of [CLS].
    Raises ModelError where something is missing, contradicts itself or is not known.
    """
    modules = _read_modules(folder)
    transformer = inside(folder, modules[0][1])
    config = read_json(transformer / "config.json", required=True)
    refuse_adapter(transformer)
    settings = read_transformer_settings(transformer, TOKEN_VECTORS)
    options = read_json(folder / "config_sentence_transformers.json")
    _refuse_other_kind(folder, options)

    modes: tuple[str, ...] = ("cls",)
    include_prompt, declared_size = True, None
    if len(modules) > 1:
        pooling_config = read_json(inside(folder, modules[1][1]) / "config.json", required=True)
        modes, include_prompt, declared_size = _read_pooling(folder, pooling_config)
    if pooling is not None:
        modes = parse_modes(pooling)
    steps = []
    for kind, path in modules[2:]:
        module_folder = inside(folder, path)
        steps.append(STEPS[kind](module_folder, read_json(module_folder / "config.json")))

    hidden_size = _hidden_size(transformer, config, declared_size)
    truncate = _positive(folder, options, "truncate_dim")
    query_prompt, passage_prompt = _sides(folder, options)
    length = max_length(transformer, config, settings)
    return Declaration(
        folder=transformer,
        config=config,
        modes=modes,
        include_prompt=include_prompt,
        steps=tuple(steps),
        query_prompt=query_prompt,
        passage_prompt=passage_prompt,
        query_length=min(length, _positive(transformer, settings, "query_length") or length),
        passage_length=min(length, _positive(transformer, settings, "document_length") or length),
        lowercase=bool(settings.get("do_lower_case", False)),
        truncate=truncate,
        hidden_size=hidden_size,
        dimension=_dimension(folder, hidden_size, modes, steps, truncate),
    )


def read_json(path: Path, required: bool = False) -> dict[str, Json]:
    """The object in a JSON file, empty where there is no such file.

    Raises ModelError where it is no JSON object, or is `required` and missing.
    """
    try:
        value = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        if required:
            raise ModelError(
                f"{path.parent} is no model: {path.name} is missing; give another folder or a name"
            ) from None
        return {}
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}): {AGAIN}") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} holds no JSON object: {AGAIN}")
    return value


def declared_modules(folder: Path) -> list[tuple[str, str]]:
    """`modules.json` as (type, path), empty where there is none. ModelError where it is damaged."""
    path = folder / "modules.json"
    if not path.exists():
        return []
    try:
        entries = json.loads(path.read_text("utf-8"))
        return [(str(entry["type"]), str(entry["path"])) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} cannot be read: {error!r}") from error


def _read_modules(folder: Path) -> list[tuple[str, str]]:
    """`modules.json` as (kind, path): a Transformer, a Pooling, and any of STEPS after these."""
    path = folder / "modules.json"
    if not path.exists():
        return [("Transformer", "")]
    modules = []
    for place, (name, module_path) in enumerate(declared_modules(folder)):
        library, _, kind = name.partition(".")[0], "", name.rpartition(".")[2]
        expected = ("Transformer",) if place == 0 else ("Pooling",) if place == 1 else tuple(STEPS)
        if library != "sentence_transformers" or kind not in ("Transformer", "Pooling", *STEPS):
            raise ModelError(
                f"{path}: module {name!r} is not known; known are Transformer, Pooling, "
                f"{', '.join(STEPS)} of sentence_transformers"
            )
        if kind not in expected:
            raise ModelError(
                f"{path}: module {place} is {kind}, where {' or '.join(expected)} must stand"
            )
        modules.append((kind, module_path))
    if len(modules) < 2:
        raise ModelError(f"{path} declares no Pooling: the model gives no vector for a text")
    return modules


def inside(folder: Path, path: str) -> Path:
    """The folder of a module. ModelError where its path leads out of the model's folder."""
    if Path(path).is_absolute() or ".." in Path(path).parts:
        raise ModelError(f"{folder / 'modules.json'}: path {path!r} leads out of the model folder")
    return folder / path


def _read_pooling(
    folder: Path, config: Mapping[str, Json]
) -> tuple[tuple[str, ...], bool, int | None]:
    """Modes, include_prompt and the size of a token's vector, from Pooling's config.json."""
    declared = config.get("pooling_mode")
    if declared is None:
        flagged = tuple(mode for flag, mode in _POOLING_FLAGS.items() if config.get(flag))
        modes = flagged or ("mean",)
        unknown = [
            key for key in config if key.startswith("pooling_mode_") and key not in _POOLING_FLAGS
        ]
        if any(config[key] for key in unknown):
            raise ModelError(f"{folder}: pooling {', '.join(unknown)} is not known")
    elif isinstance(declared, list):
        modes = tuple(str(mode) for mode in declared)
    else:
        modes = (str(declared),)
    for mode in modes:
        if mode not in MODES:
            raise ModelError(
                f"{folder}: pooling {mode!r} is not known; known are {', '.join(MODES)}"
            )
    if not modes:
        raise ModelError(f"{folder}: the list of poolings is empty")
    size = _positive(folder, config, "embedding_dimension")
    return (
        modes,
        bool(config.get("include_prompt", True)),
        size or _positive(folder, config, "word_embedding_dimension"),
    )


def read_transformer_settings(folder: Path, task: Task) -> dict[str, Json]:
    """`sentence_bert_config.json`, or one of its old names. Refuses what clsearch does not do."""
    name, settings = "", dict[str, Json]()
    for name in _TRANSFORMER_CONFIGS:
        settings = read_json(folder / name)
        if settings:
            break
    harmless: dict[str, Json] = {
        "transformer_task": task.transformer_task,
        "module_output_name": task.module_output_name,
    }
    for key, value in settings.items():
        if key in ("max_seq_length", "do_lower_case", "query_length", "document_length"):
            continue
        # Only how fast the model runs, or which of text, image and audio it takes.
        if key in ("unpad_inputs", "model_args", "model_kwargs") and _only_speed(value):
            continue
        if key == "modality_config" and _plain_text(value, task):
            continue
        if key in ("tokenizer_args", "processor_kwargs") and _only_length(value):
            continue
        if value and value != harmless.get(key):
            raise ModelError(f"{folder / name}: {key} = {value!r} is not known")
    return settings


def _only_speed(value: Json) -> bool:
    speed = {"attn_implementation", "dtype", "torch_dtype"}
    return not isinstance(value, dict) or set(value) <= speed


def _plain_text(value: Json, task: Task) -> bool:
    plain = {"method": "forward", "method_output_name": task.method_output_name}
    return isinstance(value, dict) and value.get("text") == plain


def _only_length(value: Json) -> bool:
    return isinstance(value, dict) and set(value) <= {"model_max_length"}


def refuse_adapter(folder: Path) -> None:
    """ModelError where a folder holds only the difference to another model."""
    if (folder / "adapter_config.json").exists():
        raise ModelError(
            f"{folder} is an adapter: merge it into its base model "
            "(peft's merge_and_unload, then save_pretrained) and give that folder"
        )


def _refuse_other_kind(folder: Path, options: Mapping[str, Json]) -> None:
    kind = options.get("model_type", "SentenceTransformer")
    if kind != "SentenceTransformer":
        raise ModelError(f"{folder} declares itself a {kind}: it gives no single vector for a text")


def read_prompts(folder: Path, options: Mapping[str, Json]) -> tuple[dict[str, Json], Json]:
    """The declared prompts by name, and the name of the default one, None where there is none."""
    prompts = options.get("prompts") or {}
    if not isinstance(prompts, dict):
        raise ModelError(f"{folder / 'config_sentence_transformers.json'}: prompts is no object")
    default = options.get("default_prompt_name")
    if default is not None and default not in prompts:
        raise ModelError(
            f"{folder / 'config_sentence_transformers.json'}: default prompt {default!r} is none "
            f"of its prompts ({', '.join(prompts) or 'none'})"
        )
    return prompts, default


def _sides(folder: Path, options: Mapping[str, Json]) -> tuple[str, str]:
    """The prompts of queries and of passages.

    A passage's is called document, passage or corpus. The default prompt is for models that tell
    neither apart: beside a declared query prompt it would go to the other side too.
    """
    prompts, default = read_prompts(folder, options)
    named = [name for name in ("document", "passage", "corpus") if name in prompts]
    if default is not None and not named and "query" not in prompts:
        prompt = str(prompts[str(default)] or "")
        return prompt, prompt
    return str(prompts.get("query") or ""), str(prompts[named[0]] or "") if named else ""


def max_length(folder: Path, config: Mapping[str, Json], settings: Mapping[str, Json]) -> int:
    """The limit of a text in tokens: the declared one, else the tokenizer's, else the model's."""
    positions = _positive(folder, config, "max_position_embeddings")
    kind = config.get("model_type")
    table = positions if kind in _POSITION_TABLES else None
    if positions and kind in _SHIFTED_POSITION_TABLES:
        pad = config.get("pad_token_id", 1)
        table = positions - (pad if isinstance(pad, int) else 1) - 1
    declared = _positive(folder, settings, "max_seq_length")
    for key in ("processor_kwargs", "tokenizer_args"):
        arguments = settings.get(key)
        if declared is None and isinstance(arguments, dict):
            declared = _positive(folder, arguments, "model_max_length")
    if declared is None:
        tokenizer = read_json(folder / "tokenizer_config.json")
        limit = tokenizer.get("model_max_length", tokenizer.get("max_len"))
        limits = [positions, int(limit) if isinstance(limit, (int, float)) else None]
        declared = min(
            (value for value in limits if value and value < _NO_LIMIT), default=_DEFAULT_LENGTH
        )
    return min(declared, table or declared)


def _hidden_size(folder: Path, config: Mapping[str, Json], declared: int | None) -> int:
    """The size of a token's vector."""
    sizes = [config.get(key) for key in ("hidden_size", "dim", "d_model", "n_embd")]
    size = next((size for size in sizes if isinstance(size, int)), declared)
    if size is None or size < 1:
        raise ModelError(
            f"{folder / 'config.json'} does not say how wide the model is, hidden_size: {AGAIN}"
        )
    if declared not in (None, size):
        raise ModelError(
            f"{folder}: Pooling declares vectors of {declared} dimensions, config.json of {size}"
        )
    return size


def _dimension(
    folder: Path, hidden: int, modes: tuple[str, ...], steps: list[Step], truncate: int | None
) -> int:
    size = hidden * len(modes)
    for step in steps:
        if step.takes not in (None, size):
            raise ModelError(
                f"{folder}: {step.description['type']} takes vectors of {step.takes} dimensions, "
                f"but pooling {'+'.join(modes)} leads to {size}: use the declared pooling"
            )
        size = step.gives or size
    return min(size, truncate or size)


def _positive(folder: Path, values: Mapping[str, Json], key: str) -> int | None:
    value = values.get(key)
    if value is None or value == -1:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ModelError(f"{folder}: {key} is {value!r}, not a positive whole number")
    return value
