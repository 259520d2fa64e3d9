// The request's side of the page.

import { html } from './vendor/htm-preact.js';
import { read, request } from './draft.js';
import { Tabs } from './parts.js';
import { Drop } from './picture.js';
import { pretty } from './json_text.js';
import { taskOf } from './tasks.js';

/** `onDraft` gets the whole draft with its change, `onRun` nothing. */
export function Form({ model, draft, busy, onDraft, onRun }) {
  const task = taskOf(model);
  const change = (part) => onDraft({ ...draft, ...part });
  const panels = { JSON: () => html`<${Json} draft=${draft} change=${change} />` };
  const form = () => html`<${Fields} task=${task} draft=${draft} change=${change} />`;
  const switched = async (panel) => change(panel === 'JSON' ? await toJson(model, draft) : toForm(task, draft));
  const run = (event) => {
    event.preventDefault();
    onRun();
  };
  const shortcut = (event) => event.key === 'Enter' && (event.ctrlKey || event.metaKey) && run(event);
  return html`<form onSubmit=${run} onKeyDown=${shortcut} aria-label="Request">
    ${task.form
      ? html`<${Tabs} id="request" name="Request as" panels=${{ Form: form, ...panels }} chosen=${draft.mode === 'form' ? 'Form' : 'JSON'} onChoose=${switched} />`
      : panels.JSON()}
    <p class="run"><button class="primary" type="submit" aria-busy=${String(busy)}>${busy ? 'Running…' : 'Run'}</button>
      <span class="muted">or <kbd>Ctrl</kbd> <kbd>Enter</kbd></span></p>
  </form>`;
}

/** JSON starts as what the form would send, with a picture left out: it is long. */
async function toJson(model, draft) {
  const json = await request(model, draft).then((sent) => sent.json, () => undefined);
  return { mode: 'json', json: json ? pretty(json) : draft.json || '{"inputs": ""}' };
}

function toForm(task, draft) {
  try {
    const sent = JSON.parse(draft.json);
    const rest = { ...sent.parameters };
    for (const name of task.own ?? []) delete rest[name];
    const parameters = Object.keys(rest).length ? JSON.stringify(rest) : '';
    return { mode: 'form', fields: read(task, sent) ?? draft.fields, parameters };
  } catch {
    return { mode: 'form' };
  }
}

function Fields({ task, draft, change }) {
  const set = (name) => (event) => change({ fields: { ...draft.fields, [name]: event.target.value } });
  return html`
    ${task.image && html`<${Drop} image=${draft.image} onImage=${(image) => change({ image })} />`}
    ${task.form.map((field) => html`<${Field} field=${field} value=${draft.fields[field.name]} onInput=${set(field.name)} />`)}
    <label for="parameters">Parameters <span class="muted">JSON, may be empty</span></label>
    <input id="parameters" class="mono" spellcheck="false" autocomplete="off" value=${draft.parameters} placeholder=${task.hint ?? ''}
      onInput=${(event) => change({ parameters: event.target.value })} />`;
}

function Field({ field, value, onInput }) {
  const id = `field-${field.name}`;
  const shared = { id, value, onInput };
  const rows = field.kind === 'lines' ? 4 : 5;
  return html`<label for=${id}>${field.label} ${field.hint && html`<span class="muted">${field.hint}</span>`}</label>
    ${field.kind === 'line' ? html`<input ...${shared} autocomplete="off" />` : html`<textarea ...${shared} rows=${rows} />`}`;
}

function Json({ draft, change }) {
  return html`<label for="json">JSON request</label>
    <textarea id="json" class="mono" rows="14" spellcheck="false" value=${draft.json}
      onInput=${(event) => change({ json: event.target.value })} />`;
}
