// A document as text, scrolled to a passage.

import { appendMarked, flowing, isProse, spansWithin } from './text.js';

const PIECE = 20000; // characters that are laid out only when they come into view

export function fillReader(section, read, passage, sentence) {
  section.querySelector('h2').textContent = read.title || read.id;
  section.querySelector('.path').textContent = read.id;
  const list = section.querySelector('dl');
  list.replaceChildren();
  for (const [key, value] of Object.entries(read.metadata ?? {})) {
    const name = document.createElement('dt');
    const told = document.createElement('dd');
    name.textContent = key;
    told.textContent = typeof value === 'string' ? value : JSON.stringify(value);
    const pair = document.createElement('div');
    pair.append(name, told);
    list.append(pair);
  }
  const body = section.querySelector('.text');
  body.classList.toggle('code', !isProse(read.id));
  body.replaceChildren();
  const shown = isProse(read.id) ? flowing(read.text) : read.text;
  if (!passage) {
    appendPieces(body, shown, 0, shown.length);
    body.scrollTop = 0;
    return;
  }
  const [[from, to], answer] = spansWithin(read.text, 0, [passage, sentence ?? [0, 0]]);
  const low = shown.lastIndexOf('\n', from - 1) + 1;
  const stop = shown.indexOf('\n', to);
  const high = stop < 0 ? shown.length : stop + 1;
  appendPieces(body, shown, 0, low);
  const lines = document.createElement('div');
  const here = document.createElement('span');
  here.className = 'passage';
  appendMarked(here, shown, [from, to], sentence ? answer : [0, 0], []);
  const around = [shown.slice(low, from), shown.slice(to, high)];
  lines.classList.toggle('here', around.join('').trim() === '');
  lines.append(around[0], here, around[1]);
  body.append(lines);
  appendPieces(body, shown, high, shown.length);
  // Only the text scrolls, not the page around it.
  const target = (here.querySelector('mark') ?? here).getBoundingClientRect();
  const frame = body.getBoundingClientRect();
  body.scrollTop += target.top - frame.top - Math.max(0, (frame.height - target.height) / 2);
}

function appendPieces(body, text, from, to) {
  while (from < to) {
    const line = text.indexOf('\n', from + PIECE);
    const next = line < 0 || line >= to ? to : line + 1;
    const piece = document.createElement('div');
    piece.textContent = text.slice(from, next);
    body.append(piece);
    from = next;
  }
}
