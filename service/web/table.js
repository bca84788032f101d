// The results table: `mean ± std (n)` in each cell, and on hover or focus everything known about it.
import { el } from "./dom.js";
import { plural } from "./format.js";
import { isLong } from "./parts.js";

// `chosen` is called with the cell that is pressed.
export function results(table, chosen) {
  const published = new Map(table.expected.filter((each) => each.arm_id).map((each) => [each.arm_id, each]));
  const body = table.rows.map((row, number) =>
    el("tr", {},
      row.titles.map((title, at) => titleCell(table.rows, number, at, title)),
      row.cells.map((shown) => cell(shown, shown && published.get(shown.arm_id), table, chosen))));
  const lost = table.expected.filter((each) => !each.arm_id);
  return [
    el("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": "Results" },
      el("table", { class: "results" },
        el("caption", {}, table.caption), el("thead", {}, heads(table)), el("tbody", {}, body))),
    el("details", { class: "notes" },
      el("summary", {}, "How to read this table"),
      el("ul", {},
        table.rows.some((row) => row.cells.some((shown) => shown && shown.n !== shown.planned)) && el("li", {}, "Hatched: results of some planned seeds are missing."),
        table.notes.map((note) => el("li", {}, note)),
        table.source && el("li", {}, `Published values: ${table.source}.`),
        lost.map((each) => el("li", {}, `Published for ${each.label}: ${each.shown[0]}; ${each.verdict}.`)))),
  ];
}

// One row per level of the column paths; equal neighbours share a cell.
function heads({ heads, columns, caption }) {
  const depth = Math.max(1, columns[0]?.length ?? 1);
  return Array.from({ length: depth }, (_, level) => {
    const line = level ? [] : heads.map((head) => el("th", { scope: "col", rowspan: depth }, head));
    for (let at = 0; at < columns.length; ) {
      const prefix = JSON.stringify(columns[at].slice(0, level + 1));
      let end = at + 1;
      while (end < columns.length && JSON.stringify(columns[end].slice(0, level + 1)) === prefix) end += 1;
      const title = columns[at][level] ?? caption.split(",")[0];
      line.push(el("th", { scope: level < depth - 1 ? "colgroup" : "col", colspan: end - at }, title));
      at = end;
    }
    return el("tr", {}, line);
  });
}

// A title that repeats the one above is shown once, but read out each time.
function titleCell(rows, number, at, title) {
  const above = rows[number - 1]?.titles.slice(0, at + 1);
  const same = above && JSON.stringify(above) === JSON.stringify(rows[number].titles.slice(0, at + 1));
  return el("th", { scope: "row", class: isLong(title) && "long" }, el("span", { class: same && "unseen" }, title));
}

function cell(shown, published, table, chosen) {
  if (!shown) return el("td", { class: "hole" });
  const tip = `tip-${shown.arm_id}`;
  const [, mean, rest] = shown.text.match(/^(\S+)(.*)$/) ?? [null, shown.text, ""];
  const open = (event) => place(event.currentTarget);
  return el("td", { class: shown.n === shown.planned ? null : "partial" },
    el("button", {
      type: "button", class: "cell", "aria-describedby": tip, onfocus: open, onmouseenter: open,
      onclick: () => chosen(shown),
    },
    el(shown.best ? "strong" : "span", {}, mean), el("span", { class: "spread" }, rest), shown.significant && " †",
    published && [" ", el("span", { class: "published" }, `paper ${published.shown[0]}`)]),
    el("div", { class: "tip", role: "tooltip", id: tip }, tell(shown, published, table)));
}

let opened = null; // the cell whose tip was shown last

// Escape closes a tip wherever the focus is; on scrolling, a tip stays at its cell.
addEventListener("keydown", ({ key }) => key === "Escape" && opened?.nextElementSibling?.style.setProperty("display", "none"));
addEventListener("scroll", () => opened?.isConnected && move(opened), { capture: true, passive: true });

function place(button) {
  opened = button;
  button.nextElementSibling.style.removeProperty("display");
  move(button);
}

// Overlap the edge of the cell by a pixel, so that the pointer crosses no gap on its way into the tip.
function move(button) {
  const tip = button.nextElementSibling;
  const box = button.getBoundingClientRect();
  const width = Math.min(352, innerWidth - 16);
  const below = box.bottom + 220 < innerHeight || box.top < 240;
  tip.style.setProperty("width", `${width}px`);
  tip.style.setProperty("left", `${Math.max(8, Math.min(box.left, innerWidth - width - 8))}px`);
  tip.style.setProperty(below ? "top" : "bottom", `${below ? box.bottom - 1 : innerHeight - box.top - 1}px`);
  tip.style.setProperty(below ? "bottom" : "top", "auto");
}

// A value as the table writes it: a share as a percentage.
export const inUnit = (value, table) => (table.unit === "%" ? (value * 100).toFixed(2) : value.toPrecision(4));

// Arm id -> its name.
export const armNames = (table) => new Map(table.rows.flatMap((row) => row.cells).filter(Boolean).map((shown) => [shown.arm_id, shown.label]));

function tell(shown, published, table) {
  const unit = table.unit === "%" ? " points" : "";
  const lines = [el("strong", {}, shown.label), shown.status];
  const against = shown.comparison;
  if (against?.difference !== null && against?.difference !== undefined) {
    const { difference, interval, p_sign_flip, p_holm } = against.shown;
    lines.push(`${difference}${unit} against its baseline, over ${plural(against.n, "pair")}` + (against.t_low === null ? "" : `; 95 % interval ${interval}`));
    if (against.p_holm !== null) lines.push(`p = ${p_sign_flip} (sign flips), ${p_holm} after Holm`);
    else if (against.p_sign_flip !== null) lines.push(`p = ${p_sign_flip} (sign flips), not adjusted: an exploratory comparison`);
  } else if (!against) lines.push("No comparison: a baseline, or an arm without one.");
  if (published) lines.push(`paper ${published.shown[0]}, difference ${published.shown[2]}: ${published.verdict}`);
  return lines.map((line) => el("p", {}, line));
}
