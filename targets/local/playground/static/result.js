// The answer's side of the page.

import { html, useState } from './vendor/htm-preact.js';
import { pretty } from './json_text.js';
import { Code, Tabs } from './parts.js';
import { taskOf } from './tasks.js';

/** `outcome`: {text, answer, timing, sent} or {refusal} or {problem}. */
export function Result({ model, outcome }) {
  const [panel, setPanel] = useState('Answer');
  if (!outcome) return html`<p class="empty">The answer comes here.</p>`;
  if (outcome.problem) return html`<div class="error" role="alert"><p>${outcome.problem}</p></div>`;
  if (outcome.refusal) return html`<${Refused} refusal=${outcome.refusal} />`;
  const view = seen(model, outcome);
  const json = () => html`<${Code} name="answer" text=${outcome.answer === undefined ? outcome.text : pretty(outcome.text)} />`;
  const panels = view ? { Answer: () => view, JSON: json } : { JSON: json };
  const chosen = panel in panels ? panel : 'JSON';
  return html`<${Tabs} id="answer" name="Answer as" panels=${panels} chosen=${chosen} onChoose=${setPanel} />
    <${Latency} timing=${outcome.timing} />`;
}

function seen(model, { answer, sent }) {
  try {
    return taskOf(model).view(answer, sent);
  } catch {
    return null; // not of the form's shape: the JSON tells it
  }
}

function Refused({ refusal }) {
  const { status, code, message, id, retry } = refusal;
  return html`<div class="error" role="alert">
    <p><strong>${status ? `${status} ${code}` : 'No answer'}</strong></p>
    <p class="message">${message}</p>
    ${retry && html`<p>Try again in ${retry} s.</p>`}
    ${id && html`<p class="muted">Request <code>${id}</code></p>`}
  </div>`;
}

const ms = (value) => `${value < 10 ? value.toFixed(2) : value.toFixed(1)} ms`;

function Latency({ timing }) {
  const rows = [...timing.stages, { name: 'outside', ms: timing.outside }];
  const whole = rows.reduce((sum, row) => sum + row.ms, 0) || 1;
  const part = (row) => html`<i class=${`stage ${row.name}`} style=${{ width: `${(100 * row.ms) / whole}%` }} />`;
  const line = (row) => html`<tr>
    <th scope="row"><i class=${`stage ${row.name}`} aria-hidden="true" />${row.name}</th>
    <td class="number">${ms(row.ms)}</td></tr>`;
  return html`<section class="latency" aria-labelledby="latency">
    <h3 id="latency">Latency <span class="number">${ms(timing.roundTrip)}</span></h3>
    <div class="stack" aria-hidden="true">${rows.map(part)}</div>
    <table><thead class="hidden"><tr><th>Stage</th><th>Time</th></tr></thead><tbody>${rows.map(line)}</tbody></table>
    <p class="muted">outside: HTTP, network and this browser.${timing.cpu && ` CPU ${timing.cpu}.`}</p>
    ${timing.id && html`<p class="muted">Request <code>${timing.id}</code></p>`}
  </section>`;
}
