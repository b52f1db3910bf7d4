// A hit as a list item.

import { appendMarked, excerpt, flowing, isProse, spansWithin } from './text.js';

const template = document.getElementById('hit');

export function hitItem(hit, href) {
  const item = template.content.firstElementChild.cloneNode(true);
  const part = (selector) => item.querySelector(selector);
  const { passage } = hit;
  item.classList.toggle('is-weak', hit.weak);
  const link = part('h3 a');
  link.textContent = hit.title || hit.document;
  link.href = href(hit);
  part('.weak').hidden = !hit.weak;
  part('.path').textContent = placeOf(hit);
  part('.heading').textContent = headingOf(hit);
  part('.bar').style.setProperty('--share', `${Math.max(0, Math.min(1, hit.score)) * 100}%`);
  part('.number').textContent = hit.score.toFixed(2);
  part('.score').title = scoreOf(hit);
  const text = part('p.text');
  const shown = isProse(hit.document) ? flowing(passage.text) : passage.text;
  text.classList.toggle('code', !isProse(hit.document));
  const [sentence, ...words] = spansWithin(passage.text, passage.start, [
    [hit.sentence.start, hit.sentence.end],
    ...(hit.marks ?? []),
  ]);
  const [from, to, begun] = excerpt(shown, sentence);
  if (!begun) text.append('… ');
  appendMarked(text, shown, [from, to], sentence, words);
  if (to < shown.trimEnd().length) text.append(' …');
  part('.others').replaceChildren(...(hit.more ?? []).map((other) => otherItem(other, href)));
  const same = hit.duplicates.length ? `The same in ${hit.duplicates.join(', ')}` : '';
  part('.same').textContent = same;
  return item;
}

function otherItem(hit, href) {
  const item = document.createElement('li');
  const link = item.appendChild(document.createElement('a'));
  const { text } = hit.sentence;
  link.href = href(hit);
  link.textContent = `line ${hit.passage.line}`;
  item.append(' ', flowing(text.length > 160 ? `${text.slice(0, 160).trimEnd()} …` : text));
  return item;
}

function placeOf({ document, passage }) {
  return `${document}:${passage.line}${passage.page === null ? '' : `, page ${passage.page}`}`;
}

function headingOf({ title, passage }) {
  const below = passage.heading.startsWith(title) ? passage.heading.slice(title.length) : passage.heading;
  return below.replace(/^ > /, '').replaceAll(' > ', ' › ');
}

function scoreOf(hit) {
  const names = { dense: 'cosine', lexical: 'BM25', rerank: 'reranker' };
  const parts = Object.entries(hit.scores).map(
    ([name, value]) => `${names[name] ?? name} ${value.toFixed(3)}`,
  );
  return `Score ${hit.score.toFixed(3)} of 1: ${parts.join(', ')}`;
}
