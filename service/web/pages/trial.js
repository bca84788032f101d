// `/trials/{id}`: one training run, with its curves, attempts, log, configuration and events.
import { download, get, post, withQuery } from "../api.js";
import { el, say } from "../dom.js";
import { figure, show } from "../figures.js";
import { ago, badge, clock, count, duration, value, words } from "../format.js";
import { caption } from "../plots.js";
import { choice, events, facts, grid, question, request, row } from "../parts.js";
import { query } from "../query.js";
import { toYaml } from "../yaml.js";

const TAIL = 400; // lines of the log
const POINTS = 1000; // of each curve; more would not fit a window's pixels
const AT_END = 8; // px from its end up to which a log is scrolled along with its new lines

const shown = (unit, found) => (unit === "%" && typeof found === "number" ? `${(100 * found).toFixed(2)} %` : value(found));

export function open({ id, draw, title, refresh }) {
  const path = `/trials/${encodeURIComponent(id)}`;
  const found = { trial: null, refusals: null, attempts: [], events: null, log: "", plot: null };

  async function load() {
    const before = { ...found };
    [found.trial, found.refusals] = await Promise.all([get(path), get(`${path}/refusals`)]);
    const { trial } = found;
    title(`Trial ${trial.id}`);
    const address = withQuery(`${path}/plot`, { metric: query.get("metric"), points: POINTS });
    const [attempts, plot, happened, log] = await Promise.all([
      get(`${path}/attempts`), get(address),
      get(withQuery(`${path}/events`, { newest_first: true, page_size: 15, page_token: query.get("events") })),
      trial.attempt ? get(withQuery(`${path}/logs`, { tail: TAIL, attempt: query.get("attempt") })) : "",
    ]);
    Object.assign(found, { attempts: attempts.items, plot, events: happened, log });
    paint();
    if (plot.data.length) await show("trial", plot, address, { log: query.get("scale") === "log" });
    return trial !== before.trial || found.refusals !== before.refusals;
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
    const follows = !log || log.scrollHeight - log.scrollTop - log.clientHeight < AT_END;
    draw(
      el("nav", { class: "crumbs", "aria-label": "Breadcrumb" },
        el("a", { href: "/" }, "Sweeps"), " / ", el("a", { href: `/sweeps/${trial.sweep_id}` }, trial.sweep)),
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
      el("p", { class: "buttons" }, actions(found, ask)),
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

function actions({ trial, refusals }, ask) {
  const cancel = async () => {
    const text = "Its epochs so far are kept, and a retry resumes from its last checkpoint.";
    if (await question({ title: "Cancel this trial?", text, yes: "Cancel the trial", no: "Keep it", danger: true })) ask("cancel");
  };
  return [request("Cancel", refusals.cancel, cancel, { class: "danger" }), " ", request("Retry", refusals.retry, () => ask("retry"))];
}

function curves({ plot, trial: { last_report: last } }) {
  const { metrics } = plot.layout.meta;
  return [
    el("h2", {}, "Curves"),
    plot.data.length > 0 && el("div", { class: "filters" },
      choice("Metric", [["", "all"], ...Object.keys(metrics).map((name) => [name, words(name)])], query.get("metric"), (metric) => query.set({ metric })),
      choice("Scale", [["", "linear"], ["log", "logarithmic"]], query.get("scale"), (scale) => query.set({ scale }))),
    plot.data.length ? figure("trial", "Curves of this trial; the last values are below") : el("p", { class: "quiet" }, "No epoch reported yet."),
    plot.data.length > 0 && caption(plot, "its sweep's CSV"),
    last && el("p", { class: "quiet" }, `Epoch ${last.epoch}: `, Object.entries(metrics).map(([name, unit]) => `${words(name)} ${shown(unit, last[name])}`).join(", "), "."),
  ];
}

function attempts(items) {
  if (!items.length) return el("p", { class: "quiet" }, "No attempts yet.");
  const rows = items.map((each) => row(String(each.attempt), String(each.attempt), clock(each.started_at), clock(each.ended_at),
    [each.outcome ?? "running", each.message && `: ${each.message}`, recomputed(each)],
    each.environment?.node ?? "–", each.environment?.device ?? "–"));
  const ran = items.findLast((each) => each.environment);
  return [
    grid("Attempts", ["Attempt", "Started", "Ended", "Outcome", "Node", "Device"], rows),
    ran && el("details", {}, el("summary", {}, `Environment of attempt ${ran.attempt}`),
      facts(Object.entries(ran.environment).map(([name, each]) => [words(name), each === null ? null : String(each)]))),
  ];
}

// What it computed although an earlier attempt had: the epochs after the checkpoint from which it resumed.
function recomputed({ recomputed_from: from, recomputed_to: to, different_epoch: different }) {
  if (from === null) return null;
  const those = from === to ? `epoch ${from}` : `epochs ${from} to ${to}`;
  const how = different === null ? "with the same numbers" : `with other numbers from epoch ${different} on; the first ones stay`;
  return `; recomputed ${those}, ${how}`;
}

function logOf({ trial, attempts, log }, path) {
  const attempt = query.get("attempt") || String(trial.attempt);
  const options = attempts.map((each) => [String(each.attempt), String(each.attempt)]);
  return [
    el("h2", {}, "Log"),
    options.length > 1 && el("div", { class: "filters" }, choice("Attempt", options, attempt, (chosen) => query.set({ attempt: chosen }))),
    log ? el("pre", { id: "log", class: "log", tabindex: 0, "aria-label": "Log" }, log) : el("p", { class: "quiet" }, "No output yet."),
    log && el("p", { class: "quiet" },
      log.split("\n").length > TAIL && `The last ${TAIL} lines. `,
      trial.state === "running" && "Scroll to the end to follow new output. ",
      el("a", download(`${path}/logs?attempt=${attempt}&tail=100000`, `trial-${trial.id}-attempt-${attempt}.log`), "Download the log")),
  ];
}
