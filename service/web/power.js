// How many seeds a difference from the baseline takes, by the spread that the seeds so far have shown.
import { el } from "./dom.js";
import { count, words } from "./format.js";
import { grid, row } from "./parts.js";

// `answer`: the service's, or null while no difference is entered; `choose(text)` receives it as typed, that of a share in percentage points.
export function power(table, answer, typed, choose) {
  const share = table.unit === "%";
  const input = el("input", {
    type: "number", step: "any", value: typed, min: 0, max: share ? 100 : null, size: 8,
    onchange: ({ target }) => target.reportValidity() && choose(target.value),
  });
  return [
    el("h2", {}, "Seeds for a difference"),
    el("div", { class: "filters" },
      el("label", {}, `A difference in ${words(table.metric)} of `, input, share && " percentage points")),
    answer ? arms(answer) : el("p", { class: "quiet" }, "Enter a difference that would matter to see how many seeds would find it."),
  ];
}

function arms({ items, notes, scale }) {
  const size = (found) => (found === null ? "–" : String(Number((scale * found).toPrecision(3))));
  const seeds = (each, found) => (each.std === null ? "–" : found === null ? "none can" : count(found));
  const rows = items.map((each) => row(String(each.arm_id), each.arm + (each.primary ? "" : ", exploratory"), String(each.n),
    size(each.std), size(each.detectable), seeds(each, each.seeds), seeds(each, each.seeds_high)));
  return [
    rows.length > 0 && grid("Seeds for the difference", ["Arm", "Seeds so far", "s", "Found so far", "Seeds needed", "If s is larger"], rows),
    el("p", { class: "quiet caption" }, notes.join(" ")),
  ];
}

// The typed difference in the metric's own unit; null if it is not a number above 0, or more than a share can differ.
export function difference(typed, table) {
  const number = Number.parseFloat(typed);
  if (!Number.isFinite(number) || number <= 0) return null;
  if (table.unit !== "%") return number;
  return number <= 100 ? Number((number / 100).toPrecision(12)) : null; // 0.3 / 100 is not 0.003
}
