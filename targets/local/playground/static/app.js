// The page: which model, its request, the answer, and the request in other clients' words.

import { html, render, useEffect, useRef, useState } from './vendor/htm-preact.js';
import { models as fetchModels, predict } from './api.js';
import { first, read, request } from './draft.js';
import { Form } from './form.js';
import { Code, Tabs } from './parts.js';
import { Result } from './result.js';
import { SNIPPETS } from './snippets.js';
import { taskOf } from './tasks.js';

const named = () => decodeURIComponent(location.hash.slice(1));

function App() {
  const [models, setModels] = useState(null);
  const [trouble, setTrouble] = useState(null);
  const [key, setKey] = useState(''); // in memory only
  const [locked, setLocked] = useState(false);
  const [name, setName] = useState(named());
  useEffect(() => {
    fetchModels(key).then(
      (found) => {
        setTrouble(null);
        setModels(found);
      },
      (error) => {
        setLocked((before) => before || error.status === 401);
        setTrouble(error.status === 401 && !key ? null : error); // the key's form says it
      },
    );
  }, [key]);
  useEffect(() => {
    const changed = () => setName(named());
    addEventListener('hashchange', changed);
    return () => removeEventListener('hashchange', changed);
  }, []);
  const model = models?.find((m) => m.name === name) ?? models?.[0];
  const choose = ({ target }) => {
    history.replaceState(null, '', `#${encodeURIComponent(target.value)}`);
    setName(target.value);
  };
  return html`
    <header><h1>onnxferry <span>playground</span></h1>${models && html`<${Choice} models=${models} model=${model} onChoose=${choose} />`}
      <a href="docs">API</a></header>
    <main>
      ${locked && html`<${Key} onKey=${setKey} />`}
      ${trouble && html`<div class="error" role="alert"><p class="message">${trouble.message}</p></div>`}
      ${!models && !locked && !trouble && html`<p class="empty" role="status">Asking for the models…</p>`}
      ${models?.map((m) => html`<${Workbench} key=${m.name} model=${m} shown=${m === model}
        apiKey=${key} locked=${locked} onLocked=${() => setLocked(true)} />`)}
    </main>`;
}

function Choice({ models, model, onChoose }) {
  const option = (m) => html`<option value=${m.name} selected=${m === model}>${m.name}</option>`;
  return html`<div class="choice"><label for="model">Model</label>
    <select id="model" value=${model.name} onChange=${onChoose}>${models.map(option)}</select>
    <span class="task">${model.task}</span></div>`;
}

function Key({ onKey }) {
  const input = useRef();
  useEffect(() => input.current.focus(), []);
  const submit = (event) => {
    event.preventDefault();
    onKey(input.current.value.trim());
  };
  return html`<form class="card key" onSubmit=${submit} aria-label="API key">
    <label for="key">API key <span class="muted">This server asks for one. It stays in this page's memory.</span></label>
    <div><input id="key" type="password" autocomplete="off" ref=${input} required /><button class="primary" type="submit">Use</button></div>
  </form>`;
}

/** One model's request and answer, kept while another model is shown. */
function Workbench({ model, shown, apiKey, locked, onLocked }) {
  const [draft, setDraft] = useState(() => first(model));
  const [outcome, setOutcome] = useState(null);
  const [running, setRunning] = useState(null);
  const run = async () => {
    running?.abort();
    const abort = new AbortController();
    setRunning(abort);
    const found = await outcomeOf(model, draft, apiKey, abort.signal);
    if (abort.signal.aborted) return;
    if (found.refusal?.status === 401) onLocked();
    setOutcome(found);
    setRunning(null);
  };
  if (!shown) return null;
  return html`<div class="columns">
    <section class="card" aria-labelledby="ask"><h2 id="ask">Request</h2>
      <${Form} model=${model} draft=${draft} busy=${running !== null} onDraft=${setDraft} onRun=${run} /></section>
    <section class=${running ? 'card stale' : 'card'} aria-labelledby="got"><h2 id="got">Answer</h2>
      <p class="hidden" role="status">${running ? 'Running' : spoken(outcome)}</p>
      <${Result} model=${model} outcome=${outcome} /></section>
    <section class="card wide" aria-labelledby="code"><h2 id="code">The request as code</h2>
      <${Snippets} model=${model} draft=${draft} keyed=${locked} /></section>
  </div>`;
}

async function outcomeOf(model, draft, key, signal) {
  try {
    const sent = await request(model, draft);
    const found = await predict(model, sent, key, signal);
    return { ...found, sent: shape(model, draft) };
  } catch (error) {
    return error.status === undefined ? { problem: error.message } : { refusal: error };
  }
}

/** What the answer is shown beside: the form's fields, also of a request that was sent as JSON. */
function shape(model, draft) {
  if (draft.mode === 'form') return { fields: draft.fields, image: draft.image };
  return { fields: read(taskOf(model), JSON.parse(draft.json)), image: null };
}

function spoken(outcome) {
  if (!outcome?.timing) return '';
  return `Answered in ${Math.round(outcome.timing.roundTrip)} milliseconds. ${outcome.text.slice(0, 200)}`;
}

function Snippets({ model, draft, keyed }) {
  const [panel, setPanel] = useState('curl');
  const [sent, setSent] = useState(null);
  useEffect(() => {
    let current = true;
    request(model, draft).then((made) => current && setSent(made), (error) => current && setSent({ problem: error.message }));
    return () => { current = false; };
  }, [model, draft]);
  if (!sent) return null;
  if (sent.problem) return html`<p class="muted">${sent.problem}</p>`;
  const code = (make, name) => () => html`<${Code} name=${`${name} code`} text=${make({ model, sent, keyed })} />`;
  const panels = Object.fromEntries(Object.entries(SNIPPETS).map(([name, make]) => [name, code(make, name)]));
  return html`<${Tabs} id="snippet" name="Language" panels=${panels} chosen=${panel} onChoose=${setPanel} />`;
}

render(html`<${App} />`, document.getElementById('app'));
