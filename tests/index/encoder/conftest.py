"""Tiny random models of five architectures, made here: config, weights, tokenizer, no network."""

import json
import string
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from clsearch.index.encoder import choice, encoder
from clsearch.index.encoder.numpy_bert import NumpyBert

ARCHITECTURES = ("bert", "distilbert", "mpnet", "xlm-roberta", "modernbert")
HIDDEN = 32
LIMIT = 24

WORDS = """
    the a of to and in is router reset how do i my network cable light red green document passage
    query search vector index word token model über naïve café straße answer question short long
""".split()

TEXTS = [
    "how do i reset the router",
    "The light is RED, and the cable is green!",
    "",
    "a",
    "passage " * 100,
    "naïve café über straße",
    "the document answers a question in short words; the index is long, the query is not",
    "漢字 and кириллица",
    "line\nbreak\ttab  spaces \x00\x07 control",
    "search the index and reset the network",
    "[SEP] </s> in the text",
]


def _wordpiece(special: dict[str, str], template: str) -> Tokenizer:
    letters = [*string.ascii_lowercase, *string.digits, *string.punctuation]
    pieces = [*letters, *(f"##{letter}" for letter in letters), *WORDS]
    vocabulary: dict[str, int] = {}
    for piece in [*special.values(), *pieces]:
        vocabulary.setdefault(piece, len(vocabulary))
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=special["unk_token"]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return _with_template(tokenizer, special, template)


def _unigram(special: dict[str, str], template: str) -> Tokenizer:
    letters = [*string.ascii_letters, *string.digits, *string.punctuation, "é", "ï", "ü", "ß", "▁"]
    pieces = [(f"▁{word}", -3.0 - place / 50) for place, word in enumerate(WORDS)]
    pieces += [(letter, -8.0 - place / 50) for place, letter in enumerate(letters)]
    vocabulary = [*((token, 0.0) for token in dict.fromkeys(special.values())), *pieces]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=3, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    return _with_template(tokenizer, special, template)


def _bytes(special: dict[str, str], template: str) -> Tokenizer:
    pieces = [*special.values(), *sorted(pre_tokenizers.ByteLevel.alphabet()), "th", "Ġth", "Ġthe"]
    vocabulary = {piece: place for place, piece in enumerate(pieces)}
    merges = [("t", "h"), ("Ġ", "th"), ("Ġth", "e")]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token=None))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return _with_template(tokenizer, special, template)


def _with_template(tokenizer: Tokenizer, special: dict[str, str], template: str) -> Tokenizer:
    tokenizer.add_special_tokens(list(special.values()))
    tokens = [token for token in special.values() if token in template]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=template,
        pair=f"{template} $B:1 {special['sep_token']}:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in tokens],
    )
    return tokenizer


_BERT_TOKENS = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
_ROBERTA_TOKENS = {
    "bos_token": "<s>",
    "pad_token": "<pad>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "mask_token": "<mask>",
    "cls_token": "<s>",
    "sep_token": "</s>",
}
_TOKENIZER_CLASS = {
    "bert": "BertTokenizer",
    "distilbert": "DistilBertTokenizer",
    "mpnet": "MPNetTokenizer",
    "xlm-roberta": "XLMRobertaTokenizer",
    "modernbert": "PreTrainedTokenizerFast",
}


def write_tokenizer(folder: Path, architecture: str) -> int:
    """Write the tokenizer's files; gives the size of the vocabulary."""
    if architecture in ("mpnet", "xlm-roberta"):
        special = dict(_ROBERTA_TOKENS)
        if architecture == "mpnet":
            special["unk_token"] = "[UNK]"
        make = _wordpiece if architecture == "mpnet" else _unigram
        tokenizer = make(special, "<s>:0 $A:0 </s>:0")
    else:
        special = dict(_BERT_TOKENS)
        make = _bytes if architecture == "modernbert" else _wordpiece
        tokenizer = make(special, "[CLS]:0 $A:0 [SEP]:0")
    tokenizer.save(str(folder / "tokenizer.json"))
    options = {
        **special,
        "tokenizer_class": _TOKENIZER_CLASS[architecture],
        "model_max_length": LIMIT,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(options), "utf-8")
    return tokenizer.get_vocab_size()


def write_model(folder: Path, architecture: str, **changes: object) -> Path:
    """A folder as `save_pretrained` leaves it: a transformer with weights, and no declaration."""
    folder.mkdir(parents=True)
    size = write_tokenizer(folder, architecture)
    roberta = architecture in ("mpnet", "xlm-roberta")
    options: dict[str, object] = {
        "vocab_size": size,
        "hidden_size": HIDDEN,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "max_position_embeddings": 40,
        "pad_token_id": 1 if roberta else 0,
    }
    if architecture == "distilbert":
        options |= {"dim": HIDDEN, "n_layers": 2, "n_heads": 4, "hidden_dim": 48}
        for key in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"):
            del options[key]
    if architecture == "xlm-roberta":
        options["type_vocab_size"] = 1
    if architecture == "modernbert":
        options |= {"local_attention": 8, "global_attn_every_n_layers": 2}
        options |= {"bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
    config = transformers.AutoConfig.for_model(architecture, **{**options, **changes})
    torch.manual_seed(7)
    model = transformers.AutoModel.from_config(config, dtype=torch.float32)
    # Far from what training starts from, where all texts have nearly the same vector.
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            centre = 1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0
            parameter.normal_(centre, 0.3)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session", autouse=True)
def one_torch_thread() -> Iterator[None]:
    """Threads that wait for each other over matrices this small take most of the time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def plain_models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Architecture -> a folder with that model and no declaration. Not to be changed."""
    root = tmp_path_factory.mktemp("models")

    def make(architecture: str) -> Path:
        folder = root / architecture
        return folder if folder.is_dir() else write_model(folder, architecture)

    return make


@pytest.fixture
def new_model(tmp_path: Path) -> Callable[..., Path]:
    """(architecture, **changes to its config) -> a folder of this test's own."""

    def make(architecture: str = "bert", **changes: object) -> Path:
        return write_model(tmp_path / "model", architecture, **changes)

    return make


@pytest.fixture(scope="session")
def reference(plain_models: Callable[[str], Path]) -> Callable[[str], SentenceTransformer]:
    """Architecture -> sentence-transformers' Transformer and Pooling over that model, shared."""
    made: dict[str, SentenceTransformer] = {}

    def make(architecture: str) -> SentenceTransformer:
        if architecture not in made:
            modules = [Transformer(str(plain_models(architecture))), Pooling(HIDDEN, "cls")]
            made[architecture] = SentenceTransformer(modules=modules, device="cpu")
        return made[architecture]

    return make


@pytest.fixture
def second_segment() -> Callable[[Path], None]:
    """Changes a model folder: its tokenizer puts the text into the second segment."""

    def change(folder: Path) -> None:
        options = json.loads((folder / "tokenizer_config.json").read_text())
        options["tokenizer_class"] = "PreTrainedTokenizerFast"
        (folder / "tokenizer_config.json").write_text(json.dumps(options))
        tokenizer = json.loads((folder / "tokenizer.json").read_text())
        for piece in tokenizer["post_processor"]["single"][1:]:
            next(iter(piece.values()))["type_id"] = 1
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer))

    return change


@pytest.fixture
def no_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a CPU for which there are none of ours: NumPy for a little, torch for the rest."""
    monkeypatch.setattr(choice, "kernels", lambda: None)


@pytest.fixture
def only_torch(monkeypatch: pytest.MonkeyPatch, no_kernels: None) -> None:
    """Send everything through torch in float32, also what others could do."""
    monkeypatch.setattr(NumpyBert, "most_tokens", -1)
    monkeypatch.setattr(encoder, "choose", lambda *given: None)


@pytest.fixture
def texts() -> list[str]:
    """Short and long, empty, accented, with control characters and names of special tokens."""
    return list(TEXTS)


@pytest.fixture
def assert_same() -> Callable[[np.ndarray, np.ndarray], None]:
    """Unit vectors of the same direction, row by row: cosine >= 0.99999."""

    def check(ours: np.ndarray, theirs: np.ndarray) -> None:
        assert ours.dtype == np.float32
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-5)
        cosine = (ours * theirs).sum(axis=1) / np.linalg.norm(theirs, axis=1)
        assert cosine.min() >= 0.99999, cosine

    return check
