/* Everything put together: data, player, stage, timeline, panels, keys. */
async function begin() {
  const by = id => document.getElementById(id), report = JSON.parse(by('data').textContent), columns = await unpack(report.columns);
  const tracks = gatherTracks(report, columns), show = {boxes: true, parts: true, names: false};
  const filters = {parts: report.parts.map(() => true), states: report.states.map(() => true), score: report.threshold};
  const stage = new Stage(report, columns, tracks, filters, by('overlay'));
  const player = new Player(report, by('screen'), (time, playing) => tick(time, playing));
  const line = new Timeline(report, columns, tracks, filters, player.duration, by('lanes'), by('line'));
  const seekTo = time => () => {
    const button = element('button', {type: 'button'}, clock(time));
    button.addEventListener('click', () => player.seek(time));
    return button;
  };
  const fills = tablesOf(report, columns, tracks, filters, seekTo, by);

  function tick(time, playing) {
    line.move(time);
    by('time').textContent = `${clock(time)} / ${clock(player.duration)}`;
    by('play').textContent = playing ? 'Pause' : 'Play';
    stage.draw(time, show);
    line.draw();
    tellNow(time, playing);
  }

  function tellNow(time, playing) {
    const here = new Set(stage.at(time).map(person => person.track)), words = report.actions.filter(a => a[2] <= time && a[3] > time).map(a => readable(a[0]));
    for (const track of tracks.values()) {
      const held = here.has(track.track_id) && track.shown ? heldAt(columns, track, time, filters) : [];
      track.item.classList.toggle('away', !here.has(track.track_id));
      showHeld(report, columns, track, held);
      if (track.track_id === line.chosen) words.push(`#${track.track_id}: ${held.map(i => line.words(i).split(' · ').slice(0, 2).join(' ')).join(', ') || 'no state'}`);
    }
    const now = by('now'), text = words.join(' · ');
    now.setAttribute('aria-live', playing ? 'off' : 'polite');
    if (now.textContent !== text) now.textContent = text;
    const values = {valuemin: 0, valuemax: player.duration.toFixed(2), valuenow: time.toFixed(2), valuetext: `${clock(time)}${text ? `, ${text}` : ''}`};
    for (const [name, value] of Object.entries(values)) by('line').setAttribute(`aria-${name}`, value);
  }

  function refresh() {
    line.arrange();
    for (const fill of fills) fill();
    tick(player.time, player.playing);
  }

  function choose(track) {
    line.chosen = track.track_id;
    for (const other of tracks.values()) other.item.classList.toggle('chosen', other === track);
    const row = line.rows.find(one => one.kind === 'track' && one.track === track), lanes = by('lanes');
    if (row && (row.y < lanes.scrollTop + RULER || row.y + HEAD > lanes.scrollTop + line.view)) lanes.scrollTop = row.y - RULER - 8;
    tick(player.time, player.playing);
  }

  heading(report, by);
  Object.assign(by('score'), {min: report.threshold, value: report.threshold});
  by('least').textContent = report.threshold.toFixed(2);
  for (const track of tracks.values()) by('tracks').append(buildTrack(report, track, one => { player.seek(one.start_s); choose(one); }, refresh));
  if (!tracks.size) by('tracks').append(element('li', {}, 'No person was followed.'));
  buildFilter(by('state-filter'), report.states.map(s => s[0]), filters.states, report.states.map(s => s[1]), refresh);
  buildFilter(by('part-filter'), report.parts.map(p => p[0]), filters.parts, report.parts.map(p => p[1]), refresh);
  wire({report, by, tracks, filters, show, player, line, refresh, choose});
  tick(0, false);
  window.report = {player, line, stage, tracks, columns, filters};  // for whoever looks at it from the console
  document.documentElement.dataset.ready = performance.now();  // milliseconds since the page began to load
  await media(report, by, player);
  document.documentElement.dataset.media = player.shows;
  player.tell();
}

function heading(report, by) {
  const v = report.video, counts = report.counts, rate = v.fps ? `, ${+v.fps.toFixed(2)} frames/s` : '';
  by('facts').textContent = `${v.width} × ${v.height} px${rate}, ${clock(v.duration_s, 1)}, ${counts.frames} frames (${counts.key} analysed) · ` +
    `${report.tracks.length} ${report.tracks.length === 1 ? 'track' : 'tracks'}, at most ${counts.most} ${counts.most === 1 ? 'person' : 'persons'} at once · states of “${report.vocabulary}”`;
  const told = [...report.warnings, ...report.notes];
  by('warnings').hidden = !told.length;
  by('warnings').querySelector('ul').append(...told.map(text => element('li', {}, text)));
}

async function media(report, by, player) {
  const {kind, address} = report.media, place = by('missing'), file = by('file');
  const missing = text => { place.hidden = false; place.querySelector('p').textContent = text; };
  file.addEventListener('change', async () => {
    if (!file.files.length) return;
    const image = file.files[0].type.startsWith('image/');
    place.hidden = await player.show(image ? 'image' : 'video', URL.createObjectURL(file.files[0]));
    if (!place.hidden) missing(`This browser cannot show ${file.files[0].name}. The boxes are drawn all the same.`);
    player.tell();
  });
  if (await player.show(kind, address)) return;
  missing(kind === 'none' ? `This page has no video. It is a parse of ${report.video.name}.`
    : `The video (${report.video.name}) is not where this page looks for it, or this browser cannot play it. The boxes are drawn all the same.`);
}

function tablesOf(report, c, tracks, filters, seekTo, by) {
  const part = i => readable(report.parts[c.i_part[i]][0]), state = i => readable(report.states[c.i_state[i]][0]);
  return [
    lazyTable(by('totals'), () => ({caption: 'Seconds over the tracks that are shown', heads: ['part', 'state', 'seconds', 'intervals'],
      rows: totalsOf(report, tracks).map(([p, s, seconds, count]) => [readable(p), readable(s), +seconds.toFixed(2), count])})),
    lazyTable(by('track-table'), () => ({caption: 'Tracks', heads: ['track', 'from', 'to', 'frames', 'mean score', 'actions'],
      rows: report.tracks.map(t => [`#${t.track_id}`, seekTo(t.start_s), clock(t.end_s), t.num_frames, +t.mean_score.toFixed(2), t.actions.map(a => readable(a[0])).join(', ')])})),
    lazyTable(by('intervals'), () => ({caption: 'State intervals that the filters show', heads: ['from', 'to', 'track', 'part', 'state', 'mean score'],
      rows: shownIntervals(c, [...c.i_track.keys()], filters).filter(i => tracks.get(c.i_track[i])?.shown && filters.parts[c.i_part[i]])
        .map(i => [seekTo(c.i_start[i]), clock(c.i_end[i]), `#${c.i_track[i]}`, part(i), state(i), +(c.i_score[i] / 255).toFixed(2)])})),
    lazyTable(by('actions-table'), () => ({caption: 'Actions', heads: ['from', 'to', 'who', 'action', 'score'],
      rows: [...report.actions.map(a => ['video', a]), ...report.tracks.flatMap(t => t.actions.map(a => [`#${t.track_id}`, a]))]
        .map(([who, a]) => [seekTo(a[2]), clock(a[3]), who, readable(a[0]), +a[1].toFixed(3)])})),
    lazyTable(by('models'), () => ({caption: 'Components', heads: ['stage', 'component', 'used', 'weights (sha256)'],
      rows: report.models.map(([stage, name, hash, used]) => [stage, name, used ? 'yes' : 'no', hash.slice(0, 16)])})),
  ];
}

begin();
