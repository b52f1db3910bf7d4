// Filters as text: what a click on a facet adds to them or takes out.

// Pieces of a filter between a word of its language, outside of quotes and parentheses.
function split(text, word) {
  const pieces = [];
  let depth = 0;
  let start = 0;
  for (const token of text.matchAll(/'(?:[^']|'')*'|"(?:[^"]|"")*"|[()]|[\w-]+/g)) {
    if (token[0] === '(') depth += 1;
    else if (token[0] === ')') depth -= 1;
    else if (depth === 0 && token[0].toLowerCase() === word) {
      pieces.push(text.slice(start, token.index).trim());
      start = token.index + word.length;
    }
  }
  pieces.push(text.slice(start).trim());
  return pieces;
}

// [what was typed, Map of facet -> its chosen filters]: a filter apart, by what the facets know.
function apart(where, facets) {
  const owner = new Map(facets.flatMap((f) => f.values.map((value) => [value.where, f])));
  const chosen = new Map();
  const typed = [];
  const among = split(where, 'between').length > 1 || split(where, 'or').length > 1;
  for (const piece of among ? [where.trim()] : split(where, 'and')) {
    const inner = /^\((.*)\)$/s.exec(piece)?.[1] ?? piece;
    const either = split(inner, 'or');
    const facet = owner.get(either[0]);
    if (facet && either.every((one) => owner.get(one) === facet)) {
      chosen.set(facet, [...(chosen.get(facet) ?? []), ...either]);
    } else if (piece) typed.push(piece);
  }
  return [typed, chosen];
}

// The filters of values that are chosen.
export function chosenOf(where, facets) {
  return new Set([...apart(where, facets)[1].values()].flat());
}

// The filter with one value of a facet added, or taken out. Values of one facet are alternatives.
export function toggled(where, facets, facet, clause) {
  const [typed, chosen] = apart(where, facets);
  const now = chosen.get(facet) ?? [];
  chosen.set(facet, now.includes(clause) ? now.filter((one) => one !== clause) : [...now, clause]);
  const own = [...chosen.values()].filter((clauses) => clauses.length);
  const parts = typed.map((one) =>
    split(one, 'or').length > 1 && (own.length || typed.length > 1) ? `(${one})` : one,
  );
  for (const clauses of own) {
    parts.push(clauses.length > 1 ? `(${clauses.join(' or ')})` : clauses[0]);
  }
  return parts.join(' and ');
}
