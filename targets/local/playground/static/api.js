// Requests to this server, relative to the page: the models, and one request with what it took.

/** What the server said instead of an answer. `status` 0: it did not answer. */
export class Refusal extends Error {
  constructor(status, code, message, headers) {
    super(message);
    Object.assign(this, { status, code, id: headers?.get('x-request-id'), retry: headers?.get('retry-after') });
  }
}

export const pathOf = (model) => `models/${encodeURIComponent(model.name)}/predict`;

/** [{name, task, labels, example, routes}] */
export async function models(key) {
  const { text } = await ask('models', {}, key);
  const found = JSON.parse(text);
  return Array.isArray(found) ? found : found.models;
}

/** `sent`: {body, type}. Gives {text, answer, timing}; `answer` is undefined if it is no JSON. */
export async function predict(model, sent, key, signal) {
  const headers = { 'Content-Type': sent.type };
  return ask(pathOf(model), { method: 'POST', body: sent.body, headers, signal }, key);
}

async function ask(path, options, key) {
  const headers = { Accept: 'application/json', ...options.headers };
  if (key) headers.Authorization = `Bearer ${key}`;
  const start = performance.now();
  let response, text;
  try {
    response = await fetch(path, { ...options, headers, cache: 'no-store', redirect: 'error' });
    text = await response.text();
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Refusal(0, 'no_answer', 'The server did not answer: is it still running?');
  }
  const roundTrip = performance.now() - start;
  if (!response.ok) throw refusal(response, text);
  return { text, answer: parsed(text), timing: timing(response.headers, roundTrip) };
}

function refusal(response, text) {
  const data = parsed(text);
  const error = data?.error ?? data;
  const message = error?.message ?? error?.detail ?? (typeof error === 'string' ? error : text);
  const shown = String(message || response.statusText || 'no further words');
  return new Refusal(response.status, String(error?.code ?? ''), shown, response.headers);
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const ORDER = ['decode', 'queue', 'preprocess', 'engine', 'postprocess', 'encode'];

function timing(headers, roundTrip) {
  const stages = stagesOf(headers.get('server-timing') ?? '');
  const server = stages.reduce((sum, stage) => sum + stage.ms, 0);
  const about = { id: headers.get('x-request-id'), cpu: headers.get('x-cpu-kind') };
  return { stages, server, roundTrip, outside: Math.max(0, roundTrip - server), ...about };
}

/** The stages of a Server-Timing header, [{name, ms}], in the order of the work. */
export function stagesOf(header) {
  const stages = [...header.matchAll(/([\w-]+);(?:[^,]*;)?dur=([\d.]+)/g)];
  const rank = (name) => (ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length);
  const found = stages.map(([, name, ms]) => ({ name, ms: Number(ms) }));
  return found.sort((a, b) => rank(a.name) - rank(b.name));
}
