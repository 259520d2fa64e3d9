// The request that the form makes, in other clients' words.

import { pathOf } from './api.js';
import { python } from './json_text.js';

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const url = (model) => new URL(pathOf(model), document.baseURI).href;

/** `sent`: {json} or {file, type}; `keyed`: whether the server wants a key. */
export const SNIPPETS = { curl, Python: httpx, boto3, az };

function curl({ model, sent, keyed }) {
  const data = sent.file ? `--data-binary @${quoted(sent.file)}` : `--data-raw ${quoted(sent.json)}`;
  const key = keyed ? ['-H "Authorization: Bearer $API_KEY"'] : [];
  const lines = [`curl -sS ${quoted(url(model))}`, `-H 'Content-Type: ${sent.type}'`, ...key, data];
  return lines.join(' \\\n  ');
}

function httpx({ model, sent, keyed }) {
  const headers = [
    ...(sent.file ? [`"Content-Type": "${sent.type}"`] : []),
    ...(keyed ? [`"Authorization": f"Bearer {os.environ['API_KEY']}"`] : []),
  ];
  const body = sent.file ? `content=Path(${JSON.stringify(sent.file)}).read_bytes()` : `json=${inner(python(sent.json))}`;
  return [
    ...(keyed ? ['import os'] : []),
    ...(sent.file ? ['from pathlib import Path'] : []),
    ...(keyed || sent.file ? [''] : []),
    'import httpx  # or requests, with the same arguments' + (sent.file ? ' (data= for content=)' : ''),
    '',
    'response = httpx.post(',
    `    ${JSON.stringify(url(model))},`,
    `    ${body},`,
    ...(headers.length ? [`    headers={${headers.join(', ')}},`] : []),
    '    timeout=60,',
    ')',
    'response.raise_for_status()',
    'print(response.json())',
  ].join('\n');
}

function boto3({ model, sent }) {
  const body = sent.file ? `Path(${JSON.stringify(sent.file)}).read_bytes()` : `json.dumps(${inner(python(sent.json))})`;
  return [
    'import json',
    ...(sent.file ? ['from pathlib import Path'] : []),
    '',
    'import boto3',
    '',
    'runtime = boto3.client("sagemaker-runtime")',
    'response = runtime.invoke_endpoint(',
    `    EndpointName=${JSON.stringify(model.name)},  # your endpoint's name`,
    `    ContentType=${JSON.stringify(sent.type)},`,
    `    Body=${body},`,
    ')',
    'print(json.loads(response["Body"].read()))',
  ].join('\n');
}

function az({ model, sent }) {
  const base64 = `printf '{"inputs": "%s"}' "$(base64 < ${quoted(sent.file ?? '')} | tr -d '\\n')" > request.json`;
  const written = sent.file ? base64 : `cat > request.json <<'JSON'\n${sent.json}\nJSON`;
  const lines = [
    `az ml online-endpoint invoke --name ${quoted(model.name)}`,
    '--resource-group "$RESOURCE_GROUP" --workspace-name "$WORKSPACE"',
    '--request-file request.json',
  ];
  return `${written}\n${lines.join(' \\\n  ')}`;
}

const inner = (text) => text.replaceAll('\n', '\n    ');
