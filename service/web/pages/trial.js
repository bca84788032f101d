// `/trials/{id}`: one training run, with its curves, attempts, log, configuration and events.
import { download, get, post, withQuery } from "../api.js";
import { el, say } from "../dom.js";
import { figure, show } from "../figures.js";
import { ago, badge, clock, count, duration, isShare, value, words } from "../format.js";
import { choice, events, facts, grid, question, request, row } from "../parts.js";
import { query } from "../query.js";
import { toYaml } from "../yaml.js";

const NO_METRIC = new Set(["epoch", "lr", "seconds", "attempt", "recorded_at"]);
const TAIL = 400; // lines of the log
const PAGE = 10_000; // epochs

const GAP = 0.08; // between two panels, as a share of the whole width

const kindOf = (name) => (isShare(name) ? "share (%)" : name.includes("loss") ? "loss" : "value");

const shown = (name, found) => (isShare(name) && typeof found === "number" ? `${(100 * found).toFixed(2)} %` : value(found));

export function open({ id, draw, title, refresh }) {
  const path = `/trials/${encodeURIComponent(id)}`;
  const found = { trial: null, attempts: [], reports: [], events: null, log: "", plot: null };

  async function load() {
    const trial = await get(path);
    const changed = trial !== found.trial;
    found.trial = trial;
    title(`Trial ${trial.id}`);
    const chosen = query.get("attempt");
    const tail = { tail: TAIL, attempt: chosen };
    const [attempts, reports, happened, log] = await Promise.all([
      get(`${path}/attempts`), everyReport(path), get(withQuery(`${path}/events`, { newest_first: true, page_size: 15, page_token: query.get("events") })),
      trial.attempt ? get(withQuery(`${path}/logs`, tail)) : "",
    ]);
    Object.assign(found, { attempts: attempts.items, events: happened, log });
    const known = reports.length === found.reports.length && reports.every((page, at) => page === found.reports[at]);
    if (!known || !found.plot || found.plot.metric !== query.get("metric")) {
      found.reports = reports;
      found.plot = plotOf(reports.flatMap(({ items }) => items), query.get("metric"));
    }
    paint();
    if (found.plot.data.length) await show("trial", found.plot, { log: query.get("scale") === "log", height: 320 });
    return changed;
  }

  async function ask(what) {
    try {
      await post(`${path}/${what}`);
      say(what === "retry" ? "Queued again. It resumes from its last checkpoint." : "Cancelling the trial…");
    } catch (error) {
      say(error.message);
    }
    refresh();
  }

  function paint() {
    const { trial } = found;
    const log = document.getElementById("log");
    const follows = !log || log.scrollHeight - log.scrollTop - log.clientHeight < 8;
    draw(
      el("nav", { class: "crumbs", "aria-label": "Breadcrumb" },
        el("a", { href: "/" }, "Sweeps"), " / ", el("a", { href: `/sweeps/${trial.sweep_id}` }, `sweep ${trial.sweep_id}`)),
      el("div", { class: "head" }, el("h1", {}, `${trial.label}, seed ${trial.seed}`), badge(trial.state, trial.reason)),
      trial.message && el("p", { class: "notice", "data-key": "message" }, trial.message),
      facts([["Trial", String(trial.id)], ["Epochs", `${count(trial.epochs_done)} of ${count(trial.epochs)}`], ["Trained for", duration(trial.seconds || null)],
        ["Attempt", String(trial.attempt)], ["Losses in a row", trial.losses || null], ["Resources", trial.cpus ? `${trial.cpus} CPU${trial.gpus ? `, ${trial.gpus} GPU` : ""}` : null],
        ["Runs alone", trial.alone ? "it ran out of memory next to other trials" : null],
        ["Started", trial.started_at && ago(trial.started_at)], ["Finished", trial.finished_at && ago(trial.finished_at)],
        ["Results from", trial.reused_from && el("a", { href: `/trials/${trial.reused_from}` }, `trial ${trial.reused_from}`)],
        ["Weights", trial.weights_sha256 && el("code", { title: trial.weights_sha256 }, trial.weights_sha256.slice(0, 12))]]),
      trial.has_weights
        && el("p", { "data-key": "weights" }, el("a", download(`${path}/weights`, `trial-${trial.id}-weights-${trial.weights_sha256.slice(0, 16)}.pt`), "Weights (for torch.load)")),
      el("p", { class: "buttons" }, actions(trial, ask)),
      el("section", { "data-key": "curves" }, curves(found)),
      el("section", { "data-key": "attempts" }, el("h2", {}, "Attempts"), attempts(found.attempts)),
      el("section", { "data-key": "log" }, logOf(found, path)),
      el("section", { "data-key": "config" }, el("h2", {}, "Configuration"), el("pre", { tabindex: 0 }, toYaml(trial.config))),
      el("section", { "data-key": "events" }, el("h2", {}, "Events"), events(found.events)));
    const pane = document.getElementById("log");
    if (follows && pane) pane.scrollTop = pane.scrollHeight;
  }

  return load;
}

function actions(trial, ask) {
  const active = trial.state === "queued" || trial.state === "running";
  const cancel = async () => {
    const text = "Its epochs so far are kept, and a retry resumes from its last checkpoint.";
    if (await question({ title: "Cancel this trial?", text, yes: "Cancel the trial", no: "Keep it", danger: true })) ask("cancel");
  };
  const refused = active ? "The trial has not ended." : trial.state === "succeeded" ? "The trial succeeded: that is its result."
    : trial.reason === "diverged" ? "The trial diverged: that is its result, and the same seed would diverge again." : null;
  return [
    request("Cancel", !active ? `The trial has ended (${trial.state}).` : trial.cancel_requested_at ? "The trial is already being cancelled." : null, cancel, { class: "danger" }), " ",
    request("Retry", refused, () => ask("retry")),
  ];
}

// All pages of reports; an unchanged page is the same object as before.
async function everyReport(path) {
  const pages = [];
  do pages.push(await get(withQuery(`${path}/reports`, { page_size: PAGE, page_token: pages.at(-1)?.next_page_token })));
  while (pages.at(-1).next_page_token);
  return pages;
}

function plotOf(reports, metric) {
  const names = Object.keys(reports[0] ?? {}).filter((name) => !NO_METRIC.has(name));
  const drawn = metric ? [metric] : names;
  const colours = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"];
  const data = reports.length ? drawn.map((name, at) => ({
    type: "scatter", mode: reports.length > 60 ? "lines" : "lines+markers", name: words(name), showlegend: true,
    x: reports.map((report) => report.epoch), y: reports.map((report) => (typeof report[name] === "number" ? report[name] * (isShare(name) ? 100 : 1) : null)),
    line: { color: colours[at % colours.length], width: 2 }, marker: { color: colours[at % colours.length] },
  })) : [];
  // Losses and shares have no common scale, so each kind has its own panel.
  const panels = [...new Set(drawn.map(kindOf))];
  const width = (1 + GAP) / panels.length - GAP;
  const layout = { meta: { columns: panels.length }, margin: { l: 60, r: 20, t: 10, b: 50 }, hovermode: "x unified" };
  for (const [at, kind] of panels.entries()) {
    const axis = at ? String(at + 1) : "";
    const left = at * (width + GAP);
    const title = metric ? words(metric) + (isShare(metric) ? " (%)" : "") : kind;
    layout[`xaxis${axis}`] = { title: { text: "epoch" }, domain: [left, Math.min(1, left + width)], anchor: `y${axis}` };
    layout[`yaxis${axis}`] = { title: { text: title }, anchor: `x${axis}` };
    data.forEach((trace, index) => kindOf(drawn[index]) === kind && Object.assign(trace, { xaxis: `x${axis}`, yaxis: `y${axis}` }));
  }
  return { data, layout, names, metric };
}

function curves({ plot, trial: { last_report: last } }) {
  return [
    el("h2", {}, "Curves"),
    plot.data.length > 0 && el("div", { class: "filters" },
      choice("Metric", [["", "all"], ...plot.names.map((name) => [name, words(name)])], plot.metric, (metric) => query.set({ metric })),
      choice("Scale", [["", "linear"], ["log", "logarithmic"]], query.get("scale"), (scale) => query.set({ scale }))),
    plot.data.length ? figure("trial", "Curves of this trial; the last values are below") : el("p", { class: "quiet" }, "No epoch reported yet."),
    last && el("p", { class: "quiet" }, `Epoch ${last.epoch}: `, plot.names.map((name) => `${words(name)} ${shown(name, last[name])}`).join(", "), "."),
  ];
}

function attempts(items) {
  if (!items.length) return el("p", { class: "quiet" }, "No attempts yet.");
  const rows = items.map((each) => row(String(each.attempt), String(each.attempt), clock(each.started_at), clock(each.ended_at),
    [each.outcome ?? "running", each.message && `: ${each.message}`], each.environment?.node ?? "–", each.environment?.device ?? "–"));
  const ran = items.findLast((each) => each.environment);
  return [
    grid("Attempts", ["Attempt", "Started", "Ended", "Outcome", "Node", "Device"], rows),
    ran && el("details", {}, el("summary", {}, `Environment of attempt ${ran.attempt}`),
      facts(Object.entries(ran.environment).map(([name, each]) => [words(name), each === null ? null : String(each)]))),
  ];
}

function logOf({ trial, attempts, log }, path) {
  const attempt = query.get("attempt") || String(trial.attempt);
  const options = attempts.map((each) => [String(each.attempt), String(each.attempt)]);
  return [
    el("h2", {}, "Log"),
    options.length > 1 && el("div", { class: "filters" }, choice("Attempt", options, attempt, (chosen) => query.set({ attempt: chosen }))),
    log ? el("pre", { id: "log", class: "log", tabindex: 0, "aria-label": "Log" }, log) : el("p", { class: "quiet" }, "No output yet."),
    log && el("p", { class: "quiet" }, `The last ${TAIL} lines. Scroll to the end to follow new output. `,
      el("a", download(`${path}/logs?attempt=${attempt}&tail=100000`, `trial-${trial.id}-attempt-${attempt}.log`), "Download the log")),
  ];
}
