// Arithmetic on answers that are numbers.

/** The sizes of nested lists. */
export const shape = (value) => (Array.isArray(value) ? [value.length, ...shape(value[0])] : []);

/** One vector of nested lists: the mean over all but the last axis. */
export function vector(value) {
  if (!Array.isArray(value[0])) return value;
  const rows = value.map(vector);
  return rows[0].map((_, i) => rows.reduce((sum, row) => sum + row[i], 0) / rows.length);
}

const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
export const norm = (a) => Math.sqrt(dot(a, a));
export const cosine = (a, b) => dot(a, b) / (norm(a) * norm(b) || 1);

/** The first numbers, to read. */
export function first(values, count = 6) {
  const shown = values.slice(0, count).map((v) => (typeof v === 'number' && !Number.isInteger(v) ? v.toFixed(4) : String(v)));
  return shown.join(', ') + (values.length > count ? ', …' : '');
}
