// Keeps the overview up to date. The server renders every row and region; this file only puts
// them in their places, counts times, and says when the connection is lost. Without it the page
// is whole and reloads itself.
"use strict";

(() => {
  const LISTS = ["alerts", "bans", "refusals", "notices"];
  const SAY_PAUSE_MS = 4000;
  const SILENCE_MS = 5000;

  const body = document.body;
  const link = document.getElementById("link");
  const said = document.getElementById("said");
  // The server's clock counts, not this machine's.
  let ahead = Number(body.dataset.now) - Date.now();
  let lastHeard = Date.now();
  let lastSaid = 0;
  let source = null;

  const parse = (html) => {
    const template = document.createElement("template");
    template.innerHTML = html.trim();
    return template.content.firstElementChild;
  };

  // What the keyboard can stand on, in the order of the row.
  const stops = (row) => [...row.querySelectorAll("a, summary, button")];

  // Rows keep their place, their open lines and the focus, also when they changed.
  const putList = (list, { keys, rows }) => {
    const known = new Map();
    for (const row of list.children) known.set(row.dataset.key, row);
    const wanted = new Set(keys);
    for (const [key, row] of known) if (!wanted.has(key)) row.remove();
    let before = list.firstElementChild;
    let back = null;
    for (const key of keys) {
      const old = known.get(key);
      const stop = old ? stops(old).indexOf(document.activeElement) : -1;
      let row = old;
      if (rows[key] !== undefined) {
        row = parse(rows[key]);
        const open = old && old.querySelector("details[open]");
        const details = row.querySelector("details");
        if (open && details) details.open = true;
        if (!old) row.classList.add("fresh");
      }
      if (!row) continue;
      if (stop >= 0) back = stops(row)[stop] || stops(row)[0];
      if (old && old !== row) {
        if (before === old) before = row;
        old.replaceWith(row);
      }
      if (row === before) before = before.nextElementSibling;
      else list.insertBefore(row, before);
    }
    if (back && back !== document.activeElement) back.focus({ preventScroll: true });
  };

  const putRegions = (regions) => {
    for (const [id, html] of Object.entries(regions)) {
      const region = document.getElementById(id);
      if (region) region.innerHTML = html;
    }
  };

  const say = (text) => {
    const now = Date.now();
    if (!text || now - lastSaid < SAY_PAUSE_MS) return;
    lastSaid = now;
    said.textContent = text;
  };

  const ago = (seconds) => {
    if (seconds < 1) return "now";
    if (seconds < 90) return `${Math.floor(seconds)} s ago`;
    if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
    if (seconds < 129600) return `${Math.round(seconds / 3600)} h ago`;
    return `${Math.round(seconds / 86400)} d ago`;
  };

  const span = (seconds) => {
    const s = Math.max(0, Math.floor(seconds));
    const two = (n) => String(n).padStart(2, "0");
    const [d, h, m] = [Math.floor(s / 86400), Math.floor(s / 3600) % 24, Math.floor(s / 60) % 60];
    if (d) return `${d} d ${h} h`;
    if (h) return `${h} h ${two(m)} min`;
    if (m) return `${m} min ${two(s % 60)} s`;
    return `${s} s`;
  };

  const write = (element, text) => {
    if (element.textContent !== text) element.textContent = text;
  };

  const tick = () => {
    const now = Date.now() + ahead;
    for (const e of document.querySelectorAll("[data-ago]")) {
      write(e, ago((now - Number(e.dataset.ago)) / 1000));
    }
    for (const e of document.querySelectorAll("[data-until]")) {
      write(e, span((Number(e.dataset.until) - now) / 1000));
    }
    const quiet = Date.now() - lastHeard;
    if (quiet > SILENCE_MS) showLink("lost", `no news for ${span(quiet / 1000)}, trying again`);
  };

  const showLink = (state, text) => {
    link.className = `link ${state}`;
    write(link, text);
    body.classList.toggle("stale", state === "lost");
  };

  const take = (event) => {
    const update = JSON.parse(event.data);
    lastHeard = Date.now();
    ahead = update.now - lastHeard;
    document.title = update.title;
    body.dataset.after = event.lastEventId;
    putRegions(update.regions);
    for (const id of LISTS) {
      const list = document.getElementById(id);
      if (update.lists[id] && list) putList(list, update.lists[id]);
    }
    say(update.said);
    showLink("live", "live");
    tick();
  };

  const follow = () => {
    if (source) source.close();
    const after = encodeURIComponent(body.dataset.after);
    source = new EventSource(`${body.dataset.live}?after=${after}`);
    source.addEventListener("page", take);
    source.onerror = () => {
      showLink("lost", "connection lost, trying again");
      // A refusal (too many pages, a guard that restarts) ends the stream for good: ask again.
      if (source.readyState === EventSource.CLOSED) setTimeout(follow, 3000);
    };
  };

  // A page nobody looks at needs no stream; when it is looked at again it is brought up to date.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      if (source) source.close();
      source = null;
    } else if (!source) {
      follow();
    }
  });

  tick();
  setInterval(tick, 1000);
  if (!document.hidden) follow();
})();
