// The page: all sweeps, or one sweep with its table and mean learning curves, by polling.
const main = document.getElementById("main");
const id = location.pathname.startsWith("/sweeps/") ? location.pathname.split("/")[2] : null;
const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999"];

// Every string of a user becomes a text node, never markup.
function node(name, attributes = {}, ...children) {
  const svg = ["svg", "polyline", "text"].includes(name);
  const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

async function get(path) {
  const answer = await fetch("/api/v1" + path);
  if (!answer.ok) throw new Error((await answer.json()).detail);
  return answer.json();
}

function progress(sweep) {
  const { succeeded, failed, cancelled, running } = sweep.trials;
  const done = succeeded + failed + cancelled;
  return [
    node("progress", { value: done, max: sweep.trials_total, "aria-label": "trials done" }),
    ` ${done} of ${sweep.trials_total} done, ${running} running` + (failed ? `, ${failed} failed` : ""),
  ];
}

async function list() {
  const { items } = await get("/sweeps");
  if (!items.length) {
    return [node("p", {}, "No sweep yet. Submit one:"), node("pre", {}, "lrd submit FILE.yaml --watch")];
  }
  const rows = items.map((sweep) =>
    node("tr", {},
      node("td", {}, node("a", { href: "/sweeps/" + sweep.id }, sweep.name)),
      node("td", {}, sweep.state), node("td", {}, ...progress(sweep))));
  const head = node("tr", {}, ...["Sweep", "State", "Progress"].map((title) => node("th", {}, title)));
  return [node("table", {}, node("thead", {}, head), node("tbody", {}, ...rows))];
}

function chart(curves) {
  const shown = curves.filter((curve) => curve.epochs.length);
  if (!shown.length) return node("p", { class: "note" }, "No epoch reported yet.");
  const epochs = Math.max(2, ...shown.flatMap((curve) => curve.epochs));
  const values = shown.flatMap((curve) => curve.mean.filter((value) => value !== null));
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const x = (epoch) => 50 + (560 * (epoch - 1)) / (epochs - 1);
  const y = (value) => 270 - (250 * (value - low)) / (high - low || 1);
  const picture = node("svg", { viewBox: "0 0 900 300", role: "img", "aria-label": "mean test accuracy by epoch" });
  shown.forEach((curve, index) => {
    const colour = COLOURS[Math.floor(index / 2) % COLOURS.length];
    const points = curve.epochs.filter((_, at) => curve.mean[at] !== null)
      .map((epoch) => `${x(epoch)},${y(curve.mean[curve.epochs.indexOf(epoch)])}`).join(" ");
    const dash = index % 2 ? "" : "6 4";
    picture.append(node("polyline", { points, fill: "none", stroke: colour, "stroke-width": 2, "stroke-dasharray": dash }));
    picture.append(node("text", { x: 640, y: 24 + 22 * index, style: `fill:${colour}` }, (dash ? "- - " : "— ") + curve.label));
  });
  picture.append(node("text", { x: 4, y: 24 }, high.toFixed(3)), node("text", { x: 4, y: 272 }, low.toFixed(3)));
  picture.append(node("text", { x: 300, y: 294 }, `epoch 1 to ${epochs}`));
  return picture;
}

// One head line for each column path; equal neighbours share a cell.
function heads({ heads, columns, caption }) {
  const depth = Math.max(1, columns[0]?.length ?? 1);
  return Array.from({ length: depth }, (_, level) => {
    const line = level ? [] : heads.map((head) => node("th", { scope: "col", rowspan: depth }, head));
    for (let at = 0; at < columns.length; ) {
      const prefix = JSON.stringify(columns[at].slice(0, level + 1));
      let end = at + 1;
      while (end < columns.length && JSON.stringify(columns[end].slice(0, level + 1)) === prefix) end += 1;
      line.push(node("th", { scope: "col", colspan: end - at }, columns[at][level] ?? caption));
      at = end;
    }
    return node("tr", {}, ...line);
  });
}

function cell(shown) {
  if (!shown) return node("td");
  const whole = shown.n === shown.planned;
  const text = shown.text + (shown.significant ? " †" : "");
  return node("td", { title: `${shown.label}: ${shown.status}`, class: whole ? "" : "partial" },
    shown.best ? node("strong", {}, text) : text);
}

function results(table) {
  const body = table.rows.map((row) =>
    node("tr", {}, ...row.titles.map((title) => node("th", { scope: "row" }, title)), ...row.cells.map(cell)));
  return [
    node("table", {}, node("caption", {}, table.caption), node("thead", {}, ...heads(table)), node("tbody", {}, ...body)),
    node("ul", { class: "note" }, ...table.notes.map((note) => node("li", {}, note))),
  ];
}

async function one() {
  const [sweep, table, curves] = await Promise.all(["", "/table", "/curves"].map((part) => get("/sweeps/" + id + part)));
  return [
    node("h1", {}, sweep.name), node("p", {}, `${sweep.state}. `, ...progress(sweep)),
    ...results(table), node("h2", {}, `Mean ${curves.metric.replaceAll("_", " ")} by epoch`), chart(curves.items),
  ];
}

async function refresh() {
  if (!document.hidden) {
    try {
      main.replaceChildren(...(await (id ? one() : list())));
    } catch (error) {
      main.replaceChildren(node("p", { role: "alert" }, `${error.message}. Trying again…`));
    }
  }
  setTimeout(refresh, 2000);
}
refresh();
