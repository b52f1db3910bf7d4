"""Source code and configuration: the text as it is, named by its file."""

from collections.abc import Iterator
from typing import BinaryIO

from ..types import Document
from .decoding import decode
from .text import file_title

_NAMES = """
ada adb ads asm awk bash bat bzl c cc cfg clj cljs cmake coffee conf cpp cs css cu cuh cxx d
dart desktop diff dockerfile el elm env erl ex exs f f03 f90 f95 fish for fs fsx go gradle
graphql groovy h hh hpp hrl hs hxx ini java jl js json json5 jsx kt kts less lisp lua m m4
mak mjs mk ml mli mm nim nix pas patch php pl pm po pod pot properties proto ps1 pxd py pyi pyx r
rb rkt rs s sass scala scm scss sh sql swift tcl tex tf thrift toml ts tsx v vala vb vhd vhdl
vim vue xml xsd xsl yaml yml zig zsh
"""
SUFFIXES = tuple(f".{name}" for name in _NAMES.split())


def read(file: BinaryIO, document_id: str) -> Iterator[Document]:
    """Yield the one document, which has no headings: what looks like one is a comment."""
    text = decode(file.read())
    yield Document(document_id, file_title(document_id, text), text)
