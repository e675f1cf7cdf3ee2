/* Which rows the timeline has: actions of the video, then each track with its actions and, where it is open, its parts. */
const RULER = 24, BAR = 15, HEAD = 24, GAP = 5;

/* Put intervals, sorted by start, into as few rows as hold them without overlap: [[...], ...]. */
function stacked(items, start, end) {
  const rows = [], ends = [];
  for (const item of items) {
    let row = ends.findIndex(last => last <= start(item) + 1e-6);
    if (row < 0) { row = rows.length; rows.push([]); }
    rows[row].push(item);
    ends[row] = end(item);
  }
  return rows;
}

const spanOf = ([label, score, start, end]) => ({label: readable(label), score, start, end});

function rowsOfTimeline(report, columns, tracks, filters) {
  const rows = [];
  let y = RULER + 4;
  const add = (kind, height, more) => { rows.push({kind, y, height, ...more}); y += height; };
  stacked(report.actions, a => a[2], a => a[3]).forEach((bars, i) =>
    add('actions', BAR + 3, {title: i ? '' : 'actions', bars: bars.map(spanOf), track: null}));
  if (report.actions.length) y += GAP;
  for (const track of tracks.values()) {
    if (!track.shown) continue;
    add('track', HEAD, {title: `#${track.track_id}`, track, bars: []});
    stacked(track.actions, a => a[2], a => a[3]).forEach((bars, i) =>
      add('actions', BAR + 3, {title: i ? '' : 'actions', bars: bars.map(spanOf), track}));
    if (track.open) track.parts.forEach((intervals, part) => {
      const shown = filters.parts[part] ? shownIntervals(columns, intervals, filters) : [];
      if (shown.length) { y += 3; addPart(report, columns, track, part, shown, add); }
    });
    y += GAP;
  }
  return {rows, height: y};
}

function addPart(report, c, track, part, intervals, add) {
  const [name, colour] = report.parts[part];
  stacked(intervals, i => c.i_start[i], i => c.i_end[i]).forEach((some, i) =>
    add('part', BAR, {title: i ? '' : readable(name), part, colour, track, intervals: some}));
}

function shownIntervals(c, intervals, filters) {
  const least = Math.round(filters.score * 255);
  return intervals.filter(i => filters.states[c.i_state[i]] && c.i_score[i] >= least);
}

/* The intervals of a track that hold at a time, as far as the filters show them. */
function heldAt(c, track, time, filters) {
  const held = [];
  track.parts.forEach((intervals, part) => {
    if (!filters.parts[part]) return;
    // Sorted by start: the latest begun come first, and few states of a part hold side by side.
    for (let k = lastAtMost(intervals, time, i => c.i_start[intervals[i]]), steps = 0; k >= 0 && steps < 64; k--, steps++) {
      const i = intervals[k];
      if (c.i_end[i] > time && filters.states[c.i_state[i]] && c.i_score[i] >= Math.round(filters.score * 255)) held.push(i);
    }
  });
  return held;
}
