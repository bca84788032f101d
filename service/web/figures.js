// Figures: what the service drew as Plotly JSON, in the page's colours. plotly.js is 4.8 MB, and is
// loaded when the first figure is.
import { Away } from "./api.js";
import { el } from "./dom.js";

const CROWDED = 25; // points of a line, above which markers hide it

let loading = null;

function library() {
  loading ??= new Promise((done, failed) => {
    const src = document.querySelector("meta[name=plotly]").content;
    const script = el("script", { src, onload: () => done(globalThis.Plotly), onerror: () => {
      loading = null;
      failed(new Away());
    } });
    document.head.append(script);
  });
  return loading;
}

const places = new Map();

// The place of a figure; the same one each time, since what is drawn in it is Plotly's.
export function figure(name, label) {
  if (!places.has(name)) {
    const place = el("div", { class: "figure", "data-key": `figure-${name}`, "data-foreign": true, role: "img", "aria-label": label });
    places.set(name, { place, drawn: null });
  }
  return places.get(name).place;
}

// Draw, or draw again what has changed. `off`: the arms that are not shown.
export async function show(name, plot, { off = [], log = false, height = 360 } = {}) {
  const entry = places.get(name);
  const wanted = JSON.stringify([off, log, height, dark()]);
  if (entry.drawn?.plot === plot && entry.drawn.wanted === wanted) return;
  const Plotly = await library();
  const hidden = new Set(off);
  const lines = plot.data.filter((trace) => trace.legendgroup && !hidden.has(trace.legendgroup) && trace.hoverinfo !== "skip");
  const data = plot.data.map((trace) => ({ ...coloured(trace), visible: !hidden.has(trace.legendgroup), showlegend: trace.showlegend && !trace.legendgroup }));
  const layout = { ...plot.layout, ...colours(), height, legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" } };
  if (data.some((trace) => trace.showlegend)) layout.margin = { ...layout.margin, t: 45 };
  for (const axis of Object.keys(layout).filter((key) => /^[xy]axis/.test(key))) {
    layout[axis] = { ...layout[axis], gridcolor: ink(0.12), zerolinecolor: ink(0.35), automargin: true };
    if (log && axis.startsWith("y")) layout[axis].type = "log";
  }
  if (lines.length && lines.length <= 12 && log !== null) layout.hovermode = "x unified";
  await Plotly.react(entry.place, data, layout, { displayModeBar: false, responsive: true });
  entry.drawn = { plot, wanted, again: () => show(name, plot, { off, log, height }) };
}

export const dark = () => getComputedStyle(document.documentElement).getPropertyValue("color-scheme").trim() === "dark"
  || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);

const ink = (opacity) => (dark() ? `rgba(230,233,236,${opacity})` : `rgba(28,31,35,${opacity})`);

const colours = () => ({
  paper_bgcolor: "rgba(0,0,0,0)",
  plot_bgcolor: "rgba(0,0,0,0)",
  font: { color: ink(0.95), family: "system-ui, sans-serif", size: 13 },
  hoverlabel: { bgcolor: dark() ? "#22272d" : "#ffffff", font: { color: dark() ? "#e6e9ec" : "#1c1f23" } },
});

// Black lines would not be seen on black.
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

addEventListener("themechange", () => {
  for (const { drawn } of places.values()) drawn?.again();
});
