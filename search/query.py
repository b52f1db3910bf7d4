"""What was asked: plain words, and the few marks that mean more. Any string is a legal query.

    reset router        any of these words; passages that mean the same
    "hard reset"        only passages with these words in this order
    -wireless           no passage with this word, or with a -"phrase"; a word in Latin script has
                        three letters or more here
    title:router        only where the word is in the title; also heading: and text:

A mark that stands otherwise is text: `5" disk`, `tar -x`, `std::vector`, `http://localhost`.
"""

import re
from dataclasses import dataclass

from ..index import analysis
from ..index.store.fulltext import as_written, quoted

FIELDS = ("title", "heading", "text")

# A pasted page has some hundreds of distinct words; each costs a walk through its postings. So many
# marks count, too.
MAX_TERMS = 256

_MARKED = re.compile(
    rf"""
    (?<!\S)
    (?P<minus>-(?=[^\W\d_]{{3}}|(?![\0-\u036f])[^\W\d_]|"|(?:{"|".join(FIELDS)}):))?
    (?:(?P<field>{"|".join(FIELDS)}):(?=\S))?
    (?: "(?=[^"\w]*\w)(?P<phrase>[^"]*)"(?![\w"]) | (?P<word>\S+) )
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Query:
    """A query, taken apart.

    `text` is what an encoder is given: the query without its marks and what they exclude. Of
    `terms` and of `whole`, any is looked for (`analysis.asked`, `analysis.asked_whole`). Each of
    `required` must match and none of `excluded` may: these are FTS5 expressions over the columns of
    the full-text table.
    """

    text: str
    terms: tuple[str, ...]
    whole: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()

    @property
    def marked(self) -> bool:
        """Whether it says itself which passages may answer."""
        return bool(self.required or self.excluded)


def plain(text: str) -> Query:
    """The query that takes every mark of `text` for text."""
    terms, whole = analysis.asked(text), analysis.asked_whole(text)
    return Query(text, tuple(terms[:MAX_TERMS]), tuple(whole[:MAX_TERMS]))


def parse(text: str) -> Query:
    """The query that `text` stands for.

    >>> asked = parse('"hard reset" router -wireless')
    >>> asked.text, asked.required
    ('hard reset router', ('{title heading text} : "hard reset"',))
    """
    kept: list[str] = []
    required: list[str] = []
    excluded: list[str] = []
    end = 0
    for found in _MARKED.finditer(text):
        kept.append(text[end : found.start()])
        end = found.end()
        given = found["phrase"] or found["word"]
        marked = found["minus"] or found["field"] or found["phrase"]
        expression = _expression(given, found["field"]) if marked else ""
        if not expression:
            kept.append(found[0])
        elif len(required) + len(excluded) == MAX_TERMS:
            kept.append("" if found["minus"] else given)
        elif found["minus"]:
            excluded.append(expression)
        else:
            kept.append(given)
            required.append(expression)
    kept.append(text[end:])
    rest = "".join(kept).strip()
    if not rest:
        return plain(text)
    asked = plain(rest)
    return Query(rest, asked.terms, asked.whole, tuple(required), tuple(excluded))


def _expression(given: str, field: str | None) -> str:
    """The FTS5 expression for a word or a phrase, in one column or in all; empty without words.

    A compound is looked for whole, and as the plain word that others write: `wi-fi`, `wifi`.
    """
    columns = field or "{" + " ".join(FIELDS) + "}"
    phrase = analysis.phrase(given)
    whole = list(analysis.compounds(given)) if field is None else []
    if len({(start, end) for _, start, end in whole}) == 1:
        _, start, end = whole[0]
        if phrase == analysis.phrase(given[start:end]):  # there is no other word
            exact = whole[-1].text.startswith(analysis.IDENTIFIER)
            either = [as_written(term.text) if exact else quoted(term.text) for term in whole]
            return either[0] if len(either) == 1 else f"({' OR '.join(either)})"
    return f"{columns} : {quoted(phrase)}" if phrase else ""
