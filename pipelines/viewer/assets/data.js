'use strict';
/* The report's data: columns of numbers unpacked, and intervals and spans gathered by track. */

const KINDS = {float32: Float32Array, int32: Int32Array, int16: Int16Array, uint8: Uint8Array};

async function unpack({layout, data}) {
  const text = atob(data), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const inflated = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'));
  const buffer = await new Response(inflated).arrayBuffer();
  const columns = {};
  let offset = 0;
  for (const [name, kind, length] of layout) {
    columns[name] = new KINDS[kind](buffer, offset, length);
    offset += Math.ceil(length * KINDS[kind].BYTES_PER_ELEMENT / 4) * 4;
  }
  return columns;
}

/* Track by track: when it is seen, and for each part its intervals, in rows within which none overlap. */
function gatherTracks(report, c) {
  const tracks = new Map();
  report.tracks.forEach((track, order) => tracks.set(track.track_id, {
    ...track, order, shown: true, open: report.tracks.length <= 6, spans: [], parts: report.parts.map(() => []),
  }));
  for (let i = 0; i < c.s_track.length; i++) tracks.get(c.s_track[i])?.spans.push([c.s_start[i], c.s_end[i]]);
  for (let i = 0; i < c.i_track.length; i++) tracks.get(c.i_track[i])?.parts[c.i_part[i]].push(i);
  return tracks;
}

/* Index of the last value that is at most `x`; -1 where there is none. */
function lastAtMost(sorted, x, get = i => sorted[i]) {
  let low = 0, high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (get(middle) <= x) low = middle + 1; else high = middle;
  }
  return low - 1;
}

function clock(seconds, digits = 2) {
  const s = Math.max(0, seconds), unit = 10 ** digits, total = Math.round(s * unit), minutes = Math.floor(total / (60 * unit));
  const rest = ((total - minutes * 60 * unit) / unit).toFixed(digits).padStart(digits ? digits + 3 : 2, '0');
  const hours = Math.floor(minutes / 60);
  return hours ? `${hours}:${String(minutes % 60).padStart(2, '0')}:${rest}` : `${minutes}:${rest}`;
}

const readable = name => name.replaceAll('_', ' ');

/* An element with text; text is never markup. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name in made && name !== 'list') made[name] = value; else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}
