// JSON as text, so that what a number looked like (1.0, or an integer beyond 2^53) stays as it is.

const TOKENS = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s"{}[\],:]+/g;

/** Valid JSON with one member a line; a list or object without lists or objects in it on one line. */
export function pretty(text, step = '  ', width = 88) {
  const tokens = text.match(TOKENS) ?? [];
  let at = 0;
  const value = (depth) => {
    const token = tokens[at++];
    return token === '{' || token === '[' ? group(token, depth) : token;
  };
  const group = (open, depth) => {
    const close = open === '{' ? '}' : ']';
    const members = [];
    while (tokens[at] !== close && at < tokens.length) {
      let member = value(depth + 1);
      if (tokens[at] === ':') {
        at++;
        member += `: ${value(depth + 1)}`;
      }
      members.push(member);
      if (tokens[at] === ',') at++;
    }
    at++;
    const line = `${open}${members.join(', ')}${close}`;
    const flat = !line.includes('\n') && (line.length + step.length * depth <= width || !/[[{]/.test(line.slice(1)));
    const indent = step.repeat(depth);
    return flat ? line : `${open}\n${members.map((m) => `${indent}${step}${m}`).join(',\n')}\n${indent}${close}`;
  };
  return value(0) ?? '';
}

const LITERALS = { true: 'True', false: 'False', null: 'None' };

/** The same value as a Python expression. */
export function python(text) {
  const written = (token) => (token[0] === '"' ? JSON.stringify(JSON.parse(token)) : LITERALS[token] ?? token);
  return pretty(text, '    ').replace(/"(?:[^"\\]|\\.)*"|true|false|null/g, written);
}
