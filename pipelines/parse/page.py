"""The page that `--serve` shows; texts come as data and are never read as markup."""

HTML = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>partwise</title>
<style>
body { margin: 0; font: 15px/1.4 system-ui, sans-serif; color: #e8eaed; background: #17191c; display: flex; flex-wrap: wrap }
figure { margin: 0; flex: 3 1 480px } img { width: 100%; display: block; background: #000 }
aside { flex: 1 1 260px; padding: 12px 16px; box-sizing: border-box } h1 { font-size: 16px; margin: 0 0 4px; overflow-wrap: anywhere }
h2 { font-size: 14px; margin: 14px 0 2px } p { margin: 0; color: #9aa0a6 } td { padding: 0 10px 0 0; vertical-align: top }
</style>
</head>
<body>
<figure><img src="/stream.mjpg" alt="annotated stream"></figure>
<aside><h1 id="name">waiting for the first frame</h1><p id="facts"></p><p id="actions"></p><div id="persons"></div></aside>
<script>
const of = id => document.getElementById(id);
const made = (tag, text, parent) => { const e = document.createElement(tag); e.textContent = text; parent.append(e); return e; };
const events = new EventSource("/events");
events.onmessage = message => {
  const frame = JSON.parse(message.data);
  of("name").textContent = frame.name;
  of("facts").textContent = `frame ${frame.index}, ${frame.time_s.toFixed(1)} s, ${frame.frames_dropped} dropped`;
  of("actions").textContent = frame.actions.map(a => `${a.label} ${a.score.toFixed(2)}`).join(", ");
  of("persons").replaceChildren();
  for (const person of frame.persons) {
    made("h2", person.track_id === null ? "person" : `#${person.track_id}`, of("persons"));
    const table = made("table", "", of("persons"));
    for (const [name, part] of Object.entries(person.parts)) {
      const states = part.states.filter(s => s.score >= 0.5).map(s => s.label).join(", ");
      if (!part.visible || !states) continue;
      const row = made("tr", "", table);
      made("td", name.replace("_", " "), row);
      made("td", states, row);
    }
  }
};
events.onerror = () => { of("facts").textContent = "the stream has ended, or the connection is lost"; };
</script>
</body>
</html>
"""
