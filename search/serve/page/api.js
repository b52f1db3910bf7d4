// Requests to the server that this page came from.

const KEPT = 'clsearch-token';

// The server says no: `status` and its own words.
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// There is no answer at all.
export class Gone extends Error {}

export function keepToken(token) {
  sessionStorage.setItem(KEPT, token);
}

export function hasToken() {
  return sessionStorage.getItem(KEPT) !== null;
}

// [status, JSON] of GET, or of POST where there is a body. Raises Refused, Gone, or AbortError.
export async function request(path, { body, signal } = {}) {
  const headers = { Accept: 'application/json' };
  const token = sessionStorage.getItem(KEPT);
  if (token !== null) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  let response, text;
  try {
    response = await fetch(path, {
      method: body === undefined ? 'GET' : 'POST',
      body: body === undefined ? undefined : JSON.stringify(body),
      headers,
      signal,
    });
    text = await response.text();
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Gone();
  }
  let read = null;
  try {
    read = JSON.parse(text);
  } catch {
    if (response.ok) throw new Refused(response.status, 'The answer of the server cannot be read.');
  }
  if (!response.ok) {
    const told = read?.error?.message ?? `The server answers with status ${response.status}.`;
    throw new Refused(response.status, told);
  }
  return [response.status, read];
}

export async function get(path, signal) {
  return (await request(path, { signal }))[1];
}

export async function post(path, body, signal) {
  return (await request(path, { body, signal }))[1];
}

// A document's id in a path. Its slashes are encoded, too: browsers resolve `../` before they ask.
export function inPath(id) {
  return encodeURIComponent(id);
}
