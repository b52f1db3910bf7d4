"""Gather English prose from Debian packages, as the text that `distill.py` trains on.

    python collect.py texts.jsonl [--cache DIR]

Manuals, handbooks, dictionaries, glosses and package descriptions: each line of the output is
one `{"text": …, "queries": […]}`: a passage of 4 to about 260 words in the shape that an index
holds (running text, some of it below its heading) or that a query has (a title, a gloss, a first
sentence), and with a longer one a sentence of it and a question made of its phrases. Needs
`apt-get` and `dpkg`, and the package selectolax. No text of a retrieval or similarity test
collection is among it.
"""

import argparse
import gzip
import hashlib
import json
import random
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from selectolax.lexbor import LexborHTMLParser

PACKAGES = (
    "dict-gcide dict-foldoc dict-jargon dict-wn dict-devil debian-handbook debian-reference-en "
    "anarchism gnome-user-docs fortunes manpages manpages-dev perl-doc git-doc "
    "apache2-doc postgresql-doc-15 python3.11-doc emacs-common octave-doc python-biopython-doc "
    "python-statsmodels-doc libreoffice-help-en-us r-doc-html gnu-standards bash-doc snakemake-doc "
    "weka-doc rdkit-doc maxima-doc debian-edu-doc-en sqlite3-doc png-definitive-guide "
    "developers-reference debian-faq python-sklearn-doc wireshark-doc bacula-doc "
    "shorewall-doc python-django-doc python-pandas-doc imagemagick-6-doc gap-doc "
    "openafs-doc bind9-doc gimp-help-en python-scipy-doc python-skimage-doc"
).split()
BLOCKS = "h1,h2,h3,h4,h5,p,li,dd"
PER_PACKAGE = 12_000  # passages kept of one package, so that no single manual sets the tone
STOPWORDS = frozenset(
    "the of and a to in is that it for on with as be are this by or an not".split()
)
FUNCTION_WORDS = STOPWORDS | frozenset(
    "at from but if into you your can will may which these those such than when then there their "
    "has have had was were been also only one its they we he she his her do does so no all any "
    "each other more most some use used using should must would could how what where who".split()
)
QUESTIONS = (
    "what is {p}?",
    "what are {p}",
    "What is the {p} of {q}?",
    "how do I {p}",
    "how to {p} with {q}",
    "How many {p} are there in {q}?",
    "How does {p} affect {q}?",
    "how much did {p} cost in {year}",
    "who is {p}?",
    "Who won the {p} in {year}?",
    "who invented the {p}",
    "When was {p} released?",
    "when did {p} and {q} begin",
    "Where is the {p}?",
    "Which {p} has the most {q}?",
    "which {p} was named {q} in {year}?",
    "Why does {p} need {q}?",
    "is {p} better than {q}?",
    "can I use {p} without {q}?",
    "What happened to {p} in {year}?",
    "{p} {q}",
    "{p}",
)

Block = tuple[bool, str]  # (is it a heading?, its text on one line)


def is_prose(text: str) -> bool:
    """Is it mostly letters and, where long enough to tell, English?"""
    if sum(c.isascii() and (c.isalpha() or c == " ") for c in text) < 0.8 * len(text):
        return False
    words = text.lower().split()
    return len(words) < 12 or sum(w in STOPWORDS for w in words) >= 0.12 * len(words)


def flat(text: str) -> str:
    return " ".join(text.split())


def html_blocks(data: bytes) -> Iterator[Block]:
    tree = LexborHTMLParser(data)
    for node in tree.css("script,style,nav,pre,table,head"):
        node.decompose()
    for node in tree.css(BLOCKS):
        if node.tag != "li" or not node.css_matches("p"):
            yield node.tag.startswith("h"), flat(node.text())


def plain_blocks(text: str) -> Iterator[Block]:
    for paragraph in re.split(r"\n\s*\n", text):
        lines = paragraph.splitlines()
        short = len(lines) == 1 and len(paragraph.split()) <= 9 and not paragraph.endswith(".")
        yield short, flat(paragraph)


def roff_blocks(text: str) -> Iterator[Block]:
    text = re.sub(r"\\f[BIRP]|\\&|\\c", "", text).replace("\\-", "-").replace("\\(aq", "'")
    paragraph: list[str] = []
    for line in text.splitlines():
        macro = re.match(r"[.'](\S*)\s*(.*)", line)
        if not macro:
            paragraph.append(line)
        elif macro[1] in ("B", "I", "BR", "IR", "RI", "RB", "BI", "IB"):
            paragraph.append(macro[2].replace('"', ""))
        elif macro[1] in ("PP", "P", "LP", "SH", "SS", "TP", "IP", "Pp", "Sh"):
            yield False, flat(" ".join(paragraph))
            paragraph = []
            if macro[1] in ("SH", "SS", "Sh"):
                yield True, flat(macro[2].strip('"')).capitalize()
    yield False, flat(" ".join(paragraph))


def file_blocks(path: Path) -> Iterator[Block]:
    """The blocks of one file by the kind that its name tells; none of a file of another kind."""
    name = path.name.removesuffix(".gz")
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if name.endswith((".html", ".htm", ".page", ".xhtml", ".docbook")):
        yield from html_blocks(data)
    elif "/man/" in str(path):
        yield from roff_blocks(data.decode(errors="replace"))
    elif name.endswith((".txt", ".rst", ".info", ".pod")) or re.search(r"\.info-\d+$", name):
        yield from plain_blocks(data.decode(errors="replace"))
    elif "/fortunes/" in str(path) and "." not in name:
        yield from plain_blocks(data.decode(errors="replace").replace("\n%\n", "\n\n"))


def passages(blocks: Iterable[Block], rng: random.Random) -> Iterator[str]:
    """Join blocks to passages of a drawn length; at times a heading or first sentence alone."""
    heading, parts, words, goal = "", [], 0, rng.choice((24, 60, 120, 180, 220))
    for is_heading, text in blocks:
        if not text or not is_prose(text):
            continue
        if is_heading or words + len(text.split()) > goal:
            if words >= 4:
                yield " ".join(parts)[:2000]
            parts, words, goal = [], 0, rng.choice((24, 60, 120, 180, 220))
        if is_heading:
            heading = text
            if rng.random() < 0.5 and 3 <= len(text.split()) <= 20:
                yield text
            continue
        if not parts and heading and rng.random() < 0.5:
            parts, heading = [f"{heading}. "], ""
        if rng.random() < 0.1 and 4 <= len(text.split(". ")[0].split()) <= 30:
            yield text.split(". ")[0]
        parts.append(text)
        words += len(text.split())
    if words >= 4:
        yield " ".join(parts)[:2000]


def phrases(text: str) -> list[str]:
    """Runs of one to four content words: what lies between function words and punctuation."""
    runs: list[str] = []
    for clause in re.split(r"[^\w' -]+", text):
        run: list[str] = []
        for word in [*clause.split(), "the"]:
            if word.lower() not in FUNCTION_WORDS:
                run.append(word)
            elif run:
                if len(run) <= 4 and len(" ".join(run)) >= 4:
                    runs.append(" ".join(run))
                run = []
    return runs


def queries(passage: str, rng: random.Random) -> list[str]:
    """A sentence of the passage, and a question that has the shape of one but maybe no sense.

    The teacher gives any text a vector, and that is all a student asks of it.
    """
    made = []
    sentences = [s for s in re.split(r"(?<=[.?!]) ", passage) if 4 <= len(s.split()) <= 40]
    if len(sentences) > 1:
        made.append(rng.choice(sentences))
    if names := phrases(passage):
        p, q = rng.choice(names), rng.choice(names)
        made.append(rng.choice(QUESTIONS).format(p=p, q=q, year=rng.randint(1900, 2026)))
    return made


def base64_number(digits: str) -> int:
    """A number of a dictd index: base 64, most significant digit first."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    number = 0
    for digit in digits:
        number = number * 64 + alphabet.index(digit)
    return number


def entries(index: Path) -> Iterator[str]:
    """The entries of a dictd dictionary, each on one line of at most 1,000 characters."""
    data = gzip.decompress(index.with_suffix(".dict.dz").read_bytes())
    for line in index.read_text(errors="replace").splitlines():
        word, start, size = line.split("\t")[:3]
        if not word.startswith("00"):
            begin = base64_number(start)
            text = data[begin : begin + base64_number(size)].decode(errors="replace")
            text = re.sub(r"\[[^\]]{1,60}\]|\\[^\\]{1,40}\\|[{}]", "", text)
            yield flat(text)[:1000]


def descriptions() -> Iterator[str]:
    """Short and long description of each package that apt knows."""
    dump = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, check=True, text=True)
    for record in dump.stdout.split("\n\n"):
        found = re.search(r"^Description(?:-en)?: (.*)\n((?: .*\n?)*)", record, re.M)
        if found:
            yield flat(found[1])
            yield flat(f"{found[1]}. {found[2].replace(chr(10) + ' .', ' ')}")[:1500]


def fetch(cache: Path) -> Iterator[Path]:
    """Download and unpack each package below `cache`; yields one folder a package."""
    for package in PACKAGES:
        root = cache / package
        if not root.exists():
            subprocess.run(["apt-get", "download", "-q", package], cwd=cache, check=True)
            archive = next(cache.glob(f"{package}_*.deb"))
            subprocess.run(["dpkg", "-x", archive, root], check=True)
            archive.unlink()
        yield root


def package_texts(root: Path, rng: random.Random) -> list[str]:
    texts: list[str] = []
    for path in sorted(root.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        if path.suffix == ".index" and path.with_suffix(".dict.dz").exists():
            texts += [text for text in entries(path) if len(text.split()) >= 4 and is_prose(text)]
        else:
            texts += passages(file_blocks(path), rng)
    texts = sorted(set(texts))
    rng.shuffle(texts)
    return texts[: 3 * PER_PACKAGE if "dict-" in root.name else PER_PACKAGE]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--cache", type=Path, default=Path("packages"))
    arguments = parser.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    rng = random.Random(0)
    texts = [t for t in descriptions() if len(t.split()) >= 3 and is_prose(t)]
    for root in fetch(arguments.cache):
        found = package_texts(root, rng)
        print(f"{root.name}: {len(found)}", flush=True)
        texts += found
    unique = {hashlib.sha256(text.encode()).digest(): text for text in texts}
    texts = list(unique.values())
    rng.shuffle(texts)
    with arguments.output.open("w") as output:
        for text in texts:
            asked = queries(text, rng) if len(text.split()) >= 20 else []
            output.write(json.dumps({"text": text, "queries": asked}) + "\n")
    print(f"{len(texts)} passages, {sum(len(t.split()) for t in texts)} words")


if __name__ == "__main__":
    main()
