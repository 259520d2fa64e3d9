// Parts that the page uses in several places.

import { html, useRef, useState } from './vendor/htm-preact.js';

/** Tabs of `panels`, {name: () => content}; arrow keys, Home and End move between them. */
export function Tabs({ id, name, panels, chosen, onChoose, extra }) {
  const list = useRef();
  const names = Object.keys(panels);
  const at = names.indexOf(chosen);
  const moves = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: names.length - 1 };
  const key = (event) => {
    if (!(event.key in moves)) return;
    event.preventDefault();
    const next = (moves[event.key] + names.length) % names.length;
    onChoose(names[next]);
    list.current.children[next].focus();
  };
  const tab = (panel) => html`<button type="button" role="tab" id=${`${id}-${panel}`} aria-controls=${`${id}-panel`}
    aria-selected=${String(panel === chosen)} tabindex=${panel === chosen ? 0 : -1} onClick=${() => onChoose(panel)}>${panel}</button>`;
  return html`
    <div class="tabs"><div role="tablist" aria-label=${name} ref=${list} onKeyDown=${key}>${names.map(tab)}</div>${extra}</div>
    <div role="tabpanel" id=${`${id}-panel`} aria-labelledby=${`${id}-${chosen}`}>${panels[chosen]()}</div>`;
}

/** `text` in a box that scrolls, with a button that copies the whole of it. */
export function Code({ text, name, limit = 20000 }) {
  const cut = text.length > limit;
  return html`<div class="code">
    <${Copy} text=${text} name=${name} />
    <pre tabindex="0" role="region" aria-label=${name}><code>${cut ? text.slice(0, limit) : text}</code></pre>
    ${cut && html`<p class="muted">The first ${limit} of ${text.length} characters; Copy takes all.</p>`}
  </div>`;
}

function Copy({ text, name }) {
  const [said, say] = useState('');
  const copy = async () => {
    say((await copied(text)) ? 'Copied' : 'Not allowed');
    setTimeout(() => say(''), 2000);
  };
  return html`<button class="quiet copy" type="button" aria-label=${`Copy ${name}`} onClick=${copy}>${said || 'Copy'}</button>
    <span class="hidden" role="status">${said}</span>`;
}

/** The clipboard's interface is for https and localhost only; elsewhere a selection is copied. */
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const back = document.activeElement;
    const area = Object.assign(document.createElement('textarea'), { value: text, className: 'hidden' });
    document.body.append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    back?.focus();
    return done;
  }
}
