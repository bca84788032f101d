// Figures: the service's Plotly JSON, drawn in the page's colours once they are near the window: with hundreds of arms, each takes
// Plotly a second or more. plotly.js (4.8 MB) is loaded with the first figure.
import { Away } from "./api.js";
import { isDark } from "./dark.js";
import { el } from "./dom.js";

const CROWDED = 25; // points of a line; with more, markers would hide it
const MARKERS = 3000; // of a figure; with more, they take longer to draw than all lines
const NEAR = "100% 0px"; // how far around the window figures are drawn: a window's height above and below it
const REST = 4; // times as long as it took to draw, a figure keeps what it shows before it follows new results
const PANEL = 260; // px that a panel needs next to others
const GAP = 62; // px between stacked panels, for the axis between them
const STEP = 20; // px of width from which on texts are wrapped anew
const SWATCH = 6; // letters that the line next to a name in the legend takes
const SIDES = 80; // px to the left and right of the panels, without names
const ROW = 250; // px of height, where there are several rows of panels
const MARGIN = 0.05; // share of a logarithmic axis left free below its lowest line
const TITLE = 22; // px above a panel that has a title
const HEIGHT = 360; // px of a figure without rows of names
const LETTER = 7; // px of a letter on average, at 13 px
const LARGER = 1.2; // by which Plotly writes the title of an axis larger
const NAMES = 0.35; // share of the width that the names along an axis may take
const NAME = 24; // characters that they may take at least
const WORDS = 16; // characters of a line of an axis's title, at least
const [LINE, APART] = [17, 9]; // px of a line of a name, and between two names
const AROUND = 110; // px above and below the rows: margins, axis and title
const BETWEEN = 2.5; // rows between two blocks of a forest, as `service.drawing.plots` leaves them
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

// The element of a figure. Plotly owns what is drawn in it, so it stays where it is: once it is in the document, another one stands for it.
export function figure(name, label) {
  const place = el("div", { class: "figure", "data-key": `figure-${name}`, "data-foreign": true, role: "img", "aria-label": label });
  if (!places.has(name)) {
    const entry = { place, near: false, drawn: null, again: null };
    new IntersectionObserver((changes) => {
      entry.near = changes.at(-1).isIntersecting;
      if (entry.near) entry.again?.();
    }, { rootMargin: NEAR }).observe(place);
    places.set(name, entry);
  }
  const known = places.get(name).place;
  return known.isConnected ? place : known;
}

// Draw a figure, or redraw it if anything changed; now, or as soon as it is near the window. `asked`: which question `plot` answers;
// `off`: hidden arms; `legend`: whether groups of lines are named above them.
export async function show(name, plot, asked, { off = [], log = false, legend = true } = {}) {
  const entry = places.get(name);
  const panels = Object.keys(plot.layout).filter((key) => /^xaxis/.test(key)).length;
  const { rows = 1, columns = 1 } = plot.layout.meta;
  const room = STEP * Math.floor(entry.place.clientWidth / STEP);
  const names = namesOf(plot, room);
  const each = rows > 1 ? ROW : heightOf(names);
  const stacked = columns > 1 && room / columns < PANEL;
  const wanted = JSON.stringify([asked, off, log, dark(), room]);
  const isDrawn = () => entry.drawn?.wanted === wanted && (entry.drawn.plot === plot || performance.now() < entry.drawn.rest);
  if (isDrawn()) return;
  const hidden = new Set(off);
  const lines = plot.data.filter((trace) => trace.legendgroup && !hidden.has(trace.legendgroup) && trace.hoverinfo !== "skip");
  const marked = plot.data.reduce((sum, { mode, x }) => sum + (mode === "lines+markers" ? x.length : 0), 0) <= MARKERS;
  const data = plot.data.map((trace) => ({ ...coloured(trace, marked), visible: !hidden.has(trace.legendgroup), showlegend: trace.showlegend && (legend || !trace.legendgroup) }))
    .map((trace) => (trace.showlegend ? { ...trace, name: fold(trace.name, room / LETTER - SWATCH) } : trace));
  const layout = { ...plot.layout, ...colours(), height: rows * each, legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" } };
  if (data.some((trace) => trace.showlegend)) {
    const titled = layout.annotations && rows === 1 && !stacked; // otherwise the titles are within the top row
    layout.margin = { ...layout.margin, t: titled ? 45 + TITLE : 45 };
    if (titled) layout.legend.y += TITLE / layout.height;
  }
  for (const axis of Object.keys(layout).filter((key) => /^[xy]axis/.test(key))) {
    // plotly.js takes the range of axes that match for one of all that match others, unless they say that they have none.
    const auto = layout[axis].range ? {} : { autorange: true };
    // Each label would be measured once for each other one, to find those beyond an edge; there are none, thanks to `automargin`.
    const labels = { automargin: true, ticklabeloverflow: "allow" };
    layout[axis] = { ...layout[axis], ...auto, ...labels, gridcolor: ink(0.12), zerolinecolor: ink(0.35) };
    if (log && axis.startsWith("y")) layout[axis] = { ...layout[axis], type: "log", range: powers(plot, axis) };
    if (names.has(axis)) layout[axis].ticktext = names.get(axis);
  }
  if (stacked) stack(layout, panels, each);
  foldTitles(layout, room - widthOf(names) - SIDES);
  if (names.size) layout.height += LARGER * LINE * titleBreaks(layout); // taken from no row
  if (lines.length && lines.length <= 12 && log !== null) layout.hovermode = "x unified";
  entry.place.style.height = `${layout.height}px`; // otherwise Plotly, on a resize, takes the height it finds
  const Plotly = await library();
  entry.again = () => show(name, plot, asked, { off, log, legend }); // only now: nobody would hear that the library is missing
  if (isDrawn() || !(entry.near || printing)) return;
  // Plotly keeps the range for a double click from the first drawing; after a change of scale or range, start anew.
  const ends = JSON.stringify(Object.entries(layout).map(([key, part]) => part?.range && [key, part.type, part.range]));
  const draw = entry.drawn?.ends === ends ? Plotly.react : Plotly.newPlot;
  const begun = performance.now();
  const drawing = draw(entry.place, data, layout, { displayModeBar: false, responsive: true });
  const took = performance.now() - begun; // the promise only waits for fonts and the like
  entry.drawn = { plot, wanted, ends, rest: begun + took + REST * took };
  await drawing;
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
    if (at < panels - 1) x.title = { text: "" }; // as below the last one
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

// Axis -> the names of the rows along it, in lines that leave room for what is drawn.
function namesOf({ layout }, room) {
  const axes = Object.keys(layout).filter((key) => /^yaxis/.test(key) && layout[key].ticktext);
  const most = Math.max(NAME, (NAMES * room) / LETTER);
  return new Map(axes.map((axis) => [axis, layout[axis].ticktext.map((text) => fold(text, most))]));
}

const linesOf = (names) => [...names.values()].flat().map((name) => name.split("<br>"));

const widthOf = (names) => LETTER * Math.max(0, ...linesOf(names).flat().map((line) => line.length));

// A forest plot grows with its rows, in blocks that have an axis each.
function heightOf(names) {
  if (!names.size) return HEIGHT;
  const lines = linesOf(names);
  return AROUND + (APART + LINE * Math.max(1, ...lines.map((name) => name.length))) * (lines.length + BETWEEN * (names.size - 1));
}

// Wrap what is longer than its axis: Plotly would cut it off at the edge of the figure.
function foldTitles(layout, width) {
  for (const axis of Object.keys(layout).filter((key) => /^[xy]axis/.test(key))) {
    const { title, domain: [from, to] = [0, 1] } = layout[axis];
    const length = (to - from) * (axis.startsWith("x") ? width : layout.height - AROUND);
    if (title) layout[axis].title = { ...title, text: fold(title.text, Math.max(WORDS, length / (LARGER * LETTER))) };
  }
}

const titleBreaks = (layout) => Math.max(...Object.keys(layout).filter((key) => /^xaxis/.test(key))
  .map((axis) => (layout[axis].title?.text ?? "").split("<br>").length - 1));

// Break after commas, between words where a part is still too long, and within a word that is; never within an entity such as `&amp;`.
function fold(text, most) {
  const lines = [""];
  const within = new RegExp(`(?:&\\w+;|.){1,${Math.max(1, Math.floor(most) - 1)}}`, "gu");
  const parts = text.split(/(?<=,) /).flatMap((part) => (part.length < most ? part : part.split(" ")));
  for (const word of parts.flatMap((part) => (part.length < most ? part : part.match(within)))) {
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

function coloured(trace, marked) {
  const changed = { ...trace };
  if (trace.legendgroup && trace.mode === "lines+markers" && (!marked || trace.x.length > CROWDED)) changed.mode = "lines";
  for (const part of ["line", "marker"]) {
    if (typeof trace[part]?.color === "string") changed[part] = { ...trace[part], color: seen(trace[part].color) };
  }
  if (trace.fillcolor && dark()) changed.fillcolor = trace.fillcolor.replace(/^rgba\(0,0,0,/, "rgba(230,233,236,");
  return changed;
}

for (const happened of ["themechange", "resize", "beforeprint", "afterprint"]) {
  addEventListener(happened, () => {
    printing = happened === "beforeprint";
    for (const { again } of places.values()) again?.();
  });
}
