// Pictures: chosen, dropped or pasted ones, and what was found in them.

import { html, useEffect, useState } from './vendor/htm-preact.js';

/** A URL of the picture while it is shown. */
function useUrl(file) {
  const [url, setUrl] = useState('');
  useEffect(() => {
    const made = URL.createObjectURL(file);
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [file]);
  return url;
}

const pictureOf = (transfer) => [...(transfer?.files ?? [])].find((file) => file.type.startsWith('image/'));

/** Where a picture is dropped or chosen; one that is pasted anywhere on the page counts too. */
export function Drop({ image, onImage }) {
  const [over, setOver] = useState(false);
  const take = (file) => file && onImage({ file, name: file.name || 'picture.png' });
  useEffect(() => {
    const pasted = (event) => take(pictureOf(event.clipboardData));
    document.addEventListener('paste', pasted);
    return () => document.removeEventListener('paste', pasted);
  });
  useEffect(() => {
    // beside the field the browser would open the picture in place of the page
    const kept = (event) => event.preventDefault();
    for (const event of ['dragover', 'drop']) document.addEventListener(event, kept);
    return () => ['dragover', 'drop'].forEach((event) => document.removeEventListener(event, kept));
  }, []);
  const dragged = (is) => (event) => {
    event.preventDefault();
    setOver(is);
  };
  const dropped = (event) => {
    dragged(false)(event);
    take(pictureOf(event.dataTransfer));
  };
  return html`
    <div class=${over ? 'drop over' : 'drop'} onDragOver=${dragged(true)} onDragLeave=${dragged(false)} onDrop=${dropped}>
      ${image && html`<${Thumbnail} image=${image} />`}
      <input id="picture" class="hidden" type="file" accept="image/*" aria-describedby="picture-hint"
        onChange=${(event) => take(event.target.files[0])} />
      <label for="picture">${image ? 'Choose another picture' : 'Choose a picture'}</label>
      <p class="muted" id="picture-hint">or drop it here, or paste it</p>
    </div>`;
}

function Thumbnail({ image }) {
  const url = useUrl(image.file);
  return html`<figure>${url && html`<img src=${url} alt="" />`}
    <figcaption class="muted">${image.name}, ${Math.ceil(image.file.size / 1024)} kB</figcaption></figure>`;
}

/** `found`: [{label, score, tone, box: {xmin, ymin, xmax, ymax}}] in pixels of the picture. */
export function Boxes({ image, found }) {
  const url = useUrl(image.file);
  const [size, setSize] = useState(null);
  const loaded = ({ target }) => setSize([target.naturalWidth, target.naturalHeight]);
  const alt = `${image.name}${found.length ? ` with ${found.map((b) => b.label).join(', ')} marked` : ''}`;
  return html`<div class="boxes">
    ${url && html`<img src=${url} alt=${alt} onLoad=${loaded} />`}
    ${size && found.map((b) => html`<div class=${`box tone${b.tone}`} style=${place(b.box, size)} aria-hidden="true">
      <span class="tag">${b.label} ${b.score.toFixed(2)}</span></div>`)}
  </div>`;
}

function place({ xmin, ymin, xmax, ymax }, [width, height]) {
  const part = (value, whole) => `${(100 * value) / whole}%`;
  return { left: part(xmin, width), top: part(ymin, height), width: part(xmax - xmin, width), height: part(ymax - ymin, height) };
}
