// Marks in a text. The server counts code points, JavaScript's strings count UTF-16 units.

/** `text` cut at `spans` ({start, end} in code points): [{text, span?}]. A span that overlaps an
 * earlier one, or is not in the text, is left out. */
export function cuts(text, spans) {
  const points = Array.from(text);
  const parts = [];
  let at = 0;
  const add = (end, span) => {
    if (end > at) parts.push({ text: points.slice(at, end).join(''), span });
    at = Math.max(at, end);
  };
  const inOrder = [...spans].sort((a, b) => a.start - b.start || b.end - a.end);
  for (const span of inOrder) {
    if (span.start < at || span.end > points.length || span.end <= span.start) continue;
    add(span.start);
    add(span.end, span);
  }
  add(points.length);
  return parts;
}
