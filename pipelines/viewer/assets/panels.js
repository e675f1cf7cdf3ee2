/* What stands beside the timeline: filters, tracks, tables. */
const PAGE_ROWS = 200;  // rows that a table shows at a time

function buildFilter(field, names, chosen, colours, changed) {
  const boxes = names.map((name, i) => {
    const box = element('input', {type: 'checkbox', checked: chosen[i]});
    box.addEventListener('change', () => { chosen[i] = box.checked; changed(); });
    const dot = element('span', {className: 'dot'});
    dot.style.background = colours[i];
    field.append(element('label', {}, box, dot, readable(name)));
    return box;
  });
  field.querySelector('button').addEventListener('click', event => {
    const all = chosen.every(Boolean);
    boxes.forEach((box, i) => { box.checked = chosen[i] = !all; });
    event.target.textContent = all ? 'All' : 'None';
    changed();
  });
  field.querySelector('button').textContent = 'None';
}

function buildTrack(report, track, chosen, changed) {
  const box = element('input', {type: 'checkbox', checked: true});
  box.addEventListener('change', () => { track.shown = box.checked; changed(); });
  const dot = element('span', {className: 'dot'}), held = element('div', {className: 'held'});
  dot.style.background = track.colour;
  const address = report.pictures[track.track_id];
  const picture = address ? element('img', {src: address, alt: `Person of track ${track.track_id}`}) : element('span', {className: 'blank'}, `#${track.track_id}`);
  const go = element('button', {type: 'button'}, clock(track.start_s, 1));
  go.setAttribute('aria-label', `Go to the beginning of track ${track.track_id}`);
  go.addEventListener('click', () => chosen(track));
  const words = [...track.actions].sort((a, b) => b[1] - a[1]).slice(0, 2).map(a => `${readable(a[0])} ${a[1].toFixed(2)}`).join(', ');
  const facts = `${clock(track.end_s - track.start_s, 1)} long, ${track.num_frames} frames, score ${track.mean_score.toFixed(2)}${words ? `, ${words}` : ''}`;
  const body = element('div', {}, element('label', {}, box, dot, `#${track.track_id}`), ' ', go, element('p', {}, facts), held);
  Object.assign(track, {box, held, item: element('li', {}, picture, body)});
  return track.item;
}

/* What a person does now, as chips; rewritten only where it changed. */
function showHeld(report, c, track, held) {
  const key = held.join();
  if (track.heldKey === key) return;
  track.heldKey = key;
  track.held.replaceChildren(...held.map(i => {
    const chip = element('span', {className: 'chip'}, `${readable(report.parts[c.i_part[i]][0])}: ${readable(report.states[c.i_state[i]][0])}`);
    chip.style.background = report.states[c.i_state[i]][1];
    return chip;
  }));
}

function buildTable(caption, heads, rows, note = '') {
  const number = k => rows.length && typeof rows[0][k] === 'number';
  const row = (cells, tag) => element('tr', {}, ...cells.map((cell, k) =>
    element(tag, {className: number(k) ? 'number' : '', ...(tag === 'th' ? {scope: 'col'} : {})}, typeof cell === 'number' ? String(cell) : cell)));
  const table = element('table', {}, element('caption', {}, caption + note), element('thead', {}, row(heads, 'th')));
  table.append(element('tbody', {}, ...rows.map(cells => row(cells, 'td'))));
  return table;
}

/* A table that is made when it is opened, a part of it at a time. */
function lazyTable(details, make) {
  let page = 0;
  const place = details.querySelector('div');
  const fill = () => {
    if (!details.open) return;
    const {caption, heads, rows} = make(), pages = Math.max(1, Math.ceil(rows.length / PAGE_ROWS));
    page = Math.min(page, pages - 1);
    const from = page * PAGE_ROWS, some = rows.slice(from, from + PAGE_ROWS).map(cells => cells.map(cell => typeof cell === 'function' ? cell() : cell));
    const note = pages > 1 ? ` (rows ${from + 1} to ${from + some.length} of ${rows.length})` : '';
    const turn = (text, step) => {
      const button = element('button', {type: 'button', disabled: page + step < 0 || page + step >= pages}, text);
      button.addEventListener('click', () => { page += step; fill(); });
      return button;
    };
    place.replaceChildren(buildTable(caption, heads, some, note), ...(pages > 1 ? [turn('Earlier rows', -1), ' ', turn('More rows', 1)] : []));
  };
  details.addEventListener('toggle', fill);
  return fill;
}

function totalsOf(report, tracks) {
  const sums = new Map();
  for (const [track, part, state, seconds, count] of report.totals) {
    if (!tracks.get(track)?.shown) continue;
    const key = `${part}\n${state}`, before = sums.get(key) ?? [part, state, 0, 0];
    sums.set(key, [part, state, before[2] + seconds, before[3] + count]);
  }
  return [...sums.values()].sort((a, b) => b[2] - a[2]);
}
