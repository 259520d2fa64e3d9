// A draft is what the page holds of one model's request, {mode: 'form' | 'json', fields,
// parameters, json, image}, and how that becomes the bytes that are sent.

import { pretty } from './json_text.js';
import { taskOf } from './tasks.js';

/** The draft of a model's example. */
export function first(model) {
  const task = taskOf(model);
  const example = body(model, task) || task.example || skeleton(model);
  const given = { ...task.defaults, ...example.parameters };
  const draft = { mode: task.form ? 'form' : 'json', fields: blank(task), parameters: '', json: '', image: null };
  draft.parameters = written(without(given, task.own));
  if (task.image) draft.image = picture(example.inputs);
  else if (task.form) draft.fields = read(task, example) ?? draft.fields;
  return draft.mode === 'json' ? { ...draft, json: pretty(JSON.stringify(example)) } : draft;
}

/** The request: {body, type, json} or, of a picture without parameters, {body, type, file}. Throws
 * SyntaxError that names the field which is no JSON, or Error for what is missing. */
export async function request(model, draft) {
  const type = 'application/json';
  if (draft.mode === 'json') {
    parse(draft.json, 'The JSON request');
    return { body: draft.json, type, json: draft.json };
  }
  const task = taskOf(model);
  const parameters = { ...parse(draft.parameters.trim() || '{}', 'Parameters'), ...task.parameters?.(draft.fields) };
  const asked = Object.keys(parameters).length > 0;
  if (task.image && !draft.image) throw new Error('Choose, drop or paste a picture first.');
  if (task.image && !asked) {
    const { file, name } = draft.image;
    return { body: file, type: file.type || 'application/octet-stream', file: name };
  }
  const inputs = task.image ? await base64(draft.image.file) : task.inputs(draft.fields);
  const json = JSON.stringify(asked ? { inputs, parameters } : { inputs });
  return { body: json, type, json };
}

/** The form's fields of a JSON request, or null if it has another shape. */
export function read(task, example) {
  try {
    return task.fields(example.inputs ?? example, example.parameters ?? {});
  } catch {
    return null;
  }
}

export function parse(text, what) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new SyntaxError(`${what}: ${error.message}`);
  }
}

const blank = (task) => Object.fromEntries((task.form ?? []).map((field) => [field.name, '']));
const written = (value) => (Object.keys(value).length ? JSON.stringify(value) : '');
const without = (value, names = []) =>
  Object.fromEntries(Object.entries(value).filter(([name]) => !names.includes(name)));

/** An example of GET /models, {content_type, body | body_base64}, as a JSON body. */
function body(model, task) {
  const example = model.example;
  if (!example) return undefined;
  if (example.body_base64) return task.image && { inputs: example.body_base64 };
  return typeof example.body === 'string' ? { inputs: example.body } : example.body;
}

/** A request for a model without an example: names of its arrays, to be filled in. */
const skeleton = (model) => ({ inputs: Object.fromEntries((model.inputs ?? []).map(({ name }) => [name, []])) });

const MAGIC = [['iVBOR', 'image/png'], ['/9j/', 'image/jpeg'], ['UklGR', 'image/webp'], ['R0lGOD', 'image/gif']];

/** An example's picture, of base64. */
function picture(inputs) {
  try {
    const encoded = inputs.replace(/^data:[^,]*,/, '');
    const type = MAGIC.find(([start]) => encoded.startsWith(start))?.[1] ?? 'application/octet-stream';
    const bytes = Uint8Array.from(atob(encoded), (c) => c.charCodeAt(0));
    const name = `example.${type.split('/')[1].replace('jpeg', 'jpg')}`;
    return { file: new Blob([bytes], { type }), name };
  } catch {
    return null;
  }
}

function base64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(',') + 1));
    reader.onerror = () => reject(new Error('The picture cannot be read; choose it again.'));
    reader.readAsDataURL(file);
  });
}
