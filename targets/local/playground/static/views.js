// The view of each task's answer, a function of (answer, sent): `sent` is the request, {fields,
// image}. Each throws where the answer is not of its shape; the page then shows the JSON.

import { html, useState } from './vendor/htm-preact.js';
import { cuts } from './marked.js';
import { Boxes } from './picture.js';
import { cosine, first, norm, shape, vector } from './vectors.js';

export const score = (value) => (Math.abs(value) < 1e-4 && value !== 0 ? value.toExponential(1) : value.toFixed(4));
const TONES = 6;

/** `rows`: [{label, score}]. The bar of a score from 0 to 1 is that long, others are relative. */
export function Bars({ rows, name, ordered }) {
  const [all, setAll] = useState(false);
  const scores = rows.map((row) => row.score);
  const [low, high] = [Math.min(0, ...scores), Math.max(1, ...scores)];
  const List = ordered ? 'ol' : 'ul';
  return html`
    <${List} class="bars" aria-label=${name}>
      ${rows.slice(0, all ? rows.length : 10).map((row) => html`
        <li>
          <span class="label">${row.label}</span><span class="number">${score(row.score)}</span>
          <span class="bar" aria-hidden="true"><i style=${{ width: `${(100 * (row.score - low)) / (high - low)}%` }} /></span>
        </li>`)}
    </${List}>
    ${rows.length > 10 && html`<button class="quiet" type="button" aria-expanded=${String(all)} onClick=${() => setAll(!all)}>
      ${all ? 'Show the first 10' : `Show all ${rows.length}`}</button>`}`;
}

function Marked({ text, spans, tag }) {
  return html`<p class="marked">${cuts(text, spans).map(({ text: cut, span }) =>
    span ? html`<mark class=${`tone${span.tone ?? 0}`}>${cut}${tag && html`<span class="tag">${tag(span)}</span>`}</mark>` : cut)}</p>`;
}

export function answers(answer, { fields }) {
  const found = checked([answer].flat(), (a) => typeof a.answer === 'string' && numbers(a.score, a.start, a.end));
  return html`<${Answers} found=${found} context=${fields.context} />`;
}

function Answers({ found, context }) {
  const [chosen, choose] = useState(0);
  const best = found[chosen] ?? found[0];
  return html`
    <p class="answer"><strong>${best.answer || 'no answer'}</strong><span class="number">${score(best.score)}</span></p>
    <${Marked} text=${context} spans=${[best]} />
    ${found.length > 1 && html`<ol class="choices" aria-label="Answers">${found.map((a, i) => html`
      <li><button type="button" aria-pressed=${String(a === best)} onClick=${() => choose(i)}>
        <span class="label">${a.answer || 'no answer'}</span><span class="number">${score(a.score)}</span></button></li>`)}</ol>`}`;
}

export function entities(answer, { fields }) {
  const found = [answer].flat(2).map((e) => ({ ...e, label: e.entity_group ?? e.entity }));
  checked(found, (e) => typeof e.label === 'string' && numbers(e.score, e.start, e.end));
  if (!found.length) return html`<${Marked} text=${fields.text} spans=${[]} /><p class="muted">No entities.</p>`;
  const kinds = [...new Set(found.map(kind))];
  const spans = found.map((e) => ({ ...e, tone: kinds.indexOf(kind(e)) % TONES }));
  const words = Array.from(fields.text);
  return html`
    <${Marked} text=${fields.text} spans=${spans} tag=${(e) => `${e.label} ${e.score.toFixed(2)}`} />
    <${Bars} name="Entities" rows=${found.map((e) => ({ label: `${words.slice(e.start, e.end).join('')} · ${e.label}`, score: e.score }))} />`;
}

const kind = (entity) => entity.label.replace(/^[BIES]-/, '');

export function labels(answer) {
  const rows = checked([answer].flat(2), (row) => typeof row.label === 'string' && numbers(row.score));
  return html`<${Bars} name="Labels" rows=${rows} />`;
}

export function choices(answer) {
  const found = [answer].flat()[0];
  return html`<${Bars} name="Labels" rows=${checked(found.labels.map((label, i) => ({ label, score: found.scores[i] })))} />`;
}

export function masks(answer) {
  const all = Array.isArray(answer[0]) ? answer : [answer];
  return all.map((found, i) => html`
    ${all.length > 1 && html`<h3>Mask ${i + 1}</h3>`}
    <${Bars} name="Candidates" rows=${checked(found.map((f) => ({ label: f.token_str, score: f.score })))} />
    ${all.length === 1 && found[0] && html`<p class="marked">${found[0].sequence}</p>`}`);
}

export function embeddings(answer) {
  const [a, b] = answer.slice(0, 2).map(vector);
  const likeness = cosine(a, b);
  return html`
    <p class="answer"><strong>${likeness.toFixed(4)}</strong><span class="muted">cosine of the two embeddings</span></p>
    <${Bars} name="Cosine" rows=${[{ label: 'cosine', score: likeness }]} />
    <${Numbers} vectors=${[a, b]} names=${['First text', 'Second text']} />
    ${Array.isArray(answer[0][0]) && html`<p class="muted">The model gives a vector for each token; compared are their means.</p>`}`;
}

export function vectors(answer) {
  return html`<p class="answer"><strong>${shape(answer).join(' × ')}</strong><span class="muted">numbers</span></p>
    <${Numbers} vectors=${[vector(answer)]} names=${['Mean vector']} />`;
}

function Numbers({ vectors: rows, names }) {
  return html`<dl class="facts">${rows.map((row, i) => html`
    <dt>${names[i]}</dt><dd>${row.length} dimensions, length ${norm(row).toFixed(4)}<code>${first(row)}</code></dd>`)}</dl>`;
}

export function similarities(answer, { fields }) {
  const sentences = fields.sentences.split('\n').filter((s) => s.trim());
  return html`<${Bars} name="Similarities" rows=${checked(answer.map((value, i) => ({ label: sentences[i], score: value })))} />`;
}

export function ranking(answer, { fields }) {
  const documents = fields.documents.split('\n').filter((d) => d.trim());
  const rows = (answer.results ?? answer).map((r) => ({ label: documents[r.index], score: r.score ?? r.relevance_score }));
  return html`<${Bars} ordered name="Ranked documents" rows=${checked(rows)} />`;
}

export function boxes(answer, { image }) {
  const found = checked([answer].flat(), (b) => typeof b.label === 'string' && numbers(b.score, b.box.xmin, b.box.ymax));
  const kinds = [...new Set(found.map((b) => b.label))];
  const rows = found.map((b) => ({ ...b, tone: kinds.indexOf(b.label) % TONES }));
  const bars = found.length ? html`<${Bars} name="Objects" rows=${rows} />` : html`<p class="muted">No object above the threshold.</p>`;
  return html`${image && html`<${Boxes} image=${image} found=${rows} />`}${bars}`;
}

export function tensors(answer) {
  const rows = Object.entries(answer);
  return html`<dl class="facts">${rows.map(([name, value]) => html`
    <dt>${name}</dt><dd>${shape(value).join(' × ') || 'one value'}<code>${first([value].flat(Infinity))}</code></dd>`)}</dl>`;
}

export function none() {
  throw new TypeError('a task of the user’s own');
}

const numbers = (...values) => values.every((value) => typeof value === 'number');

function checked(rows, fits = (row) => typeof row.label === 'string' && numbers(row.score)) {
  if (!rows.every(fits)) throw new TypeError('another shape');
  return rows;
}
