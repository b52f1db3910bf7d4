// The page: what is asked, kept in its address; what comes back, shown.

import { Gone, Refused, get, hasToken, inPath, keepToken, post, request } from './api.js';
import { chosenOf, toggled } from './filter.js';
import { hitItem } from './hits.js';
import { PassageMap } from './map.js';
import { fillReader } from './reader.js';

const PAUSE = 120; // ms after a key before it is searched
const PAGE = 20; // hits
const AGAIN = 2000; // ms until a server that is gone is tried again
const SLOW = 250; // ms until it is shown that an answer takes long

const $ = (selector) => document.querySelector(selector);
const query = $('#query');
const where = $('#where');
const hits = $('#hits');
const reader = $('#reader');
const map = $('#map');

const READER = 'reader';

let indexes = []; // what GET /v1/indexes says
let facets = [];
let facetsOf = null; // the index that they are of
let answer = null; // what the hits are from
let asked = null; // AbortController of the search that is under way
let typing = 0;
let mapOf = null; // "index generation" of the map that is shown
let burst = false; // whether the address before the last is one of the same typing
let gone = 0;
let complaint = ''; // whose is shown: the reader's, or another's
let reading = null; // the document in the reader
let cameFrom = null; // what had the focus before the reader

const plane = new PassageMap(map, (id, span) => go({ open: id, at: span.join('-') }));

// --- the address holds all that can be asked for ---

const EMPTY = { q: '', index: '', mode: 'hybrid', where: '', like: '', open: '', at: '', map: '' };
let state = fromAddress();

function fromAddress() {
  const given = new URLSearchParams(location.search);
  const read = { ...EMPTY };
  for (const name of Object.keys(EMPTY)) read[name] = given.get(name) ?? EMPTY[name];
  if (!['hybrid', 'dense', 'lexical'].includes(read.mode)) read.mode = 'hybrid';
  return read;
}

function address(of) {
  const told = Object.entries(of).filter(([name, value]) => value !== EMPTY[name]);
  const text = new URLSearchParams(told).toString();
  return text ? `/?${text}` : '/';
}

// Change what is asked for. Typing replaces the last address, everything else makes a new one.
function go(change, replace = false) {
  const before = state;
  state = { ...state, ...change };
  if (address(state) !== address(before)) {
    history[replace ? 'replaceState' : 'pushState'](null, '', address(state));
  }
  follow(before);
}

function follow(before) {
  showControls();
  const same = (...names) => before && names.every((name) => before[name] === state[name]);
  if (!same('index')) loadFacets();
  if (!same('q', 'index', 'mode', 'where', 'like')) search(PAGE);
  if (!same('open', 'at', 'index')) showReader();
  if (!same('map', 'index', 'open')) showMap();
}

addEventListener('popstate', () => {
  const before = state;
  state = fromAddress();
  burst = false;
  follow(before);
});

function showControls() {
  if (query.value.trim() !== state.q) query.value = state.q;
  if (where.value.trim() !== state.where) where.value = state.where;
  $('#where-clear').hidden = !where.value;
  $(`input[name=mode][value=${state.mode}]`).checked = true;
  $('#index').value = indexName();
  $('#map-button').setAttribute('aria-pressed', String(state.map !== ''));
  document.title = state.q ? `${state.q} – clsearch` : 'clsearch';
  document.body.classList.toggle('beside', state.open !== '' || state.map !== '');
  showFacets();
}

function indexName() {
  const names = indexes.map((index) => index.name);
  return names.includes(state.index) ? state.index : (names[0] ?? '');
}

// --- asking ---

async function search(k) {
  asked?.abort();
  const own = (asked = new AbortController());
  const slow = setTimeout(() => document.body.classList.add('slow'), SLOW);
  if (complaint === READER) quiet();
  try {
    const found = await find(k, own.signal);
    if (own === asked) {
      if (complaint !== READER) quiet(); // what the reader found since is said until the next search
      show(found, k);
    }
  } catch (error) {
    if (own === asked) complain(error);
  } finally {
    clearTimeout(slow);
    if (own === asked) document.body.classList.remove('slow');
  }
}

async function find(k, signal) {
  const index = indexName();
  if (!index || !(state.like || state.q)) return null;
  const filter = state.where ? { where: state.where } : {};
  if (state.like) {
    return post('/v1/similar', { document: state.like, index, k, ...filter }, signal);
  }
  const told = { query: state.q, index, k, mode: state.mode, group: 'document', ...filter };
  return post('/v1/search', told, signal);
}

function show(found, k) {
  const kept = document.activeElement?.closest('.hit') ? 0 : -1;
  answer = found;
  hits.replaceChildren(...(found?.hits ?? []).map((hit) => hitItem(hit, (one) => address(opened(one)))));
  $('#more').hidden = !found || found.hits.length < k;
  $('#like').hidden = !state.like;
  $('#like span').textContent = `More like ${state.like}`;
  $('#status').textContent = told(found);
  showEmpty(found);
  lightUp();
  if (reading && state.open && !reader.querySelector('mark')) fill();
  if (kept >= 0) linkOf(hits.children[kept])?.focus();
}

function told(found) {
  if (!found?.hits.length) return '';
  const weak = found.hits.filter((hit) => hit.weak).length;
  if (weak === found.hits.length) return 'Nothing here answers that well. What comes nearest:';
  const { took_ms: took } = found;
  const count = plural(found.hits.length - weak, 'document');
  const more = weak ? ` and ${weak.toLocaleString('en')} weak` : '';
  return `${count}${more} in ${took < 1000 ? `${Math.ceil(took)} ms` : `${(took / 1000).toFixed(1)} s`}`;
}

function opened(hit) {
  return { ...state, open: hit.document, at: `${hit.passage.start}-${hit.passage.end}` };
}

// --- nothing to show, and why ---

function showEmpty(found) {
  const empty = $('#empty');
  const lines = found?.hits.length ? [] : emptiness(found);
  empty.hidden = !lines.length;
  empty.replaceChildren(...lines);
}

function emptiness(found) {
  const index = indexes.find((one) => one.name === indexName());
  if (!index) return [said('h2', 'No index is served'), code('clsearch index FOLDER', 'makes one.')];
  if (index.passages === 0) {
    return [said('h2', 'Nothing is indexed yet'), code('clsearch index FOLDER', 'reads a folder.')];
  }
  if (!found) return welcome(index);
  const lines = [said('h2', 'Nothing found')];
  if (state.where) {
    lines.push(said('p', 'No passage that passes the filter answers.'));
    lines.push(button('Search without the filter', () => go({ where: '' })));
  } else if (/["]|(^|\s)-\w|\w:\w/.test(state.q) && !state.like) {
    lines.push(said('p', 'Marks narrow it down: try it without quotes, minus and colon.'));
  } else if (state.mode !== 'hybrid' && !state.like) {
    lines.push(button('Search by meaning and by words', () => go({ mode: 'hybrid' })));
  } else lines.push(said('p', 'Try other words.'));
  return lines;
}

function welcome(index) {
  const size = `${plural(index.documents, 'document')}, ${plural(index.passages, 'passage')}`;
  const marks = document.createElement('dl');
  for (const [mark, meaning] of [
    ['"hard reset"', 'these words in this order'],
    ['-wireless', 'nothing with this word'],
    ['title:router', 'only where it stands there'],
  ]) {
    const row = document.createElement('div');
    row.append(said('dt', mark), said('dd', meaning));
    marks.append(row);
  }
  return [said('h2', 'Ask in your own words'), said('p', `${index.name}: ${size}`), marks];
}

function said(name, text) {
  const element = document.createElement(name);
  element.textContent = text;
  return element;
}

function code(text, after) {
  const line = document.createElement('p');
  line.append(said('code', text), ` ${after}`);
  return line;
}

function button(text, act) {
  const element = said('button', text);
  element.type = 'button';
  element.addEventListener('click', act);
  return element;
}

function plural(count, noun) {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`;
}

// --- what goes wrong ---

function quiet() {
  complaint = '';
  $('#alert').hidden = true;
  $('#where-error').hidden = true;
  where.removeAttribute('aria-invalid');
}

function complain(error, of = '') {
  if (error.name === 'AbortError') return;
  quiet();
  complaint = error instanceof Gone ? '' : of; // one of a server that is gone ends when it answers
  if (error instanceof Gone) {
    alert('The server does not answer: it may have been stopped. Trying again …');
    clearTimeout(gone);
    gone = setTimeout(start, AGAIN);
  } else if (error instanceof Refused && error.status === 401) {
    askForToken();
  } else if (error instanceof Refused && error.status === 400 && aboutFilter(error.message)) {
    $('#where-error').textContent = error.message;
    $('#where-error').hidden = false;
    where.setAttribute('aria-invalid', 'true');
  } else if (error instanceof Refused) {
    alert(error.message);
  } else throw error;
}

function aboutFilter(message) {
  return state.where !== '' && /\bfilter\b/.test(message);
}

function alert(text) {
  $('#alert').textContent = text;
  $('#alert').hidden = false;
}

function askForToken() {
  const dialog = $('#token');
  dialog.querySelector('.wrong').hidden = !hasToken();
  if (!dialog.open) dialog.showModal();
  dialog.querySelector('input').focus();
}

$('#token form').addEventListener('submit', (event) => {
  event.preventDefault();
  const input = $('#token input');
  keepToken(input.value.trim());
  input.value = '';
  $('#token').close();
  start();
});

// --- facets ---

async function loadFacets() {
  const name = indexName();
  if (!name || name === facetsOf) return;
  facetsOf = name;
  facets = [];
  try {
    const read = await get(`/v1/indexes/${encodeURIComponent(name)}/facets`);
    if (facetsOf !== name) return;
    facets = read.facets;
    showFacets();
  } catch (error) {
    facetsOf = null;
    complain(error);
  }
}

function showFacets() {
  const box = $('#facets');
  const had = document.activeElement?.dataset?.where;
  const chosen = chosenOf(state.where, facets);
  box.hidden = !facets.length;
  box.querySelector('div').replaceChildren(...facets.map((facet) => facetSection(facet, chosen)));
  if (had !== undefined) {
    [...box.querySelectorAll('button')].find((one) => one.dataset.where === had)?.focus();
  }
}

function facetSection(facet, chosen) {
  const section = document.createElement('section');
  const heading = section.appendChild(said('h2', facet.name ?? 'folder'));
  const list = section.appendChild(document.createElement('ul'));
  for (const value of facet.values) {
    const choice = button('', () => go({ where: toggled(state.where, facets, facet, value.where) }));
    choice.append(said('span', String(value.value)), said('small', value.documents.toLocaleString('en')));
    choice.dataset.where = value.where;
    choice.setAttribute('aria-pressed', String(chosen.has(value.where)));
    list.appendChild(document.createElement('li')).append(choice);
  }
  list.setAttribute('aria-label', heading.textContent);
  return section;
}

// --- the document ---

async function showReader() {
  if (!state.open) {
    const had = reader.contains(document.activeElement) || document.activeElement === document.body;
    reader.hidden = true;
    reading = null;
    if (had && cameFrom?.isConnected) cameFrom.focus();
    return;
  }
  const [id, at, index] = [state.open, state.at, indexName()];
  try {
    if (reading?.id !== id || reading.index !== index) {
      const path = `/v1/documents/${inPath(id)}?index=${encodeURIComponent(index)}`;
      const read = await get(path);
      if (state.open !== id || state.at !== at) return;
      reading = { ...read, id, index };
    }
  } catch (error) {
    if (error instanceof Refused && error.status === 404) go({ open: '', at: '' }, true);
    complain(error, READER);
    return;
  }
  if (reader.hidden) cameFrom = document.activeElement;
  reader.hidden = false;
  fill();
  $('#reader-title').focus({ preventScroll: true });
}

// The reader with what is known: the sentence is known where the passage is among the hits.
function fill() {
  const span = /^(\d+)-(\d+)$/.exec(state.at)?.slice(1).map(Number);
  const hit = (answer?.hits ?? [])
    .flatMap((one) => [one, ...(one.more ?? [])])
    .find((one) => one.document === state.open && one.passage.start === span?.[0]);
  fillReader(reader, reading, span, hit && [hit.sentence.start, hit.sentence.end]);
}

// --- the map ---

let mapLater; // the next time that the map is asked for

async function showMap() {
  clearTimeout(mapLater);
  map.hidden = state.map === '' || state.open !== '';
  if (map.hidden) return;
  const name = indexName();
  if (!name) return;
  try {
    const [status, read] = await request(`/v1/indexes/${encodeURIComponent(name)}/map`);
    if (map.hidden || indexName() !== name) return;
    if (status === 202) tellMap('The map is being made …');
    else if (mapOf !== `${name} ${read.generation}`) {
      mapOf = `${name} ${read.generation}`;
      plane.show(read);
      tellShares(read);
      lightUp();
    }
    clearTimeout(mapLater);
    if (status === 202 || read.state === 'older') mapLater = setTimeout(showMap, 1000);
  } catch (error) {
    complain(error);
  }
}

function tellShares(read) {
  const of = read.shown < read.passages ? ` of ${plural(read.passages, 'passage')}, drawn by lot` : '';
  const count = of ? read.shown.toLocaleString('en') : plural(read.shown, 'passage');
  const share = Math.round((read.shares[0] + read.shares[1]) * 100);
  map.querySelector('header p').textContent = `${count}${of}; ${share}% of the variance`;
}

function tellMap(text) {
  map.querySelector('.state').textContent = text;
}

function lightUp() {
  if (map.hidden || mapOf === null) return;
  const found = answer?.hits ?? [];
  const lit = plane.light(found.map((hit) => hit.passage.id));
  tellMap(found.length && lit < found.length ? `${lit} of ${found.length} hits are on this map` : '');
}

// --- keys, clicks, the beginning ---

function linkOf(item) {
  return item?.querySelector('h3 a');
}

function move(by) {
  const items = [...hits.children];
  const now = items.findIndex((item) => item.contains(document.activeElement));
  if (now + by < 0) query.focus();
  else linkOf(items[Math.min(items.length - 1, now + by)])?.focus();
  document.activeElement.closest('.hit')?.scrollIntoView({ block: 'nearest' });
}

// The document that keys are about: the one in the reader, else that of the hit with the focus.
function meant() {
  if (state.open) return state.open;
  const place = [...hits.children].findIndex((item) => item.contains(document.activeElement));
  return answer?.hits[place]?.document;
}

async function copy(text) {
  if (text === undefined) return;
  try {
    await navigator.clipboard.writeText(text);
    tell('Copied');
  } catch {
    tell(text); // where the browser does not let it, it can be read and copied by hand
  }
}

let telling = 0;

function tell(text) {
  $('#said').textContent = text;
  clearTimeout(telling);
  telling = setTimeout(() => ($('#said').textContent = ''), 2500);
}

function similar(id) {
  if (id !== undefined) go({ like: id, open: '', at: '' });
}

function back() {
  if (state.open) go({ open: '', at: '' });
  else if (state.map) go({ map: '' });
  else if (state.like) go({ like: '' });
  else if (document.activeElement === query && query.value) go({ q: '' });
  else document.activeElement?.blur();
}

addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $('#token').open) return;
  const { target } = event;
  const field = target.closest('input, select, textarea');
  const inReader = reader.contains(target);
  const byKey = {
    Escape: back,
    ArrowDown: inReader || (field && target !== query) ? null : () => move(1),
    ArrowUp: inReader || field ? null : () => move(-1),
    '/': field ? null : () => query.select(),
    c: field ? null : () => copy(meant()),
    m: field ? null : () => similar(meant()),
    g: field ? null : () => go({ map: state.map ? '' : '1', open: '', at: '' }),
  };
  const act = Object.hasOwn(byKey, event.key) ? byKey[event.key] : null;
  if (!act) return;
  event.preventDefault();
  act();
});

for (const field of [query, where]) {
  field.addEventListener('input', () => {
    $('#where-clear').hidden = !where.value;
    clearTimeout(typing);
    typing = setTimeout(ask, field === query ? PAUSE : 2 * PAUSE);
  });
}

function ask() {
  clearTimeout(typing);
  const typed = { q: query.value.trim(), where: where.value.trim() };
  if (typed.q === state.q && typed.where === state.where) return;
  go(typed.q === state.q ? typed : { ...typed, like: '' }, burst);
  burst = true;
}

document.addEventListener('focusout', () => (burst = false));

$('#ask').addEventListener('submit', (event) => {
  event.preventDefault();
  ask();
  if (answer?.hits.length) move(1);
});

$('#narrow').addEventListener('submit', (event) => event.preventDefault());
$('#narrow').addEventListener('change', (event) => {
  if (event.target.name === 'mode') go({ mode: event.target.value });
});
$('#where-clear').addEventListener('click', () => {
  go({ where: '' });
  where.focus();
});
$('#index').addEventListener('change', (event) => {
  go({ index: event.target.value, where: '', like: '', open: '', at: '' });
});
$('#map-button').addEventListener('click', () => go({ map: state.map ? '' : '1', open: '', at: '' }));
$('#like button').addEventListener('click', () => go({ like: '' }));
$('#more').addEventListener('click', () => search(hits.children.length + 2 * PAGE));
map.querySelector('.close').addEventListener('click', () => go({ map: '' }));
reader.querySelector('.close').addEventListener('click', () => go({ open: '', at: '' }));
reader.querySelector('.copy').addEventListener('click', () => copy(state.open));
reader.querySelector('.similar').addEventListener('click', () => similar(state.open));

hits.addEventListener('click', (event) => {
  const item = event.target.closest('.hit');
  if (!item) return;
  const hit = answer.hits[[...hits.children].indexOf(item)];
  const link = event.target.closest('a');
  if (event.target.closest('.copy')) copy(hit.document);
  else if (event.target.closest('.similar')) similar(hit.document);
  else if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    const given = new URL(link.href).searchParams;
    go({ open: given.get('open'), at: given.get('at') });
  }
});

$('.name').addEventListener('click', (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  go({ ...EMPTY, index: state.index });
  query.focus();
});

// Learn which indexes there are, then do what the address says.
async function start() {
  try {
    indexes = (await get('/v1/indexes')).indexes;
  } catch (error) {
    complain(error);
    return;
  }
  const choice = $('#index');
  choice.replaceChildren(...indexes.map((index) => new Option(index.name, index.name)));
  choice.hidden = indexes.length < 2;
  quiet();
  // What was typed meanwhile counts.
  clearTimeout(typing);
  state = { ...state, q: query.value.trim(), where: where.value.trim() };
  history.replaceState(null, '', address(state));
  follow(null);
}

$('#facets').open = matchMedia('(min-width: 60rem)').matches;
query.value = state.q;
where.value = state.where;
start();
