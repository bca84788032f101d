// Time to a target value of the table's metric, for each arm, and its speed-up over its baseline.
import { el } from "./dom.js";
import { duration, value, words } from "./format.js";
import { grid, row } from "./parts.js";

// `answer`: the service's, or null while no value is entered; `choose(text)` receives the value as typed, a share in percent.
export function speed(table, answer, typed, choose) {
  const percent = table.unit === "%";
  const input = el("input", {
    type: "number", step: "any", value: typed, min: percent ? 0 : null, max: percent ? 100 : null, size: 8,
    onchange: ({ target }) => target.reportValidity() && choose(target.value),
  });
  return [
    el("h2", {}, "Time to a target value"),
    el("div", { class: "filters" },
      el("label", {}, `${words(table.metric)} of at ${table.higher_is_better ? "least" : "most"} `, input, percent && " %")),
    answer ? arms(answer) : el("p", { class: "quiet" }, "Enter a value to see when each arm reaches it."),
  ];
}

function arms({ items, comparisons }) {
  const against = new Map(comparisons.map((each) => [each.arm_id, each]));
  const times = (ratio) => ({ 0: "never", Infinity: "∞" })[ratio] ?? (typeof ratio === "number" ? `${ratio.toFixed(2)} ×` : "–");
  const rows = items.map((arm) => {
    const paired = against.get(arm.arm_id);
    const open = arm.undecided.length ? `, ${arm.undecided.length} undecided` : "";
    return row(String(arm.arm_id), arm.label, `${arm.reached} of ${arm.trials}${open}`, value(arm.epochs), duration(arm.seconds),
      times(paired?.epoch_ratio), times(paired?.second_ratio), paired ? `${paired.faster}, ${paired.ties}, ${paired.slower}` : "–");
  });
  return [
    grid("Time to the target value",
      ["Arm", "Seeds that reached it", "Epochs", "Time", "Speed-up (epochs)", "Speed-up (time)", "Seeds faster, equal, slower"], rows),
    el("p", { class: "quiet caption" },
      "Medians over seeds; a seed that never reaches the value counts as later than any other. "
      + "Speed-up: the baseline's epochs (or time) divided by the arm's, paired by seed; never: on most seeds only the baseline "
      + "reaches the value; ∞: only the arm does. An arm that fluctuates more reaches a value sooner by luck: compare the curves, too."),
  ];
}

// The typed value in the metric's own unit; null if it is not a number, or out of range for a share.
export function threshold(typed, table) {
  const number = Number.parseFloat(typed);
  if (!Number.isFinite(number)) return null;
  if (table.unit !== "%") return number;
  // 92.37 / 100 is slightly more than 0.9237, so a trial at exactly 0.9237 would miss it.
  return number >= 0 && number <= 100 ? Number((number / 100).toPrecision(12)) : null;
}
