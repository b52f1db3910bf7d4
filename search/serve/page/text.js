// Text of documents, set as text and never as HTML. The server counts code points, JavaScript
// UTF-16 units: offsets are turned into units before anything is cut.

const ASTRAL = /[\ud800-\udbff]/;
const EXCERPT = 420;
const BEFORE = 140;
const BREAK = /(?<=[^\n]{60})\n(?![ \t]*(?:\n|[-*+•>|#]|\d+[.)]\s|$))/g;
const PROSE = /(?:\.(?:md|markdown|txt|text|rst|html?|adoc|org|tex)|#[^/]*|\/[^./]+|^[^./]+)$/i;

// Offsets in code points -> offsets in UTF-16 units; both ascend.
export function units(text, points) {
  if (!ASTRAL.test(text)) return points;
  const found = [];
  let unit = 0;
  let passed = 0;
  for (const point of points) {
    while (passed < point && unit < text.length) {
      unit += text.codePointAt(unit) > 0xffff ? 2 : 1;
      passed += 1;
    }
    found.push(unit);
  }
  return found;
}

// Spans in code points of a document -> spans in units of `text`, which starts at `start` there.
export function spansWithin(text, start, spans) {
  const points = [...new Set(spans.flat())].sort((a, b) => a - b);
  const place = new Map();
  units(text, points.map((point) => point - start)).forEach((unit, i) => place.set(points[i], unit));
  return spans.map(([from, to]) => [place.get(from), place.get(to)]);
}

// Whether a document reads as prose: its single line breaks then mean nothing.
export function isProse(id) {
  return PROSE.test(id);
}

// As long as it was: only line breaks that a full line has within a paragraph become spaces, and
// none in a block of code.
export function flowing(text) {
  return text
    .split(/(```[^]*?(?:```|$))/)
    .map((part, i) => (i % 2 ? part : part.replace(BREAK, ' ')))
    .join('');
}

// [from, to, begun]: the part of a passage that is shown, around its best sentence, and whether it
// begins where the passage does, but for the headings, which stand above it anyway.
export function excerpt(text, [start, end]) {
  const heading = /^(?:#{1,6}[ \t][^\n]*\s*)+/.exec(text)?.[0].length ?? 0;
  const first = heading <= start ? heading : 0;
  const last = text.trimEnd().length;
  if (last - first <= EXCERPT * 1.25) return [first, last, true];
  let from = first;
  if (start - first > BEFORE) {
    const space = text.slice(0, start - BEFORE / 2).search(/\s\S*$/);
    from = Math.max(first, space + 1);
  }
  const wanted = Math.max(end, from + EXCERPT);
  const rest = text.slice(wanted).search(/\s/);
  const to = wanted >= last - 40 || rest < 0 ? last : wanted + rest;
  return [from, to, from === first];
}

// Append text[from, to), the sentence in a <mark> and the words in <b>; spans in units.
export function appendMarked(parent, text, [from, to], sentence, words) {
  const [start, end] = sentence;
  const cuts = [from, to, start, end, ...words.flat()].filter((cut) => cut >= from && cut <= to);
  const places = [...new Set(cuts)].sort((a, b) => a - b);
  let mark = null;
  for (let i = 0; i + 1 < places.length; i++) {
    const [low, high] = [places[i], places[i + 1]];
    const inside = low >= start && high <= end;
    if (inside && !mark) parent.append((mark = document.createElement('mark')));
    const word = words.some(([a, b]) => low >= a && high <= b);
    const piece = text.slice(low, high);
    const node = word ? document.createElement('b') : document.createTextNode(piece);
    if (word) node.textContent = piece;
    (inside ? mark : parent).append(node);
  }
}
