// How soon each arm reaches a value of the table's metric, and how many times as fast as its baseline.
import { el } from "./dom.js";
import { duration, value, words } from "./format.js";
import { grid, row } from "./parts.js";

// `answer`: the service's, or null where no value is asked for; `choose(text)` is called with the value as it is typed, a share in percent.
export function speed(table, answer, typed, choose) {
  const percent = table.unit === "%";
  const input = el("input", {
    type: "number", step: "any", value: typed, min: percent ? 0 : null, max: percent ? 100 : null, size: 8,
    onchange: ({ target }) => target.reportValidity() && choose(target.value),
  });
  return [
    el("h2", {}, "How soon"),
    el("div", { class: "filters" },
      el("label", {}, `${words(table.metric)} of at ${table.higher_is_better ? "least" : "most"} `, input, percent && " %")),
    answer ? arms(answer) : el("p", { class: "quiet" }, "Name a value, and see when each arm reaches it."),
  ];
}

function arms({ items, comparisons }) {
  const against = new Map(comparisons.map((each) => [each.arm_id, each]));
  const times = (ratio) => (typeof ratio === "number" ? `${ratio.toFixed(2)} ×` : "–");
  const rows = items.map((arm) => {
    const paired = against.get(arm.arm_id);
    const open = arm.undecided.length ? `, ${arm.undecided.length} undecided` : "";
    return row(String(arm.arm_id), arm.label, `${arm.reached} of ${arm.trials}${open}`, value(arm.epochs), duration(arm.seconds),
      times(paired?.epoch_ratio), times(paired?.second_ratio), paired ? `${paired.faster}, ${paired.ties}, ${paired.slower}` : "–");
  });
  return [
    grid("How soon each arm reaches it",
      ["Arm", "Seeds that did", "Epochs", "Time", "As fast, by epochs", "By time", "Seeds faster, equal, slower"], rows),
    el("p", { class: "quiet caption" },
      "Medians over the seeds, where one that never gets there counts as later than any; as fast: the baseline's epochs (time) over the arm's, "
      + "paired by seed."),
  ];
}

// In the metric's own unit, or null where it is no number, or no share.
export function threshold(typed, table) {
  const number = Number.parseFloat(typed);
  if (!Number.isFinite(number)) return null;
  if (table.unit !== "%") return number;
  // 92.37 / 100 is a little more than 0.9237, which a trial may have reached.
  return number >= 0 && number <= 100 ? Number((number / 100).toPrecision(12)) : null;
}
