// The figures of a sweep: which there are, how they are asked for and drawn, their legend and captions.
import { Away, get, withQuery } from "./api.js";
import { el } from "./dom.js";
import { figure, seen, show } from "./figures.js";
import { count } from "./format.js";
import { choice, hasEnded } from "./parts.js";
import { query } from "./query.js";
import { armNames } from "./table.js";

const POINTS = 400; // points per curve; more would not fit a window's pixels
const NARROW = 700; // px, as in page.css; a narrower window shows the curves of one metric

// `found`: the sweep, its table, and by name the plots so far and the addresses that gave them; `came` is called after each. Returns what
// the service said of one that failed, if any: the rest of the page does without it.
export async function findPlots(path, found, came) {
  let failure = null;
  const asked = { metric: query.get("metric"), at: query.get("at") };
  const metric = asked.metric || (innerWidth < NARROW ? found.table.metric : "");
  const curves = { metric, by: query.get("by"), points: POINTS };
  for (const { name } of figuresFor(found)) {
    const address = withQuery(`${path}/plots/${name}`, name === "learning-curves" ? curves : asked);
    try {
      found.plots[name] = await get(address);
      found.addresses[name] = address;
      came();
    } catch (error) {
      if (error instanceof Away) throw error; // nothing else would come either
      failure ??= error;
    }
  }
  return failure;
}

// Draw what differs of the figures on the page.
export function drawFigures(found) {
  const curves = { off: query.list("off"), log: query.get("scale") === "log", legend: false };
  const filled = figuresOf(found).filter(({ name }) => !isEmpty(found, name));
  return Promise.all(filled.map(({ name }) =>
    show(name, found.plots[name], found.addresses[name], name === "learning-curves" ? curves : { log: null })));
}

// The figures to request.
function figuresFor({ sweep, table }) {
  const cells = table.rows.flatMap((line) => line.cells).filter(Boolean);
  const surface = sweep.spec.base?.dataset === "surface";
  return [
    { name: "learning-curves", title: "Learning curves" },
    surface ? { name: "descent", title: "Descent paths" } : { name: "keep-prob", title: "Against the keep probability" },
    cells.some((cell) => (cell.comparison?.difference ?? null) !== null) && { name: "forest", title: "Against the baseline" },
    cells.length > 2 && cells.some((cell) => cell.n) && { name: "effects", title: "What each factor does" },
  ].filter(Boolean);
}

// Two depend on the plot's own `never`: there are no effects unless arms differ in several factors, and nothing to draw against a
// keep_prob that all arms share.
const SOME = new Set(["effects", "keep-prob"]);

const isEmpty = ({ plots }, name) => !plots[name].data.length;

// The figures to show: those that have come. One that is empty when the sweep has ended stays empty.
export const figuresOf = (found) => figuresFor(found)
  .filter(({ name }) => found.plots[name] && !(SOME.has(name) && found.plots[name].layout.meta.never))
  .filter(({ name }) => !(isEmpty(found, name) && hasEnded(found.sweep)));

export function figures(found) {
  return figuresOf(found).map(({ name, title }) => {
    const plot = found.plots[name];
    const nothing = isEmpty(found, name);
    const lines = name === "learning-curves";
    return el("div", { "data-key": name },
      el("h2", {}, title),
      lines && el("div", { class: "filters" },
        choice("Over", [["epoch", "epochs"], ["seconds", "time"]], query.get("by", "epoch"), (by) => query.set({ by })),
        choice("Scale", [["", "linear"], ["log", "logarithmic"]], query.get("scale"), (scale) => query.set({ scale }))),
      nothing ? el("p", { class: "quiet" }, lines ? "No epoch reported yet." : "No trial has succeeded yet.")
        : figure(name, `${title}; the numbers are in the table and the downloads`),
      lines && !nothing && legend(plot, found),
      !nothing && caption(plot));
  });
}

// Plotly's own legend cannot be reached by keyboard. This one can.
function legend(plot, { table }) {
  const off = new Set(query.list("off"));
  const labels = armNames(table);
  const arms = [...new Map(plot.data.filter((trace) => trace.mode === "lines+markers").map((trace) => [trace.legendgroup, trace])).values()];
  const toggle = (arm) => {
    if (!off.delete(arm)) off.add(arm);
    query.set({ off: [...off].join(",") });
  };
  const many = arms.length > 3;
  return el("fieldset", { class: "legend" }, el("legend", {}, many ? `Arms (${count(arms.length)})` : "Arms"),
    many && el("span", { class: "buttons" },
      el("button", { type: "button", onclick: () => query.set({ off: "" }) }, "All"), " ",
      el("button", { type: "button", onclick: () => query.set({ off: arms.map((trace) => trace.legendgroup).join(",") }) }, "None")),
    arms.map((trace) => el("label", { "data-key": trace.legendgroup },
      el("input", { type: "checkbox", checked: !off.has(trace.legendgroup), onchange: () => toggle(trace.legendgroup) }),
      el("span", { class: "swatch", style: { "border-top": `3px ${trace.line.dash === "dash" ? "dashed" : "solid"} ${seen(trace.line.color)}` } }),
      el("bdi", {}, labels.get(Number(trace.legendgroup)) ?? trace.legendgroup))));
}

// What is drawn; of thinned curves, how many of their points.
export function caption({ layout: { meta } }, csv = "the CSV") {
  const thinned = meta.of && ` Showing ${count(meta.points)} of ${count(meta.of)} points per curve; ${csv} has all of them.`;
  return el("p", { class: "quiet caption" }, meta.caption, thinned);
}
