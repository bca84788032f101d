// `/sweeps/{id}`: its state and the buttons, then the table, the figures, the trials and the downloads.
import { get, withQuery } from "../api.js";
import { changes } from "../changes.js";
import { el } from "../dom.js";
import { downloads } from "../downloads.js";
import { ago, badge, count, duration, plural, value, words } from "../format.js";
import { choice, events, facts, finished, grid, notice, pace, pager, progress, row, tags, TRIAL_STATES } from "../parts.js";
import { drawFigures, figures, findPlots } from "../plots.js";
import { difference, power } from "../power.js";
import { query } from "../query.js";
import { speed, threshold } from "../speed.js";
import { armNames, inUnit, results } from "../table.js";

const LONGEST = 400; // characters of a failure's message

export function open({ id, draw, title, refresh }) {
  const path = `/sweeps/${encodeURIComponent(id)}`;
  const found = {
    address: null, sweep: null, refusals: null, table: null, trials: null, events: null, plots: {}, addresses: {}, failures: null, speed: null, power: null,
  };
  let failedBefore = "";

  async function load() {
    const asked = { metric: query.get("metric"), at: query.get("at") };
    const before = { ...found };
    const changed = (...names) => names.some((name) => found[name] !== before[name]);
    const address = location.search;
    // Each part is shown as it comes, from the top down, so that nothing moves once it is shown; what is polled, all at once, because
    // with hundreds of arms it takes 0.1 s to paint.
    const came = () => {
      if (address !== found.address || changed("refusals")) paint().catch(() => {}); // the last one tells of errors
    };
    [found.sweep, found.refusals] = await Promise.all([get(path), get(`${path}/refusals`)]);
    await findFailures(); // they stand above the table
    came();
    found.table = await get(withQuery(`${path}/table`, asked));
    came();
    const failure = await findPlots(path, found, came);
    const filters = { state: query.get("state"), arm_id: query.get("arm"), page_token: query.get("page"), page_size: 25 };
    const latest = { newest_first: true, page_size: 15, page_token: query.get("events") };
    const [trials, events] = await Promise.all([
      get(withQuery(`${path}/trials`, filters)), get(withQuery(`${path}/events`, latest)), findSpeed(asked), findPower(asked),
    ]);
    Object.assign(found, { address, trials, events });
    await paint(); // at least once, for times such as `2 min ago`
    if (failure) throw failure;
    return changed("sweep", "refusals", "table", "trials", "events");
  }

  async function findFailures() {
    const failed = `${found.sweep.trials.failed} ${found.sweep.state}`;
    if (failed === failedBefore) return;
    found.failures = found.sweep.trials.failed ? (await get(`${path}/failures`)).items : null;
    failedBefore = failed;
  }

  async function findSpeed({ metric }) {
    const goal = threshold(query.get("reach"), found.table);
    found.speed = goal === null ? null : await get(withQuery(`${path}/speed`, { threshold: goal, metric: metric || found.table.metric }));
  }

  async function findPower({ metric, at }) {
    const size = difference(query.get("find"), found.table);
    found.power = size === null ? null : await get(withQuery(`${path}/power`, { difference: size, metric: metric || found.table.metric, at }));
  }

  async function paint() {
    const { sweep } = found;
    title(sweep.name);
    draw(
      el("nav", { class: "crumbs", "aria-label": "Breadcrumb" }, el("a", { href: "/" }, "Sweeps")),
      el("div", { class: "head" }, el("h1", {}, sweep.name), badge(sweep.state), tags(sweep)),
      ...overview(sweep),
      found.failures && failures(sweep, found.failures),
      el("p", { class: "buttons" }, changes(path, found, refresh)),
      el("section", { "data-key": "results" },
        found.table ? [tableControls(found.table, sweep.spec.base), results(found.table, ofArm)] : el("p", { class: "quiet" }, "Preparing the table…")),
      found.table && el("section", { "data-key": "figures" }, figures(found)),
      found.trials && el("section", { "data-key": "speed" }, speed(found.table, found.speed, query.get("reach"), (reach) => query.set({ reach }))),
      found.trials && el("section", { "data-key": "power" }, power(found.table, found.power, query.get("find"), (find) => query.set({ find }))),
      el("section", { "data-key": "trials", id: "trials" }, found.trials && trials(found)),
      found.trials && el("section", { "data-key": "downloads" }, downloads(path, found)),
      found.trials && el("section", { "data-key": "events" }, el("h2", {}, "Events"), events(found.events)),
      found.trials && el("details", { "data-key": "spec" }, el("summary", {}, "Spec"), el("pre", { tabindex: 0 }, JSON.stringify(sweep.spec, null, 2))));
    if (found.table) await drawFigures(found);
  }

  return load;
}

function overview(sweep) {
  const counts = TRIAL_STATES.filter((state) => sweep.trials[state]).map((state) =>
    el("a", { href: "#trials", onclick: () => query.set({ state, arm: "", page: "" }) }, `${count(sweep.trials[state])} ${state}`));
  return [
    progress(sweep),
    el("p", { class: "counts" }, `${count(finished(sweep))} of ${count(sweep.trials_total)} trials done. `,
      counts.map((link) => [link, " "]), el("span", { class: "quiet" }, pace(sweep))),
    el("div", { "data-key": "notices" }, // always there, so that a notice that comes or goes moves no other element
      sweep.waiting_for && notice(`Waiting: ${sweep.waiting_for}.`),
      sweep.cancel_requested_at && sweep.trials.running > 0 && notice("Cancelling: running trials stop as soon as they can."),
      sweep.paused_at && sweep.trials.queued + sweep.trials.running > 0
        && notice("Paused", sweep.paused_because && `, because ${sweep.paused_because}`, ": ",
          sweep.trials.running ? "running trials save their state at the end of their epoch." : "no trial starts.")),
    sweep.notes && el("p", { class: "remarks", "data-key": "remarks" }, sweep.notes),
    facts([["Owner", sweep.owner], ["Submitted", ago(sweep.created_at)], ["Finished", sweep.finished_at && ago(sweep.finished_at)],
      ["Priority", sweep.priority || null], ["Concurrency limit", sweep.max_concurrent], ["Pauses after", sweep.max_failures && plural(sweep.max_failures, "failure")],
      ["GPU per trial", sweep.gpu_share && `${16 * sweep.gpu_share}/16, measured`], ["ID", el("code", {}, sweep.id)], ["Code", sweep.code_version]]),
  ];
}

// Each distinct message once, with how many trials failed with it.
function failures(sweep, items) {
  return el("section", { "data-key": "failures", class: "notice failures", "aria-label": "Why trials failed" },
    el("p", {}, `${plural(sweep.trials.failed, "trial")} failed:`),
    el("ul", {}, items.map(({ reason, message, trials, trial_id }) => el("li", {},
      el("strong", {}, `${count(trials)} ×`), " ", reason, message && [": ", el("code", {}, message.slice(0, LONGEST))], " ",
      el("a", { href: `/trials/${trial_id}` }, `trial ${trial_id}`)))));
}

function tableControls(table, { epochs = 1 }) {
  const metrics = table.metrics.length ? table.metrics : [table.metric];
  const [where, epoch] = table.at.split(":");
  const atEpoch = ({ target }) => target.reportValidity() && query.set({ at: `epoch:${target.valueAsNumber}` });
  return el("div", { class: "filters" },
    choice("Metric", metrics.map((name) => [name, words(name)]), table.metric, (metric) => query.set({ metric, reach: "", find: "" })),
    choice("Value at", [["last", "last epoch"], ["best", "best epoch"], ["epoch", "a fixed epoch"]], where,
      (at) => query.set({ at: at === "epoch" ? `epoch:${epochs}` : at })),
    epoch && el("label", {}, "Epoch ", el("input", { type: "number", min: 1, max: 999_999, required: true, value: epoch, onchange: atEpoch })));
}

const ofArm = (shown) => {
  query.set({ arm: shown.arm_id, state: "", page: "" });
  document.getElementById("trials").scrollIntoView();
};

function trials({ sweep, table, trials: { items, next_page_token } }) {
  const arms = armNames(table);
  const shown = (found) => (typeof found === "number" ? inUnit(found, table) : value(found));
  const rows = items.map((trial) => row(String(trial.id),
    el("a", { href: `/trials/${trial.id}` }, String(trial.id)),
    trial.label, String(trial.seed), badge(trial.state, trial.reason),
    `${count(trial.epochs_done)} of ${count(trial.epochs)}`,
    shown(trial.last_report?.[table.metric]), duration(trial.seconds || null), String(trial.attempt)));
  const metric = `last ${words(table.metric)}${table.unit ? ` (${table.unit})` : ""}`;
  const state = query.get("state");
  const arm = query.get("arm");
  return [
    el("h2", {}, "Trials"),
    el("div", { class: "filters" },
      choice("State", [["", `any (${count(sweep.trials_total)})`], ...TRIAL_STATES.map((name) => [name, `${name} (${count(sweep.trials[name])})`])], state, (chosen) => query.set({ state: chosen, page: "" })),
      choice("Arm", [["", "any"], ...arms], arm, (chosen) => query.set({ arm: chosen, page: "" }))),
    rows.length ? grid("Trials", ["Trial", "Arm", "Seed", "State", "Epochs", metric, "Time", "Attempt"], rows) : notice("No trials match."),
    pager(next_page_token, !query.get("page"), (page) => query.set({ page })),
  ];
}
