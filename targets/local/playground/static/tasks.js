// What the page knows of each task: its fields, how they become a request and back, an example for
// a model that brings none, and the view of its answer.

import * as views from './views.js';

const line = (name, label) => ({ name, label, kind: 'line' });
const text = (name, label) => ({ name, label, kind: 'text' });
const lines = (name, label) => ({ name, label, kind: 'lines', hint: 'one a line' });

const one = (value) => (Array.isArray(value) ? value[0] : value);
const listed = (value) => [value].flat().join('\n');
const kept = (value) => value.split('\n').filter((entry) => entry.trim());

// `fields(inputs, parameters)` may throw where a request is not of the form's shape
const plain = { inputs: (f) => f.text, fields: (i) => ({ text: string(one(i)) }) };
const image = { image: true, form: [], inputs: () => undefined, fields: () => ({}) };

export const TASKS = {
  'question-answering': {
    form: [line('question', 'Question'), text('context', 'Context')],
    inputs: (f) => ({ question: f.question, context: f.context }),
    fields: (i) => ({ question: string(one(i).question), context: string(one(i).context) }),
    example: {
      inputs: {
        question: 'Where is the ferry going?',
        context: 'The ferry left the harbour at nine. It is going to the island with forty passengers and a piano.',
      },
    },
    hint: '{"top_k": 3}',
    view: views.answers,
  },
  'token-classification': {
    form: [text('text', 'Text')],
    ...plain,
    defaults: { aggregation_strategy: 'simple' },
    example: { inputs: 'Dolly Rebecca Parton was born in 1946 in Tennessee.' },
    view: views.entities,
  },
  'text-classification': {
    form: [text('text', 'Text')],
    ...plain,
    defaults: { top_k: null },
    example: { inputs: 'Thank you, that is very good to hear!' },
    view: views.labels,
  },
  'zero-shot-classification': {
    form: [text('text', 'Text'), lines('labels', 'Labels')],
    inputs: (f) => f.text,
    parameters: (f) => ({ candidate_labels: kept(f.labels) }),
    own: ['candidate_labels'],
    fields: (i, p) => ({ text: string(one(i)), labels: listed(split(p.candidate_labels)) }),
    example: {
      inputs: 'The last boat leaves at eleven.',
      parameters: { candidate_labels: ['travel', 'cooking', 'politics'] },
    },
    hint: '{"multi_label": true}',
    view: views.choices,
  },
  'fill-mask': {
    form: [text('text', 'Text with its mask token')],
    ...plain,
    example: { inputs: 'It is a [MASK] day.' },
    hint: '{"top_k": 5}',
    view: views.masks,
  },
  'feature-extraction': {
    form: [text('text', 'First text'), text('other', 'Second text')],
    inputs: (f) => [f.text, f.other],
    fields: (i) => ({ text: string([i].flat()[0]), other: string([i].flat()[1] ?? 'The boat is late.') }),
    example: { inputs: ['The ferry is late.', 'The boat has a delay.'] },
    hint: '{"normalize": true}',
    view: views.embeddings,
  },
  'sentence-similarity': {
    form: [line('source', 'Sentence'), lines('sentences', 'Compared with')],
    inputs: (f) => ({ source_sentence: f.source, sentences: kept(f.sentences) }),
    fields: (i) => ({ source: string(i.source_sentence), sentences: listed(i.sentences) }),
    example: {
      inputs: {
        source_sentence: 'The ferry is late.',
        sentences: ['The boat has a delay.', 'A piano needs tuning.', 'We will arrive on time.'],
      },
    },
    hint: '{"pooling": "mean"}',
    view: views.similarities,
  },
  'text-ranking': {
    form: [line('query', 'Query'), lines('documents', 'Documents')],
    inputs: (f) => ({ query: f.query, documents: kept(f.documents) }),
    fields: (i) => ({ query: string(i.query), documents: listed(i.documents) }),
    example: {
      inputs: {
        query: 'When does the ferry leave?',
        documents: ['The island has one piano.', 'Boats sail at nine and at noon.', 'Tickets are sold on board.'],
      },
    },
    hint: '{"top_k": 3}',
    view: views.ranking,
  },
  'image-classification': { ...image, hint: '{"top_k": 5}', view: views.labels },
  'object-detection': { ...image, hint: '{"threshold": 0.5}', view: views.boxes },
  'image-feature-extraction': { ...image, hint: '{"pool": true}', view: views.vectors },
  tensors: { view: views.tensors },
};

/** The task of a model; of a task that is the user's own, JSON in and out. */
export const taskOf = (model) => TASKS[model.task] ?? { view: views.none };

function string(value) {
  if (typeof value !== 'string') throw new TypeError('not a text');
  return value;
}

const split = (labels) => (typeof labels === 'string' ? labels.split(',').map((l) => l.trim()) : labels ?? []);
