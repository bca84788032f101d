// Parts that several pages share: progress bars, notices, tables, request buttons, dialogs, events.
import { el, say } from "./dom.js";
import { clock, count, duration, plural, secondsSince, sentence } from "./format.js";
import { query } from "./query.js";

export const TRIAL_STATES = ["succeeded", "running", "failed", "cancelled", "queued"];

export const hasEnded = ({ trials }) => !(trials.queued + trials.running);

export const finished = ({ trials }) => trials.succeeded + trials.failed + trials.cancelled;

// One bar, with a segment for each state.
export function progress(sweep) {
  const done = finished(sweep);
  const said = TRIAL_STATES.filter((state) => sweep.trials[state]).map((state) => `${count(sweep.trials[state])} ${state}`);
  const parts = TRIAL_STATES.map((state) =>
    el("span", { class: state, style: { width: `${(100 * sweep.trials[state]) / sweep.trials_total}%` } }));
  return el("div", {
    class: "bar", role: "progressbar", "aria-label": `Trials of ${sweep.name}`, "aria-valuemin": 0, "aria-valuenow": done,
    "aria-valuemax": sweep.trials_total, "aria-valuetext": said.join(", "), title: said.join(", "),
  }, parts);
}

// `4.2 trials per minute, about 3 min left`; empty if unknown, paused or done.
export function pace(sweep) {
  const left = sweep.trials_total - finished(sweep);
  const done = finished(sweep) - sweep.finished_before;
  if (!sweep.paced_from || done <= 0 || !left || sweep.paused_at) return "";
  const seconds = secondsSince(sweep.paced_from) / done;
  const [rate, unit] = seconds < 60 ? [60 / seconds, "minute"] : [3600 / seconds, "hour"];
  return `${rate < 10 ? rate.toFixed(1) : Math.round(rate)} trials per ${unit}, about ${duration(seconds * left)} left`;
}

// How long the trials of a plan take.
export function wait({ wall_seconds: seconds, slots, unknown }) {
  if (seconds === null) return "not known yet: nothing similar has run on this service";
  return `about ${duration(seconds)} with ${plural(slots, "trial")} at once` + (unknown ? `, plus ${plural(unknown, "trial")} of unknown length` : "");
}

// Links to the sweeps that have the tag, too.
export const tags = (sweep) => sweep.tags.map((tag) => [" ", el("a", { class: "tag", href: `/?tag=${encodeURIComponent(tag)}` }, tag)]);

export const notice = (...children) => el("p", { class: "notice" }, children);

// A table. If it is wider than the window, it scrolls, by keyboard too.
export function grid(caption, heads, rows, attributes = {}) {
  const head = el("tr", {}, heads.map((title) => el("th", { scope: "col" }, title)));
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    el("table", attributes, el("caption", { class: "unseen" }, caption), el("thead", {}, head), el("tbody", {}, rows)));
}

// Whether a cell is wrapped also where the window is narrow.
export const isLong = (text) => text.length > 40;

export const row = (key, ...cells) => el("tr", { "data-key": key }, cells.map((cell) => {
  const made = el("td", {}, cell);
  if (isLong(made.textContent)) made.className = "long";
  return made;
}));

export function choice(label, options, chosen, onchange) {
  const shown = options.map(([value, text]) => el("option", { value, selected: value === chosen }, text));
  return el("label", {}, label, " ", el("select", { value: chosen, onchange: (event) => onchange(event.target.value, event.target) }, shown));
}

export const facts = (pairs) => el("dl", { class: "facts" }, pairs.filter(([, found]) => found !== null && found !== undefined && found !== "")
  .map(([name, found]) => el("div", { "data-key": name }, el("dt", {}, name), el("dd", {}, found))));

// A button that says why its request would be refused. It stays focusable, so that everyone can hear why.
export function request(label, refusal, onclick, attributes = {}) {
  const why = refusal && sentence(refusal);
  return el("button", {
    type: "button", "aria-disabled": why ? "true" : null, title: why, "aria-description": why, ...attributes,
    onclick: () => (why ? say(why) : onclick()),
  }, label);
}

// Buttons to the first and the next page; a page token does not lead back.
export function pager(next, first, go) {
  if (!next && first) return null;
  return el("p", { class: "pager" },
    el("button", { type: "button", disabled: first, onclick: () => go("") }, "First page"),
    el("button", { type: "button", disabled: !next, onclick: () => go(next) }, "Next page"));
}

// Ask in a dialog: resolves to the values of its fields by name; null if dismissed.
// A field is { name, label, value } and attributes of its element; `rows` makes it a text area.
export function question({ title, text, yes, no = "Close", danger = false, fields = [] }) {
  return new Promise((answer) => {
    const close = (value) => {
      dialog.close();
      dialog.remove();
      answer(value);
    };
    const inputs = fields.map(({ label, ...attributes }) => el(attributes.rows ? "textarea" : "input", attributes));
    const valueOf = (input) => (input.type === "number" ? input.valueAsNumber : input.value);
    const done = () => {
      if (inputs.every((input) => input.reportValidity())) close(Object.fromEntries(inputs.map((input) => [input.name, valueOf(input)])));
    };
    const dialog = el("dialog", { "aria-labelledby": "question" },
      el("h2", { id: "question" }, title), el("p", {}, text),
      inputs.map((input, at) => el("label", {}, fields[at].label, " ", input)),
      el("p", { class: "buttons" },
        el("button", { type: "button", onclick: () => close(null) }, no),
        el("button", { type: "button", class: danger ? "danger" : "primary", onclick: done }, yes)));
    dialog.oncancel = () => close(null);
    dialog.onkeydown = (event) => {
      if (event.key !== "Enter" || !event.target.matches("input")) return;
      event.preventDefault(); // otherwise it would press the button that has the focus once the dialog is gone
      done();
    };
    document.body.append(dialog);
    dialog.showModal();
  });
}

// Events, newest first; the address's `parameter` holds the page token.
export function events({ items, next_page_token }, parameter = "events") {
  if (!items.length) return el("p", { class: "quiet" }, "No events yet.");
  const rows = items.map((event) => row(String(event.id), clock(event.at),
    event.trial_id ? el("a", { href: `/trials/${event.trial_id}` }, `trial ${event.trial_id}`) : "whole sweep",
    event.to_state ? [`${event.from_state} → ${event.to_state}`, event.reason && ` (${event.reason})`] : event.kind,
    event.message ?? ""));
  return [
    grid("Events, newest first", ["Time", "Trial", "Change", "Message"], rows),
    pager(next_page_token, !query.get(parameter), (token) => query.set({ [parameter]: token })),
  ];
}
