// `/new`: a sweep from a preset, from another sweep or from scratch, with its plan, and its errors
// next to the lines they are about.
import { get, post, Problem } from "../api.js";
import { el, say } from "../dom.js";
import { count, plural, sentence } from "../format.js";
import { choice, facts, notice, question, wait } from "../parts.js";
import { query } from "../query.js";
import { root } from "../root.js";
import { lineOf, toYaml } from "../yaml.js";

const WAIT = 400; // ms after the last key before asking for the plan

export function open({ draw, title }) {
  const state = { presets: [], text: null, taken: null, preset: null, plan: null, current: false, faults: [], refused: null, checked: null, sending: false };
  const keys = new Map(); // text -> idempotency key: pressing again after a lost answer must not submit twice
  let timer = null;
  title("New sweep");

  async function take(preset) {
    const sweep = query.get("from");
    let text = "";
    if (sweep) text = toYaml((await get(`/sweeps/${encodeURIComponent(sweep)}`)).spec);
    else if (preset) text = (await get(`/presets/${encodeURIComponent(preset)}`)).text;
    Object.assign(state, { preset, text, taken: text });
    await check();
  }

  async function check() {
    const text = state.text;
    const found = { plan: null, faults: [], refused: null };
    outdate();
    if (text.trim()) {
      try {
        found.plan = await post("/sweeps?validate_only=true", text);
      } catch (error) {
        if (!(error instanceof Problem) || error.status === 401) throw error;
        Object.assign(found, told(text, error));
      }
    }
    state.checked = text;
    if (text === state.text) Object.assign(state, found, { current: found.plan !== null });
    show();
  }

  async function submit() {
    state.sending = true;
    show();
    try {
      if (!keys.has(state.text)) keys.set(state.text, randomKey());
      const sweep = await post("/sweeps", state.text, { "Idempotency-Key": keys.get(state.text) });
      state.taken = state.text;
      location.assign(`${root}/sweeps/${sweep.id}`);
    } catch (error) {
      state.sending = false;
      if (error instanceof Problem) Object.assign(state, { refused: null }, told(state.text, error));
      say(error.message);
      show();
    }
  }

  const own = () => Boolean(state.text?.trim()) && state.text !== state.taken;

  // Never discard typed text without asking.
  async function choosePreset(preset, select) {
    const text = "The preset will replace it, and your text will be lost.";
    if (own() && !(await question({ title: "Replace your text?", text, yes: "Use the preset", no: "Keep my text", danger: true }))) {
      select.value = state.preset ?? "";
      return;
    }
    select.focus(); // a focused textarea keeps its text; this one may be replaced
    query.set({ preset, from: "" });
  }

  addEventListener("beforeunload", (event) => own() && event.preventDefault());

  // After going back from the submitted sweep, a browser may show this page exactly as it was left.
  addEventListener("pageshow", ({ persisted }) => {
    if (!persisted) return;
    state.sending = false;
    show();
  });

  // The plan of the text before stays until the next one is known: otherwise all below would move at every key.
  function outdate() {
    Object.assign(state, { faults: [], current: false });
    show();
  }

  const typed = (event) => {
    state.text = event.target.value;
    outdate();
    clearTimeout(timer);
    timer = setTimeout(() => {
      timer = null;
      check().catch((error) => say(error.message));
    }, WAIT);
  };

  function show() {
    const options = [["", "none (write your own)"], ...state.presets.map(({ name, trials_total }) => [name, `${name} (${plural(trials_total, "trial")})`])];
    draw(
      el("h1", {}, "New sweep"),
      el("div", { class: "filters" },
        choice("Preset", options, state.preset ?? "", choosePreset)),
      el("div", { role: "alert" }, state.refused && notice(sentence(state.refused))),
      el("div", { class: "editor" },
        el("label", { for: "spec", class: "unseen" }, "Sweep as YAML or JSON"),
        el("ol", { class: "gutter", "aria-hidden": "true" }, state.text.split("\n").map((_, line) =>
          el("li", { class: state.faults.some((fault) => fault.line === line) && "faulty" }))),
        el("textarea", {
          id: "spec", spellcheck: "false", wrap: "off", value: state.text, oninput: typed, rows: Math.max(12, state.text.split("\n").length),
          "aria-invalid": state.faults.length ? "true" : null, "aria-describedby": "faults",
          placeholder: "name: …\nbase:\n  dataset: digits\n  model: fcnet\n  optimizer: {name: adam}\n  epochs: 5\n  batch_size: 128\nseeds: 3",
        }),
        el("ul", { id: "faults", class: "faults", "aria-label": "Errors" }, beside(state.faults))),
      el("section", { class: "plan", "aria-live": "polite", "aria-busy": String(state.plan !== null && !state.current) }, state.plan && planned(state.plan)),
      el("p", { class: "buttons" },
        el("button", { type: "button", class: "primary", disabled: !state.current || state.sending, onclick: submit }, state.sending ? "Submitting…" : "Submit")));
  }

  return async function refresh() {
    if (!state.presets.length) state.presets = (await get("/presets")).items;
    const asked = query.get("preset");
    if (state.text === null || state.preset !== asked) await take(asked);
    else if (state.checked !== state.text && timer === null) await check(); // the answer was lost
    return false;
  };
}

const randomKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

// What is about the text stands beside its lines; the rest, such as a role or a limit, above all of it.
const told = (text, { faults, message }) => (faults.length ? { faults: placed(text, faults) } : { refused: message });

function placed(text, faults) {
  return faults.map(({ pointer, detail }) => {
    const said = pointer ? null : detail.match(/\bline (\d+)/);
    return { pointer, detail, line: said ? Number(said[1]) - 1 : lineOf(text, pointer) };
  }).sort((one, other) => one.line - other.line);
}

// Each at the height of its line, or below the one above it. 34 characters fit on a line, as page.css lays it out.
function beside(faults) {
  let free = 0;
  return faults.map(({ pointer, detail, line }) => {
    const top = Math.max(free, line);
    const text = `${pointer && `${pointer}: `}${detail}`;
    free = top + Math.ceil(text.length / 34);
    return el("li", { style: { "--at": top } }, el("span", { class: "unseen" }, `Line ${line + 1}: `), text);
  });
}

function planned(plan) {
  const { time, seeds } = plan;
  return [
    el("h2", {}, "Plan"),
    facts([
      ["Trials", `${count(plan.trials_total)}: ${plural(plan.arms_total, "arm")} × ${plural(seeds.seeds, "seed")}`],
      ["Time", wait(time)],
      ["Why it would wait", plan.waiting_for],
      ["Advice", plan.advice.length ? el("ul", {}, plan.advice.map((each) => el("li", {}, each))) : null],
      ["Already here", plan.present_elsewhere ? `${plural(plan.present_elsewhere, "trial")}, ${plan.reuse ? "reused" : "run again; set reuse: true to reuse them"}` : null],
      ["What the seeds can show", plan.comparisons ? seeds.sentence : "nothing is compared: no arm has a baseline"],
    ]),
    el("details", {}, el("summary", {}, "Arms"),
      el("ul", {}, plan.arms.map((arm) => el("li", {}, arm.label, arm.is_baseline && " (baseline)")))),
  ];
}
