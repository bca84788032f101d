// Figures: the service's Plotly JSON, drawn in the page's colours. plotly.js (4.8 MB) is loaded with
// the first figure.
import { Away } from "./api.js";
import { isDark } from "./dark.js";
import { el } from "./dom.js";

const CROWDED = 25; // points of a line; with more, markers would hide it
const NARROW = 560; // px; in a narrower figure, long texts are wrapped
const PANEL = 260; // px that a panel needs next to others
const GAP = 62; // px between stacked panels, for the axis between them
const ROW = 250; // px of height, where there are several rows of panels
const MARGIN = 0.05; // share of a logarithmic axis left free below its lowest line
const TITLE = 22; // px above a panel that has a title
// plotly.js adds the style of a map library unless an element has this id. No figure is a map, and
// the content security policy would refuse the style with an error.
const MAPS = "9f215cf04c5486422605d13261cb87401f4e7763b6296af81e98efbc0130da53";

let loading = null;

function library() {
  loading ??= new Promise((done, failed) => {
    const src = document.querySelector("meta[name=plotly]").content;
    const script = el("script", { src, onload: () => done(globalThis.Plotly), onerror: () => {
      loading = null;
      failed(new Away());
    } });
    document.head.append(el("meta", { id: MAPS }), script);
  });
  return loading;
}

const places = new Map();

// The element of a figure; the same one each time, because Plotly owns what is drawn in it.
export function figure(name, label) {
  if (!places.has(name)) {
    const place = el("div", { class: "figure", "data-key": `figure-${name}`, "data-foreign": true, role: "img", "aria-label": label });
    places.set(name, { place, drawn: null });
  }
  return places.get(name).place;
}

// Draw a figure, or redraw it if anything changed. `off`: hidden arms; `legend`: whether groups of lines are named above them.
export async function show(name, plot, { off = [], log = false, height = 360, legend = true } = {}) {
  const entry = places.get(name);
  const panels = Object.keys(plot.layout).filter((key) => /^xaxis/.test(key)).length;
  const { rows = 1, columns = 1 } = plot.layout.meta;
  const room = entry.place.clientWidth;
  const narrow = room < NARROW;
  const each = rows > 1 ? ROW : height;
  const stacked = columns > 1 && room / columns < PANEL;
  const wanted = JSON.stringify([off, log, height, dark(), narrow, stacked]);
  if (entry.drawn?.plot === plot && entry.drawn.wanted === wanted) return;
  const hidden = new Set(off);
  const lines = plot.data.filter((trace) => trace.legendgroup && !hidden.has(trace.legendgroup) && trace.hoverinfo !== "skip");
  const data = plot.data.map((trace) => ({ ...coloured(trace), visible: !hidden.has(trace.legendgroup), showlegend: trace.showlegend && (legend || !trace.legendgroup) }));
  const layout = { ...plot.layout, ...colours(), height: rows * each, legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" } };
  if (data.some((trace) => trace.showlegend)) {
    const titled = layout.annotations && rows === 1 && !stacked; // otherwise the titles are within the top row
    layout.margin = { ...layout.margin, t: titled ? 45 + TITLE : 45 };
    if (titled) layout.legend.y += TITLE / layout.height;
  }
  for (const axis of Object.keys(layout).filter((key) => /^[xy]axis/.test(key))) {
    layout[axis] = { ...layout[axis], gridcolor: ink(0.12), zerolinecolor: ink(0.35), automargin: true };
    if (log && axis.startsWith("y")) layout[axis] = { ...layout[axis], type: "log", range: powers(plot, axis) };
    if (narrow) layout[axis] = { ...layout[axis], ...folded(layout[axis]) };
  }
  if (stacked) stack(layout, panels, each);
  if (lines.length && lines.length <= 12 && log !== null) layout.hovermode = "x unified";
  entry.place.style.height = `${layout.height}px`; // otherwise Plotly, on a resize, takes the height it finds
  const Plotly = await library();
  // Plotly keeps the range for a double click from the first drawing; after a change of scale or range, start anew.
  const ends = JSON.stringify(Object.entries(layout).map(([key, part]) => part?.range && [key, part.type, part.range]));
  const draw = entry.drawn?.ends === ends ? Plotly.react : Plotly.newPlot;
  await draw(entry.place, data, layout, { displayModeBar: false, responsive: true });
  entry.drawn = { plot, wanted, ends, again: () => show(name, plot, { off, log, height, legend }) };
}

// Stack the panels, each as high as the whole row was.
function stack(layout, panels, height) {
  layout.height = panels * height;
  const title = layout.annotations ? TITLE / layout.height : 0;
  for (let at = 0; at < panels; at += 1) {
    const axis = at ? String(at + 1) : "";
    const top = 1 - at / panels;
    const [x, y] = [layout[`xaxis${axis}`], layout[`yaxis${axis}`]];
    x.domain = [0, 1];
    if (title && at < panels - 1) x.title = { text: "" };
    y.title = y.title.text ? y.title : layout.yaxis.title; // next to another panel it had none
    y.domain = [at === panels - 1 ? 0 : top - 1 / panels + GAP / layout.height, top - title];
  }
}

// The range of a logarithmic axis, in exponents, if the linear one has a range because it cuts curves off at the top: the same top,
// and down to the lowest line, because 0 has no place on it.
function powers({ data, layout }, axis) {
  const [, top] = layout[axis].range ?? [];
  if (!(top > 0)) return undefined;
  const scale = (name) => layout[name.replace("y", "yaxis")].matches ?? name;
  const own = scale(axis.replace("axis", ""));
  const lines = data.filter(({ yaxis, hoverinfo }) => hoverinfo !== "skip" && scale(yaxis) === own);
  const low = lines.flatMap(({ y }) => y).reduce((least, y) => (y > 0 && y < least ? y : least), top);
  const [from, to] = [Math.log10(low), Math.log10(top)];
  return low < top ? [from - MARGIN * (to - from), to] : undefined;
}

// Wrap a long title, and long names along an axis.
const folded = ({ title, ticktext }) => ({
  title: title && { ...title, text: fold(title.text, 28) },
  ...(ticktext && { ticktext: ticktext.map((text) => fold(text, 24)) }),
});

// Break after commas, and between words where a part is still too long.
function fold(text, most) {
  const lines = [""];
  for (const word of text.split(/(?<=,) /).flatMap((part) => (part.length < most ? part : part.split(" ")))) {
    if (lines.at(-1) && lines.at(-1).length + word.length >= most) lines.push(word);
    else lines.push([lines.pop(), word].filter(Boolean).join(" "));
  }
  return lines.join("<br>");
}

let printing = false; // on white paper, whatever the theme

export const dark = () => !printing && isDark();

const ink = (opacity) => (dark() ? `rgba(230,233,236,${opacity})` : `rgba(28,31,35,${opacity})`);

const colours = () => ({
  paper_bgcolor: "rgba(0,0,0,0)",
  plot_bgcolor: "rgba(0,0,0,0)",
  font: { color: ink(0.95), family: "system-ui, sans-serif", size: 13 },
  hoverlabel: { bgcolor: dark() ? "#22272d" : "#ffffff", font: { color: dark() ? "#e6e9ec" : "#1c1f23" } },
});

// Black lines would be invisible on a dark page.
export const seen = (colour) => (colour === "#000000" && dark() ? "#e6e9ec" : colour);

function coloured(trace) {
  const changed = { ...trace };
  if (trace.legendgroup && trace.mode === "lines+markers" && trace.x.length > CROWDED) changed.mode = "lines";
  for (const part of ["line", "marker"]) {
    if (typeof trace[part]?.color === "string") changed[part] = { ...trace[part], color: seen(trace[part].color) };
  }
  if (trace.fillcolor && dark()) changed.fillcolor = trace.fillcolor.replace(/^rgba\(0,0,0,/, "rgba(230,233,236,");
  return changed;
}

for (const happened of ["themechange", "resize", "beforeprint", "afterprint"]) {
  addEventListener(happened, () => {
    printing = happened === "beforeprint";
    for (const { drawn } of places.values()) drawn?.again();
  });
}
