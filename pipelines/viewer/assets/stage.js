/* Boxes of persons and parts over the picture. Between analysed frames, boxes move on a line, as in the parse itself. */
class Stage {
  constructor(report, columns, tracks, filters, canvas) {
    Object.assign(this, {report, columns, tracks, filters, canvas});
    this.pen = canvas.getContext('2d');
    this.numParts = report.parts.length;
    this.rest_s = 0.75;  // a frame is held no longer than this where no other follows
  }

  /* Persons at a time: [{track, score, box, parts: [{part, box}]}] in pixels of the video. */
  at(time) {
    const {times, first, track} = this.columns, frame = lastAtMost(times, time + 1e-4);
    if (frame < 0) return [];
    const next = frame + 1 < times.length ? frame + 1 : frame, gap = times[next] - times[frame];
    if (time - times[frame] > Math.max(this.rest_s, gap)) return [];
    const share = gap > 0 ? Math.min(1, (time - times[frame]) / gap) : 0;
    const [near, far, weight] = share < 0.5 ? [frame, next, share] : [next, frame, 1 - share];
    const partners = new Map();
    for (let row = first[far]; row < first[far + 1]; row++) if (track[row] >= 0) partners.set(track[row], row);
    const persons = [];
    for (let row = first[near]; row < first[near + 1]; row++) persons.push(this.person(row, partners.get(track[row]) ?? row, weight));
    return persons;
  }

  person(row, other, weight) {
    const {track, score, box, part_box, part_score} = this.columns, parts = [];
    for (let p = 0; p < this.numParts; p++) {
      const here = row * this.numParts + p, there = other * this.numParts + p;
      if (part_score[here]) parts.push({part: p, box: between(part_box, here, part_score[there] ? there : here, weight)});
    }
    return {track: track[row], score: score[row] / 255, box: between(box, row, other, weight), parts};
  }

  /* Where the picture lies in the canvas: scale and offset in CSS pixels. */
  place() {
    const {width, height} = this.report.video, w = this.canvas.clientWidth, h = this.canvas.clientHeight;
    const scale = Math.min(w / width, h / height);
    return {scale, x: (w - width * scale) / 2, y: (h - height * scale) / 2};
  }

  draw(time, show) {
    fitCanvas(this.canvas, this.canvas.clientWidth, this.canvas.clientHeight, this.pen);
    const {scale, x, y} = this.place(), pen = this.pen;
    pen.clearRect(0, 0, this.canvas.clientWidth, this.canvas.clientHeight);
    const rectangle = b => [x + b[0] * scale, y + b[1] * scale, (b[2] - b[0]) * scale, (b[3] - b[1]) * scale];
    for (const person of this.at(time)) {
      const track = this.tracks.get(person.track);
      if (person.score < this.filters.score || (track && !track.shown)) continue;
      if (show.parts) for (const {part, box} of person.parts) if (this.filters.parts[part]) this.part(part, rectangle(box), show.names);
      if (show.boxes) this.box(track, person, rectangle(person.box));
    }
  }

  box(track, person, [left, top, width, height]) {
    const pen = this.pen, text = track ? `#${person.track}` : person.score.toFixed(2);
    pen.lineWidth = 2;
    pen.strokeStyle = pen.fillStyle = track ? track.colour : '#c8c8c8';
    pen.strokeRect(left, top, width, height);
    pen.font = '600 12px system-ui, sans-serif';
    const room = pen.measureText(text).width + 8, high = top >= 17 ? top - 17 : top;
    pen.fillRect(left - 1, high, room, 17);
    pen.fillStyle = '#000';
    pen.fillText(text, left + 3, high + 13);
  }

  part(part, [left, top, width, height], named) {
    const pen = this.pen, [name, colour] = this.report.parts[part];
    pen.lineWidth = 1.5;
    pen.strokeStyle = colour;
    pen.strokeRect(left, top, width, height);
    if (!named) return;
    pen.font = '11px system-ui, sans-serif';
    pen.lineWidth = 3;
    pen.strokeStyle = '#000b';
    pen.fillStyle = colour;
    pen.strokeText(readable(name), left + 2, top + 11);
    pen.fillText(readable(name), left + 2, top + 11);
  }
}

function between(boxes, row, other, weight) {
  return [0, 1, 2, 3].map(i => boxes[4 * row + i] + weight * (boxes[4 * other + i] - boxes[4 * row + i]));
}

/* Give a canvas the pixels of the screen, with a pen that counts in CSS pixels. */
function fitCanvas(canvas, width, height, pen) {
  const ratio = window.devicePixelRatio || 1, w = Math.round(width * ratio), h = Math.round(height * ratio);
  if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
}
