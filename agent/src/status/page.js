"use strict";
const $ = id => document.getElementById(id);
// Everything from outside becomes text: nothing here is ever read as HTML.
function make(tag, kind, ...inner) {
  const element = document.createElement(tag);
  if (kind) element.className = kind;
  element.append(...inner.filter(one => one !== null && one !== undefined && one !== false));
  return element;
}
const key = text => make("bdi", "", text);
const number = n => Number(n).toLocaleString("en", { maximumFractionDigits: n < 10 ? 1 : 0 });
function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) { n /= 1024; i++; }
  return [i ? n.toFixed(n < 10 ? 2 : n < 100 ? 1 : 0) : String(Math.round(n)), units[i]];
}
const size = n => bytes(n).join(" ");
function time(s) {
  if (s < 10) return `${s.toFixed(1)} s`;
  s = Math.floor(s);
  const d = Math.floor(s / 86400), h = Math.floor(s / 3600) % 24, m = Math.floor(s / 60) % 60;
  return d ? `${d} d ${h} h` : h ? `${h} h ${m} min` : m ? `${m} min ${s % 60} s` : `${s} s`;
}
function moment(at) {
  const date = new Date(at * 1000), today = date.toDateString() === new Date().toDateString();
  const clock = date.toLocaleTimeString([], { hour12: false });
  return today ? clock : `${date.toLocaleDateString([], { day: "numeric", month: "short" })}, ${clock}`;
}
const ago = at => time(Math.max(0, Date.now() / 1000 - at)) + " ago";
const none = text => make("li", "none", text);
const STATES = { stopping: "busy", paused: "busy", outage: "bad", working: "good", idle: "good" };
const stateOf = s => s.draining ? "stopping" : s.paused ? "paused" : s.storms.length ? "outage" : s.inflight_objects ? "working" : "idle";

// Charts: an area or columns over time, with a cursor for pointer and keyboard.
const SVG = "http://www.w3.org/2000/svg";
function draw(tag, kind, attributes) {
  const element = document.createElementNS(SVG, tag);
  element.setAttribute("class", kind);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}
const perSecond = (name, step) => sample => sample[name] / step;
const CHARTS = [
  { id: "bytes", name: "Throughput", wide: true, value: perSecond, show: n => [bytes(n)[0], bytes(n)[1] + "/s"] },
  { id: "objects", name: "Objects", wide: true, value: perSecond, show: n => [number(n), "/s"] },
  { id: "backlog", name: "Waiting", value: name => sample => sample[name], show: n => [number(n), ""] },
  { id: "lag", name: "Lag", value: name => sample => sample[name] ?? 0, show: n => [time(n), ""] },
  { id: "errors", name: "Retries and parked", columns: true, value: name => sample => sample[name], show: n => [number(n), ""] },
];
let history = { fine: [], coarse: [] }, range = "fine";
const WIDTH = 300, HEIGHT = 100;
function setUpCharts() {
  for (const chart of CHARTS) {
    chart.value_ = make("b"); chart.svg = draw("svg", "", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    chart.top = make("span"); chart.from = make("span"); chart.to = make("span", "", "now"); chart.at = null;
    chart.figure = make("figure", `chart ${chart.id}${chart.wide ? " wide" : ""}`, make("figcaption", "", chart.name, chart.top), chart.value_, chart.svg, make("div", "scale", chart.from, chart.to));
    chart.figure.id = "chart-" + chart.id;
    chart.figure.tabIndex = 0;
    chart.figure.setAttribute("role", "img");
    const move = at => { chart.at = at; drawChart(chart); };
    chart.svg.addEventListener("pointermove", event => {
      const box = chart.svg.getBoundingClientRect();
      move(Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)));
    });
    chart.svg.addEventListener("pointerleave", () => move(null));
    chart.figure.addEventListener("keydown", event => {
      const step = { ArrowLeft: -.02, ArrowRight: .02 }[event.key];
      if (step) { event.preventDefault(); move(Math.min(1, Math.max(0, (chart.at ?? 1) + step))); }
      if (event.key === "Escape") move(null);
    });
    chart.figure.addEventListener("blur", () => move(null));
    $("charts").append(chart.figure);
  }
}
function drawChart(chart) {
  const samples = history[range], step = range === "fine" ? 5 : 60;
  // A young agent's charts are wide from the start.
  const most = Math.min(range === "fine" ? 120 : 360, Math.max(24, samples.length));
  const read = chart.value(chart.id, step), values = samples.map(read), top = Math.max(...values, chart.columns ? 1 : 1e-9);
  // The newest is at the right edge; what is not known yet is empty at the left.
  const x = i => WIDTH * (most - values.length + i + 1) / most, y = value => HEIGHT - HEIGHT * .94 * value / top;
  const parts = [draw("line", "grid", { x1: 0, x2: WIDTH, y1: HEIGHT * .06, y2: HEIGHT * .06 }), draw("line", "grid", { x1: 0, x2: WIDTH, y1: HEIGHT, y2: HEIGHT })];
  if (chart.columns) {
    values.forEach((value, i) => value && parts.push(draw("rect", "column", { x: x(i) - WIDTH / most, width: WIDTH / most * .8, y: y(value), height: HEIGHT - y(value) })));
  } else if (values.length) {
    const line = values.map((value, i) => `${i ? "L" : "M"}${x(i).toFixed(1)} ${y(value).toFixed(1)}`).join("");
    parts.push(draw("path", "area", { d: `${line}L${WIDTH} ${HEIGHT}L${x(0).toFixed(1)} ${HEIGHT}Z` }), draw("path", "line", { d: line }));
  }
  let i = values.length - 1, when = "";
  if (chart.at !== null && values.length) {
    i = Math.min(values.length - 1, Math.max(0, Math.round(chart.at * most) - 1 - (most - values.length)));
    parts.push(draw("line", "cursor", { x1: x(i), x2: x(i), y1: 0, y2: HEIGHT }));
    when = moment(samples[i].at);
  }
  const value = values.length ? chart.columns && !when ? values.reduce((sum, one) => sum + one, 0) : values[i] : 0;
  const [text, unit] = chart.show(value);
  chart.value_.replaceChildren(text, " ", make("small", "", unit));
  chart.top.textContent = when || (values.length > 1 && !chart.columns ? "max " + chart.show(Math.max(...values)).join(" ") : "");
  chart.from.textContent = `${time(most * step).replace(" 0 s", "").replace(" 0 min", "")} ago`;
  chart.figure.setAttribute("aria-label", `${chart.name}: ${text} ${unit} ${when || "now"}; maximum ${chart.show(top).join(" ")} since ${chart.from.textContent}`);
  chart.svg.replaceChildren(...parts);
}
function choose(to) {
  range = to;
  for (const name of ["fine", "coarse"]) $("range-" + name).setAttribute("aria-pressed", String(name === to));
  CHARTS.forEach(drawChart);
}

function banner(kind, title, ...lines) {
  return make("div", "banner " + kind, make("strong", "", title), ...lines.filter(Boolean).map(line => make("p", "", line)));
}
function banners(s) {
  const all = s.storms.map(storm => banner("bad",
    `Outage: the ${storm.side} fails all ${storm.what}, for ${time(storm.seconds)} now` + (storm.agent ? ` (${storm.agent})` : ""),
    make("code", "", [storm.operation, storm.status, storm.cause, storm.answer && `(${storm.answer})`].filter(Boolean).join(" ")),
    `What to do: ${storm.advice || "if it lasts, check the network, the endpoint and the service"}.`,
    `${number(storm.failures)} failures in a row. No message is lost: one is tried now and then, and work continues by itself.`));
  if (s.paused) all.push(banner("busy", `Paused since ${moment(s.paused.since)}, until ${s.paused.until ? moment(s.paused.until) : "it is resumed"}`,
    s.paused.reason && make("bdi", "", s.paused.reason), "Nothing is received; objects in flight are finished."));
  if (s.deletions_held) all.push(banner("bad", `Deletions are held back since ${moment(s.deletions_held.since)}`,
    `${number(s.deletions_held.deletions)} of ${number(s.deletions_held.ended)} objects within ten minutes were deletions.`,
    "What to do: look at the source; `skyferry resume --deletes` lets them go on."));
  const same = all.map(one => one.textContent).join("\n");
  if ($("banners").dataset.text !== same) { $("banners").replaceChildren(...all); $("banners").dataset.text = same; }
}

// The rate of each object, smoothed: what came since the report before.
const rates = new Map();
function transfers(s) {
  const now = performance.now() / 1000, seen = new Set();
  const rows = s.transfers.map(one => {
    const id = `${one.from}\n${one.to}`, before = rates.get(id);
    seen.add(id);
    let rate = before ? before.rate : one.done / Math.max(one.seconds, 1);
    if (before && now > before.at) rate = .6 * rate + .4 * Math.max(0, one.done - before.done) / (now - before.at);
    rates.set(id, { at: now, done: one.done, rate });
    const left = rate > 0 ? `, ${time((one.size - one.done) / rate)} left` : "";
    const bar = make("progress");
    bar.max = Math.max(one.size, 1); bar.value = one.done;
    bar.setAttribute("aria-label", `${one.from}: ${Math.floor(100 * one.done / Math.max(one.size, 1))} percent`);
    const target = make("small", "", "to ", key(one.to));
    return make("li", "", make("div", "two", make("span", "", make("span", "name", key(one.from)), " ", target),
      make("span", "", `${Math.floor(100 * one.done / Math.max(one.size, 1))} % of ${size(one.size)} `, make("small", "", rate >= 1 ? `${size(rate)}/s${left}` : "waits"))), bar);
  });
  for (const id of rates.keys()) if (!seen.has(id)) rates.delete(id);
  const rest = s.inflight_objects - rows.length;
  $("flight-note").textContent = `${number(s.inflight_objects)} objects, ${size(s.inflight_bytes)} in memory`
    + (rows.length && rest > 0 ? `; ${number(rest)} small or waiting ones are not listed` : "") + (s.transfers_all > rows.length ? `; the largest ${rows.length} of ${s.transfers_all}` : "");
  $("transfers").replaceChildren(...(rows.length ? rows : [none(s.inflight_objects ? "Only small objects are in flight." : "Nothing is in flight.")]));
}
const OUTCOMES = ["copied", "unchanged", "deleted", "gone", "skipped", "parked"];
function outcomes(s) {
  const all = OUTCOMES.reduce((sum, name) => sum + s[name], 0);
  $("ended-note").textContent = `${number(all)} records, ${size(s.bytes)} copied, ${number(s.retries)} retries`;
  $("share").replaceChildren(...OUTCOMES.filter(name => s[name]).map(name => {
    const part = make("span", "o-" + name);
    part.style.flex = String(Math.max(s[name] / all, .004));
    return part;
  }));
  $("outcomes").replaceChildren(...OUTCOMES.map(name => make("div", "", make("dt", "o-" + name, name), make("dd", name === "parked" && s[name] ? "bad" : "", number(s[name])))));
}
function errors(s) {
  const rows = s.errors.map(e => make("li", "", make("time", "quiet", moment(e.at)), make("span", e.level === "error" ? "bad" : "busy", e.level), make("bdi", "", (e.agent ? `${e.agent}: ` : "") + e.text)));
  $("errors").replaceChildren(...(rows.length ? rows : [none("None since the start.")]));
}
// What is as it was is left alone: somebody may stand on it with the keyboard.
const drawn = new Map();
function changed(name, data) {
  const text = JSON.stringify(data), same = drawn.get(name) === text;
  drawn.set(name, text);
  return !same;
}
function fleet(agents) {
  if (!changed("fleet", agents)) return;
  const focused = document.activeElement.href;
  const rows = agents.map(agent => {
    const name = agent.url && /^https?:/.test(agent.url) ? make("a", "name") : make("span", "name");
    name.textContent = agent.host || agent.url;
    if (name.href !== undefined) { name.href = agent.url; name.rel = "noreferrer"; }
    const kind = agent.error ? "bad" : STATES[agent.state] || "";
    return make("li", "two", make("span", "", name, " ", make("small", "", `${agent.url || ""} ${agent.version || ""}`), agent.error && make("small", "bad", " " + agent.error)),
      make("span", "", make("span", "pill " + kind, agent.error ? "silent" : agent.state || "?"), " ", make("small", "", `${number(agent.ended)} done, ${number(agent.inflight)} in flight` + (agent.parked ? `, ${number(agent.parked)} parked` : ""))));
  });
  $("fleet-note").textContent = rows.length ? `${rows.length} ${rows.length === 1 ? "agent" : "agents"}` : "";
  $("fleet").replaceChildren(...(rows.length ? rows : [none("No agent is registered in the ledger.")]));
  if (focused) [...$("fleet").querySelectorAll("a")].find(link => link.href === focused)?.focus();
}
function promises(checked) {
  if (!checked) {
    $("promises-note").textContent = "not checked";
    $("promises").replaceChildren(make("li", "none", "Not checked yet: `skyferry check` tries everything that they rest on."));
    return;
  }
  $("promises-note").textContent = "checked " + ago(checked.at);
  $("promises").replaceChildren(...checked.promises.map(one => {
    const [mark, kind, why] = one.in_doubt ? ["✕", "bad", "in doubt: " + one.weaker.join("; ")] : one.weaker.length ? ["!", "busy", "weaker: " + one.weaker.join("; ")]
      : one.not_tried ? ["?", "quiet", "not tried: " + one.not_tried] : ["✓", "good", "kept"];
    const row = make("li", "", make("b", kind, mark), make("span", "", one.name, kind === "good" ? null : make("small", kind, " " + why)));
    row.title = why;
    return row;
  }));
}
function show(s) {
  const word = stateOf(s);
  if ($("state").textContent !== word) $("state").textContent = word;
  $("state").className = "pill " + STATES[word];
  $("host").textContent = s.host;
  document.title = `${word} · ${s.host} · Skyferry`;
  $("about").textContent = `version ${s.version}, up for ${time(s.uptime_seconds)}, queue ${s.queue.name}` + (s.bandwidth_limit ? `, limited to ${size(s.bandwidth_limit)}/s` : "");
  $("source").textContent = s.source; $("destination").textContent = s.destination;
  $("routes").textContent = s.routes.slice(0, 8).join("  ·  ") + (s.routes.length > 8 ? `  and ${s.routes.length - 8} more` : "");
  $("routes").hidden = !s.routes.length;
  document.body.classList.toggle("flying", s.bytes_moved !== before);
  before = s.bytes_moved;
  banners(s); transfers(s); outcomes(s); errors(s);
  const reasons = Object.entries(s.parked_by_reason).map(([reason, count]) => `${reason} ${number(count)}`);
  $("parked-note").title = reasons.join(", ");
  $("actions").hidden = !s.actions;
  $("pause").textContent = s.paused ? "Resume" : "Pause";
  paused = Boolean(s.paused);
  if (s.agents) fleet(s.agents);
}
let before = null, paused = false, letters = false;

async function get(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(10000) });
  if (!answer.ok) throw new Error(answer.status);
  return answer.json();
}
async function showParked() {
  const search = $("search").value;
  try {
    const found = await get("parked.json?search=" + encodeURIComponent(search));
    if (search !== $("search").value) return;
    letters = found.dead_letters;
    $("redrive").hidden = !letters || !found.waiting;
    $("parked-note").textContent = found.error || `${number(found.waiting)} ${found.dead_letters ? "dead letters" : "since the start"}` + (search ? `, ${number(found.found)} found` : "");
    if (!changed("parked", found)) return;
    $("kinds").replaceChildren(...Object.entries(found.kinds).sort((a, b) => b[1] - a[1]).slice(0, 8).map(([kind, count]) => {
      const row = make("button", "", make("b", "", number(count)), make("span", "", kind));
      row.type = "button";
      row.addEventListener("click", () => { const words = kind.split("…").sort((a, b) => b.length - a.length)[0].split(": ").pop().trim(); $("search").value = words.slice(0, 60); showParked(); });
      return row;
    }));
    const open = new Set([...document.querySelectorAll("#parked details[open]")].map(one => one.dataset.id));
    const rows = found.letters.map(one => {
      const detail = make("details", "", make("summary", "two", make("span", "name", key(one.object)), make("small", "", moment(one.at))), make("code", "", one.reason));
      detail.dataset.id = one.id || one.object;
      detail.open = open.has(detail.dataset.id);
      return make("li", "", detail);
    });
    $("parked").replaceChildren(...(rows.length ? rows : [none(search ? "Nothing is found." : "Nothing is parked.")]));
  } catch { $("parked-note").textContent = "not known"; }
}
async function showFleet() {
  try {
    const all = await get("fleet.json");
    if (!all.live) fleet(all.agents);
    promises(all.checked);
  } catch { $("fleet-note").textContent = "not known"; }
}

// Actions: the token stays in this page's memory, and goes in a header.
let token = "";
function ask(title, text, name, body) {
  $("ask-title").textContent = title; $("ask-text").textContent = text; $("ask-error").textContent = "";
  $("ask-why").hidden = name !== "pause"; $("why").value = ""; $("ask-rate").hidden = name !== "limit"; $("rate").value = ""; $("token").value = token;
  $("ask").onsubmit = async event => {
    event.preventDefault();
    token = $("token").value;
    const sent = name === "pause" ? { reason: $("why").value || null } : name === "limit" ? { rate: $("rate").value } : body;
    try {
      const answer = await fetch("actions/" + name, { method: "POST", headers: { "Content-Type": "application/json", Authorization: "Bearer " + token }, body: JSON.stringify(sent) });
      if (!answer.ok) { if (answer.status === 401) token = ""; throw new Error((await answer.json()).error); }
      $("ask").close(); showParked();
    } catch (error) { $("ask-error").textContent = error.message; }
  };
  $("ask").showModal();
}
$("ask-no").addEventListener("click", () => $("ask").close());
$("pause").addEventListener("click", () => paused ? ask("Resume the fleet", "Every agent continues within about 15 seconds.", "resume", {}) : ask("Pause the fleet", "Every agent finishes what is in flight and receives nothing more.", "pause", {}));
$("limit").addEventListener("click", () => ask("Limit the bandwidth", "Every agent follows within about 15 seconds, until the limit is changed or off.", "limit", {}));
$("redrive").addEventListener("click", () => ask("Send dead letters again", "All of them become new messages in the queue.", "redrive", {}));

function live(on, text) { $("live").className = on ? "on" : "off"; $("live-text").textContent = text; }
function heard(event) {
  if (event.charts) { history = event.charts; CHARTS.forEach(drawChart); }
  show(event.report);
  live(true, "live");
}
let polling = null;
function poll() {
  // A page without a place among the live ones asks by itself; so does one behind what holds streams back.
  polling ??= setInterval(async () => {
    try { heard({ report: await get("status.json"), charts: await get("charts.json") }); live(true, "every 5 s"); } catch { silent(); }
  }, 5000);
}
function silent() {
  live(false, "does not answer");
  $("state").textContent = "silent"; $("state").className = "pill bad";
}
function connect() {
  const events = new EventSource("events");
  events.onmessage = message => { clearInterval(polling); polling = null; heard(JSON.parse(message.data)); };
  events.onerror = () => { silent(); poll(); if (events.readyState === EventSource.CLOSED) setTimeout(connect, 10000); };
}
for (const name of ["fine", "coarse"]) $("range-" + name).addEventListener("click", () => choose(name));
let typed = null;
$("search").addEventListener("input", () => { clearTimeout(typed); typed = setTimeout(showParked, 250); });
document.addEventListener("keydown", event => {
  if (event.key === "/" && !/INPUT|TEXTAREA/.test(document.activeElement.tagName)) { event.preventDefault(); $("search").focus(); }
});
setUpCharts(); choose("fine"); connect(); showParked(); showFleet();
setInterval(showParked, 10000); setInterval(showFleet, 15000);
