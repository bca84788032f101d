// The files of a sweep: tables and texts for a paper, data, figures, and everything as one bundle.
import { download, withQuery } from "./api.js";
import { el } from "./dom.js";
import { figuresOf } from "./plots.js";
import { query } from "./query.js";

export function downloads(path, found) {
  const { sweep, table, plots } = found;
  const asked = { metric: query.get("metric"), at: query.get("at") };
  // Keyed by name: a link that appears while a reader clicks must not take another's place.
  const of = (text, address, name) => el("li", { "data-key": name }, el("a", download(address, `${sweep.id}${name}`), text));
  const both = (title, what) => [
    of(`${title} (LaTeX)`, withQuery(`${path}/${what}`, { ...asked, format: "latex" }), `-${what}.tex`),
    of(`${title} (CSV)`, withQuery(`${path}/${what}`, { ...asked, format: "csv" }), `-${what}.csv`),
  ];
  const drawing = ({ name, title }) => {
    const shown = name === "learning-curves" ? { metric: asked.metric, by: query.get("by") } : asked;
    return of(`${title} (SVG)`, withQuery(`${path}/figures/${name}.svg`, shown), `-${name}.svg`);
  };
  return [
    el("h2", {}, "Downloads"),
    el("ul", { class: "downloads" },
      both("Table", "table"),
      table.rows.some((row) => row.cells.some((cell) => cell?.comparison)) && both("Comparisons", "comparisons"),
      plots.effects?.data.length > 0 && both("Effects", "effects"),
      of("Methods (LaTeX)", withQuery(`${path}/methods`, { ...asked, format: "latex" }), "-methods.tex"),
      of("Methods (Markdown)", withQuery(`${path}/methods`, { ...asked, format: "markdown" }), "-methods.md"),
      of("Trials (CSV)", `${path}/export?format=csv&of=trials`, "-trials.csv"),
      of("Epochs (CSV)", `${path}/export?format=csv&of=reports`, "-reports.csv"),
      of("Epochs (Parquet)", `${path}/export?format=parquet&of=reports`, "-reports.parquet"),
      figuresOf(found).map(drawing),
      of("Everything (bundle)", `${path}/export?format=bundle`, ".zip")),
  ];
}
