/* The timeline on a canvas of the size of what is seen of it, whatever the number of tracks. */
class Timeline {
  constructor(report, columns, tracks, filters, duration, box, canvas) {
    Object.assign(this, {report, columns, tracks, filters, duration, box, canvas});
    this.pen = canvas.getContext('2d');
    this.from = 0;
    this.to = duration;
    this.time = 0;
    this.chosen = null;
    this.arrange();
  }

  get width() { return this.canvas.clientWidth; }
  get left() { return this.width < 560 ? 84 : 128; }
  x(time) { return this.left + (time - this.from) / (this.to - this.from) * (this.width - this.left - 8); }
  timeAt(x) { return this.from + (x - this.left) / (this.width - this.left - 8) * (this.to - this.from); }

  arrange() {
    const {rows, height} = rowsOfTimeline(this.report, this.columns, this.tracks, this.filters);
    this.rows = rows;
    this.height = Math.max(height, 90);
    this.view = Math.min(this.height, Math.max(160, window.innerHeight * 0.62));
    this.canvas.style.height = `${this.view}px`;
    document.getElementById('spacer').style.height = `${this.height - this.view}px`;
  }

  /* Show `factor` of the time that is shown now, around the moment. */
  zoom(factor, around = this.time) {
    const span = Math.min(this.duration, Math.max((this.to - this.from) * factor, Math.min(this.duration, 0.5)));
    const share = Math.min(1, Math.max(0, (around - this.from) / (this.to - this.from)));
    this.from = Math.min(Math.max(0, around - share * span), this.duration - span);
    this.to = this.from + span;
  }

  move(time) {
    this.time = time;
    const span = this.to - this.from;
    if (time >= this.from && time <= this.to) return;
    this.from = Math.min(Math.max(0, time - span * 0.1), this.duration - span);
    this.to = this.from + span;
  }

  /* What lies under a point of the canvas: {time, row, label}. */
  under(x, y) {
    const time = this.timeAt(x), at = y < RULER ? -1 : y + this.box.scrollTop;
    const row = this.rows.find(one => at >= one.y && at < one.y + one.height);
    if (!row || x < this.left) return {time, row, label: ''};
    const who = row.track ? `#${row.track.track_id} · ` : '';
    if (row.kind === 'part') {
      const c = this.columns, slack = (this.to - this.from) / this.width, k = lastAtMost(row.intervals, time, i => c.i_start[row.intervals[i]]);
      const hit = [k, k + 1].map(n => row.intervals[n]).find(i => i !== undefined && c.i_start[i] <= time + slack && c.i_end[i] > time - slack);
      return {time, row, label: hit === undefined ? '' : `${who}${this.words(hit)}`};
    }
    const bar = row.bars.find(one => one.start <= time && one.end > time);
    return {time, row, label: bar ? `${who}${bar.label} · ${clock(bar.start)} to ${clock(bar.end)} · ${bar.score.toFixed(2)}` : ''};
  }

  words(i) {
    const c = this.columns, name = kind => readable(this.report[kind][c[kind === 'parts' ? 'i_part' : 'i_state'][i]][0]);
    return `${name('parts')} · ${name('states')} · ${clock(c.i_start[i])} to ${clock(c.i_end[i])} · ${(c.i_score[i] / 255).toFixed(2)}`;
  }

  draw() {
    const pen = this.pen, style = getComputedStyle(document.documentElement), colour = name => style.getPropertyValue(`--${name}`).trim();
    this.colours = Object.fromEntries(['card', 'ink', 'soft', 'line', 'track', 'accent'].map(name => [name, colour(name)]));
    fitCanvas(this.canvas, this.width, this.view, pen);
    pen.fillStyle = this.colours.card;
    pen.fillRect(0, 0, this.width, this.view);
    const ticks = this.ticks();
    pen.fillStyle = this.colours.line;
    for (const tick of ticks) pen.fillRect(Math.round(this.x(tick)), RULER - 5, 1, this.view);
    const top = this.box.scrollTop;
    for (const row of this.rows) if (row.y + row.height > top + RULER - HEAD && row.y < top + this.view) this.row(row, row.y - top);
    this.ruler(ticks);
    this.head();
  }

  ticks() {
    const span = this.to - this.from, most = Math.max(2, (this.width - this.left) / 90);
    const step = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200].find(s => span / s <= most) ?? 14400;
    this.step = step;
    const found = [];
    for (let n = Math.ceil(this.from / step - 1e-9); n * step <= this.to + 1e-9; n++) found.push(n * step);
    return found;
  }

  ruler(ticks) {
    const pen = this.pen;
    pen.fillStyle = this.colours.card;
    pen.fillRect(0, 0, this.width, RULER - 5);
    pen.fillStyle = this.colours.soft;
    pen.font = '11px system-ui, "DejaVu Sans", sans-serif';
    pen.textAlign = 'center';
    const digits = this.step < 0.1 ? 2 : this.step < 1 ? 1 : 0;
    for (const tick of ticks) pen.fillText(clock(tick, digits), Math.min(this.width - 16, this.x(tick)), 13);
    pen.textAlign = 'left';
  }

  head() {
    const x = this.x(this.time);
    if (x < this.left - 1 || x > this.width) return;
    this.pen.fillStyle = this.colours.accent;
    this.pen.fillRect(x - 0.75, 12, 1.5, this.view);
    this.pen.beginPath();
    this.pen.moveTo(x - 6, 10); this.pen.lineTo(x + 6, 10); this.pen.lineTo(x, 19);
    this.pen.fill();
  }

  row(row, y) {
    const pen = this.pen, {ink, soft, track: ground} = this.colours;
    if (row.kind === 'track') {
      pen.fillStyle = ground;
      pen.fillRect(0, y, this.width, HEAD - 4);
      pen.fillStyle = row.track.colour;
      for (const [start, end] of row.track.spans) this.bar(start, end, y + 7, 6);
      pen.fillRect(22, y + 4, 12, 12);
    } else if (row.kind === 'actions') for (const bar of row.bars) this.named(bar.start, bar.end, y, bar.label, '#c9d3e0');
    else this.states(row, y);
    pen.fillStyle = row.kind === 'track' ? ink : soft;
    pen.font = `${row.kind === 'track' ? '600 12.5px' : '11.5px'} system-ui, "DejaVu Sans", sans-serif`;
    pen.textAlign = row.kind === 'track' ? 'left' : 'right';
    if (row.kind === 'track') pen.fillText(`${row.track.open ? '▾' : '▸'}`, 6, y + 14);
    pen.fillText(row.title, row.kind === 'track' ? 40 : this.left - 10, y + (row.kind === 'track' ? 15 : 11.5), this.left - 14);
    pen.textAlign = 'left';
    if (row.kind === 'track' && row.track.track_id === this.chosen) { pen.fillStyle = this.colours.accent; pen.fillRect(0, y, 3, HEAD - 4); }
  }

  bar(start, end, y, height) {
    const x = Math.max(this.left, this.x(start)), until = Math.min(this.width, this.x(end));
    if (until > this.left && x < this.width) this.pen.fillRect(x, y, Math.max(1, until - x), height);
    return [x, until];
  }

  states(row, y) {
    const c = this.columns;
    let drawn = -1;
    const first = Math.max(0, lastAtMost(row.intervals, this.from, i => c.i_start[row.intervals[i]]));
    for (let k = first; k < row.intervals.length; k++) {
      const i = row.intervals[k];
      if (c.i_start[i] > this.to) break;
      if (c.i_end[i] < this.from || this.x(c.i_end[i]) < drawn + 0.5) continue;  // as narrow as the one before it
      const [name, colour] = this.report.states[c.i_state[i]];
      drawn = this.named(c.i_start[i], c.i_end[i], y, readable(name), colour);
    }
  }

  named(start, end, y, text, colour) {
    const pen = this.pen;
    pen.fillStyle = colour;
    const [x, until] = this.bar(start, end, y, BAR - 2), room = until - x - 7;
    if (room > 14 && x < this.width) {
      pen.font = '11px system-ui, "DejaVu Sans", sans-serif';
      pen.fillStyle = '#10151d';
      if (pen.measureText(text).width <= room) pen.fillText(text, x + 4, y + 10.5);
    }
    if (until - x > 3 && until < this.width) { pen.fillStyle = this.colours.card; pen.fillRect(until - 1, y, 1, BAR - 2); }
    return Math.max(until, x + 1);
  }
}
