/* Buttons, the pointer and the keyboard. */
function wire({by, tracks, filters, show, player, line, refresh, choose}) {
  const on = (id, event, act) => by(id).addEventListener(event, act), redraw = () => player.tell();
  on('play', 'click', () => player.toggle());
  on('back', 'click', () => player.seek(player.time - player.frame_s));
  on('on', 'click', () => player.seek(player.time + player.frame_s));
  on('speed', 'change', event => player.setRate(+event.target.value));
  for (const what of Object.keys(show)) on(`show-${what}`, 'change', event => { show[what] = event.target.checked; redraw(); });
  on('score', 'input', event => { filters.score = +event.target.value; by('least').textContent = filters.score.toFixed(2); refresh(); });
  on('zoom-in', 'click', () => { line.zoom(0.5); redraw(); });
  on('zoom-out', 'click', () => { line.zoom(2); redraw(); });
  on('zoom-fit', 'click', () => { line.zoom(Infinity); redraw(); });
  const setAll = (name, value) => { for (const track of tracks.values()) { track[name] = value; if (name === 'shown') track.box.checked = value; } refresh(); };
  on('all-tracks', 'click', () => setAll('shown', true));
  on('no-tracks', 'click', () => setAll('shown', false));
  on('fold', 'click', () => { const open = ![...tracks.values()].some(track => track.open); setAll('open', open); tellFold(); });
  const tellFold = () => {
    const open = [...tracks.values()].some(track => track.open);
    by('fold').textContent = open ? 'Fold all' : 'Open all';
    by('fold').setAttribute('aria-expanded', open);
  };
  const turn = track => { track.open = !track.open; tellFold(); refresh(); };
  pointer(by, line, player, choose, turn);
  document.addEventListener('keydown', event => keyboard(event, {by, tracks, player, line, choose, turn, redraw}));
  on('lanes', 'scroll', () => line.draw());
  new ResizeObserver(() => { line.arrange(); redraw(); }).observe(by('stage'));
  new ResizeObserver(() => { line.arrange(); redraw(); }).observe(by('lanes'));
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => line.draw());
  tellFold();
}

function pointer(by, line, player, choose, turn) {
  const canvas = by('line'), tip = by('tip');
  const place = event => { const box = canvas.getBoundingClientRect(); return line.under(event.clientX - box.left, event.clientY - box.top); };
  const seek = event => player.seek(place(event).time);
  canvas.addEventListener('pointerdown', event => {
    const {row} = place(event), inside = event.clientX - canvas.getBoundingClientRect().left >= line.left;
    if (row?.track) choose(row.track);
    if (!inside) { if (row?.kind === 'track') turn(row.track); return; }
    canvas.setPointerCapture(event.pointerId);
    seek(event);
  });
  canvas.addEventListener('pointermove', event => {
    if (event.buttons & 1 && canvas.hasPointerCapture(event.pointerId)) seek(event);
    const {time, label} = place(event);
    tip.hidden = event.clientX - canvas.getBoundingClientRect().left < line.left;
    tip.textContent = label || clock(time);
    const right = event.clientX + 16 + tip.offsetWidth > window.innerWidth;
    tip.style.left = `${right ? Math.max(0, event.clientX - 12 - tip.offsetWidth) : event.clientX + 14}px`;
    tip.style.top = `${event.clientY + 16}px`;
  });
  canvas.addEventListener('pointerleave', () => { tip.hidden = true; });
  canvas.addEventListener('wheel', event => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    line.zoom(event.deltaY < 0 ? 0.8 : 1.25, place(event).time);
    line.draw();
  }, {passive: false});
}

function keyboard(event, {by, tracks, player, line, choose, turn, redraw}) {
  const typing = event.target.matches('select, input[type=range], summary');
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === ' ' && event.target.matches('button, input, select, summary, label')) return;  // what has the focus takes it
  const step = event.shiftKey ? 1 : player.frame_s, shown = [...tracks.values()].filter(track => track.shown);
  const next = by => { if (shown.length) choose(shown[Math.min(shown.length - 1, Math.max(0, shown.findIndex(t => t.track_id === line.chosen) + by))]); };
  const acts = {
    ' ': () => player.toggle(),
    ArrowLeft: () => player.seek(player.time - step), ArrowRight: () => player.seek(player.time + step),
    Home: () => player.seek(0), End: () => player.seek(player.duration),
    '+': () => { line.zoom(0.5); redraw(); }, '=': () => { line.zoom(0.5); redraw(); }, '-': () => { line.zoom(2); redraw(); }, 0: () => { line.zoom(Infinity); redraw(); },
  };
  const onLine = {ArrowUp: () => next(-1), ArrowDown: () => next(1), Enter: () => { const track = tracks.get(line.chosen); if (track) turn(track); }};
  const act = typing ? undefined : acts[event.key] ?? (event.target === by('line') ? onLine[event.key] : undefined);
  if (!act) return;
  event.preventDefault();
  act();
}
