// `/sweeps/{id}`: its state and the buttons, then the table, the figures, the trials and the downloads.
import { download, get, patch, post, remove, withQuery } from "../api.js";
import { el, say } from "../dom.js";
import { figure, seen, show } from "../figures.js";
import { ago, badge, count, duration, plural, value, words } from "../format.js";
import { choice, events, facts, finished, grid, notice, pace, pager, progress, question, request, row, tags, TRIAL_STATES } from "../parts.js";
import { query } from "../query.js";
import { root } from "../root.js";
import { speed, threshold } from "../speed.js";
import { armNames, inUnit, results } from "../table.js";

const POINTS = 400; // points per curve; more would not fit a window's pixels
const NARROW = 700;
const LONGEST = 400; // characters of a failure's message

export function open({ id, draw, title, refresh }) {
  const path = `/sweeps/${encodeURIComponent(id)}`;
  const found = { address: null, sweep: null, table: null, trials: null, events: null, plots: {}, failures: null, speed: null };
  let failedBefore = "";

  async function load() {
    const asked = { metric: query.get("metric"), at: query.get("at") };
    const before = { ...found };
    const changed = (...names) => names.some((name) => found[name] !== before[name]);
    found.sweep = await get(path);
    found.address = location.search;
    if (changed("sweep", "address")) paint(); // show the state now: the table may take a moment
    await findFailures();
    found.table = await get(withQuery(`${path}/table`, asked));
    const filters = { state: query.get("state"), arm_id: query.get("arm"), page_token: query.get("page"), page_size: 25 };
    found.trials = await get(withQuery(`${path}/trials`, filters));
    if (changed("table", "trials")) paint();
    await drawFigures(asked);
    await findSpeed(asked);
    found.events = await get(withQuery(`${path}/events`, { newest_first: true, page_size: 15, page_token: query.get("events") }));
    paint(); // at least once, for times such as `2 min ago`; with hundreds of arms it takes 0.1 s
    return changed("sweep", "table", "trials", "events");
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

  async function drawFigures(asked) {
    const metric = asked.metric || (innerWidth < NARROW ? found.table.metric : "");
    const curves = { metric, by: query.get("by"), points: POINTS };
    const log = query.get("scale") === "log";
    const off = query.list("off");
    for (const { name } of figuresFor(found)) {
      const lines = name === "learning-curves";
      const plot = await get(withQuery(`${path}/plots/${name}`, lines ? curves : asked));
      const known = found.plots[name] === plot;
      found.plots[name] = plot;
      if (!known) paint();
      if (plot.data.length) await show(name, plot, lines ? { off, log, legend: false } : { log: null, height: heightOf(plot) });
    }
  }

  // `told` turns the answer into a message.
  async function ask(what, told, body = undefined) {
    try {
      say(told(await post(`${path}/${what}`, body)));
    } catch (error) {
      say(error.message);
    }
    refresh();
  }

  async function change(changes) {
    try {
      await patch(path, changes);
      say("Saved.");
    } catch (error) {
      const faults = (error.faults ?? []).map(({ pointer, detail }) => `${pointer}: ${detail}`);
      say(faults.join("; ") || error.message);
    }
    refresh();
  }

  async function takeAway() {
    try {
      await remove(path);
      location.assign(`${root}/`);
    } catch (error) {
      say(error.message);
      refresh();
    }
  }

  function paint() {
    const { sweep } = found;
    title(sweep.name);
    draw(
      el("nav", { class: "crumbs", "aria-label": "Breadcrumb" }, el("a", { href: "/" }, "Sweeps")),
      el("div", { class: "head" }, el("h1", {}, sweep.name), badge(sweep.state), tags(sweep)),
      ...overview(sweep),
      found.failures && failures(sweep, found.failures),
      el("p", { class: "buttons" }, actions(sweep, ask, change, takeAway, found.failures ?? [])),
      el("section", { "data-key": "results" },
        found.table ? [tableControls(found.table), results(found.table, ofArm)] : el("p", { class: "quiet" }, "Preparing the table…")),
      found.table && el("section", { "data-key": "figures" }, figures(found)),
      found.table && el("section", { "data-key": "speed" }, speed(found.table, found.speed, query.get("reach"), (reach) => query.set({ reach }))),
      found.trials && el("section", { "data-key": "trials", id: "trials" }, trials(found)),
      found.table && el("section", { "data-key": "downloads" }, downloads(found, path)),
      found.events && el("section", { "data-key": "events" }, el("h2", {}, "Events"), events(found.events)),
      el("details", { "data-key": "spec" }, el("summary", {}, "Spec"), el("pre", { tabindex: 0 }, JSON.stringify(sweep.spec, null, 2))));
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

// The rules of `service.store.requests`; whatever slips through is refused there, with a sentence.
function actions(sweep, ask, change, takeAway, causes) {
  const { queued, running, failed, cancelled } = sweep.trials;
  const total = (some) => some.reduce((sum, { trials }) => sum + trials, 0);
  const diverged = total(causes.filter(({ reason }) => reason === "diverged"));
  const all = total(causes) === failed; // otherwise the rarest messages are missing from `causes`
  const ended = queued + running === 0;
  const cancelling = sweep.cancel_requested_at !== null;
  const stopping = cancelling && running > 0;
  const cancel = async () => {
    const text = `${plural(queued, "queued trial")} will not run, and ${plural(running, "running trial")} will stop now. Results so far are kept.`;
    if (await question({ title: "Cancel this sweep?", text, yes: "Cancel the sweep", no: "Keep it", danger: true })) ask("cancel", () => "Cancelling the sweep…");
  };
  const retry = async () => {
    const some = `${all ? "" : "Up to "}${plural(failed - diverged, "failed trial")} and ${plural(cancelled, "cancelled trial")}`;
    const text = `${some} will resume from their last checkpoints. Diverged trials are results and stay as they are.`;
    if (await question({ title: "Retry failed and cancelled trials?", text, yes: "Retry" })) ask("retry?cancelled=true", () => "Queued again. They resume from their last checkpoints.");
  };
  const extend = async () => {
    const { seeds = 1 } = sweep.spec; // a count, or a list
    const has = Array.isArray(seeds) ? seeds.length : seeds;
    const fields = [{ name: "seeds", label: "Number of seeds, counted from 0:", type: "number", min: 1, max: 10_000, required: true, value: has + 2 }];
    const wanted = await question({ title: "Add seeds", text: `The sweep has ${plural(has, "seed")}. Only missing trials will run.`, yes: "Extend", fields });
    const added = (now) => now.trials_total - sweep.trials_total;
    const told = (now) => (added(now) ? `${plural(added(now), "trial")} added.` : "Nothing added: the sweep already has all of these trials.");
    if (wanted) ask("extend", told, wanted);
  };
  const edit = async () => {
    const fields = [
      { name: "name", label: "Name", value: sweep.name, required: true, maxlength: 200 },
      { name: "tags", label: "Tags, with commas between them", value: sweep.tags.join(", ") },
      { name: "notes", label: "Notes", value: sweep.notes, rows: 6, maxlength: 10_000 },
    ];
    const wanted = await question({ title: "Edit", text: "What the sweep is called and found by, and what should be remembered about it.", yes: "Save", fields });
    const listed = (text) => text.split(",").map((tag) => tag.trim()).filter(Boolean);
    if (wanted) change({ ...wanted, tags: listed(wanted.tags) });
  };
  const goodbye = async () => {
    const text = `${sweep.name}: ${plural(sweep.trials_total, "trial")} with all results, checkpoints and logs. This cannot be undone.`;
    if (await question({ title: "Delete this sweep?", text, yes: "Delete the sweep", no: "Keep it", danger: true })) takeAway();
  };
  const findings = all && failed > 0 && "The failed trials diverged: that is their result.";
  const noneToRetry = failed - (all ? diverged : 0) + cancelled ? null : findings || "No trial failed or was cancelled.";
  return [
    sweep.paused_at && !ended
      ? request("Resume", cancelling && "The sweep was cancelled; retry it instead.", () => ask("resume", () => "Resumed."))
      : request("Pause", ended ? "The sweep has ended; there is nothing to pause." : cancelling ? "The sweep is being cancelled." : null, () => ask("pause", () => "Paused.")),
    request("Cancel", ended ? "The sweep has ended; there is nothing to cancel." : cancelling ? "The sweep is already being cancelled." : null, cancel, { class: "danger" }),
    request("Retry", stopping ? "Running trials are being cancelled; wait until they have ended." : noneToRetry, retry),
    request("Extend", cancelling ? "The sweep was cancelled; clone it instead." : null, extend),
    el("a", { class: "button", href: `/new?from=${encodeURIComponent(sweep.id)}` }, "Clone"),
    request("Edit", null, edit),
    request("Delete", ended ? null : stopping ? "Running trials are being cancelled; wait until they have ended."
      : "The sweep has not ended; cancel it before you delete it.", goodbye, { class: "danger" }),
  ].flatMap((button) => [button, " "]);
}

function tableControls(table) {
  const metrics = table.metrics.length ? table.metrics : [table.metric];
  return el("div", { class: "filters" },
    choice("Metric", metrics.map((name) => [name, words(name)]), table.metric, (metric) => query.set({ metric, reach: "" })),
    choice("Value at", [["last", "last epoch"], ["best", "best epoch"]], table.at, (at) => query.set({ at })));
}

const ofArm = (shown) => {
  query.set({ arm: shown.arm_id, state: "", page: "" });
  document.getElementById("trials").scrollIntoView();
};

// --- figures -----------------------------------------------------------------------------------

// The figures to request.
function figuresFor({ sweep, table }) {
  const cells = table.rows.flatMap((line) => line.cells).filter(Boolean);
  const surface = sweep.spec.base?.dataset === "surface";
  return [
    { name: "learning-curves", title: "Learning curves" },
    surface ? { name: "descent", title: "Descent paths" } : { name: "keep-prob", title: "Against the keep probability" },
    cells.some((cell) => (cell.comparison?.difference ?? null) !== null) && { name: "forest", title: "Against the baseline" },
    cells.length > 2 && cells.some((cell) => cell.n) && { name: "effects", title: "What each factor does" },
  ].filter(Boolean);
}

// The figures to show. Two depend on the plot's own `never`: there are no effects unless arms differ in several factors, and nothing
// to draw against a keep_prob that all arms share.
const SOME = new Set(["effects", "keep-prob"]);
const figuresOf = (found) => figuresFor(found).filter(({ name }) => !SOME.has(name) || (found.plots[name] && !found.plots[name].layout.meta.never));

// A forest plot grows with its rows, in blocks that have an axis each.
function heightOf({ layout }) {
  const blocks = Object.keys(layout).filter((key) => /^yaxis/.test(key)).map((key) => layout[key].ticktext).filter(Boolean);
  const rows = blocks.reduce((sum, names) => sum + names.length, 2.5 * (blocks.length - 1));
  return blocks.length ? 110 + (innerWidth < NARROW ? 50 : 26) * rows : 360;
}

// A plot that is empty when the sweep has ended stays empty.
const isEmpty = ({ plots }, name) => plots[name] && !plots[name].data.length;
const hasEnded = ({ trials }) => !(trials.queued + trials.running);

function figures(found) {
  return figuresOf(found).map(({ name, title }) => {
    const plot = found.plots[name];
    const nothing = isEmpty(found, name);
    if (nothing && hasEnded(found.sweep)) return null;
    return el("div", { "data-key": name },
      el("h2", {}, title),
      name === "learning-curves" && el("div", { class: "filters" },
        choice("Over", [["epoch", "epochs"], ["seconds", "time"]], query.get("by", "epoch"), (by) => query.set({ by })),
        choice("Scale", [["", "linear"], ["log", "logarithmic"]], query.get("scale"), (scale) => query.set({ scale }))),
      nothing ? el("p", { class: "quiet" }, name === "learning-curves" ? "No epoch reported yet." : "No trial has succeeded yet.") : figure(name, `${title}; the numbers are in the table and the downloads`),
      name === "learning-curves" && plot && !nothing && legend(plot, found),
      plot && !nothing && caption(plot));
  });
}

// Plotly's own legend cannot be reached by keyboard. This one can.
function legend(plot, { table }) {
  const off = new Set(query.list("off"));
  const labels = armNames(table);
  const arms = [...new Map(plot.data.filter((trace) => trace.mode === "lines+markers").map((trace) => [trace.legendgroup, trace])).values()];
  const toggle = (arm) => {
    if (!off.delete(arm)) off.add(arm);
    query.set({ off: [...off].join(",") });
  };
  return el("fieldset", { class: "legend" }, el("legend", {}, "Arms"),
      arms.map((trace) => el("label", { "data-key": trace.legendgroup },
        el("input", { type: "checkbox", checked: !off.has(trace.legendgroup), onchange: () => toggle(trace.legendgroup) }),
        el("span", { class: "swatch", style: { "border-top": `3px ${trace.line.dash === "dash" ? "dashed" : "solid"} ${seen(trace.line.color)}` } }),
        el("bdi", {}, labels.get(Number(trace.legendgroup)) ?? trace.legendgroup))),
      arms.length > 3 && el("span", { class: "buttons" },
        el("button", { type: "button", onclick: () => query.set({ off: "" }) }, "All"), " ",
        el("button", { type: "button", onclick: () => query.set({ off: arms.map((trace) => trace.legendgroup).join(",") }) }, "None")));
}

function caption({ layout: { meta } }) {
  const thinned = meta.of && ` Showing ${count(meta.points)} of ${count(meta.of)} points per curve; the CSV has all of them.`;
  return el("p", { class: "quiet caption" }, meta.caption, thinned);
}

// --- trials, downloads -----------------------------------------------------------------

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

function downloads(found, path) {
  const { sweep, table } = found;
  const asked = { metric: query.get("metric"), at: query.get("at") };
  // Keyed by name: a link that appears while a reader clicks must not take another's place.
  const of = (text, address, name) => el("li", { "data-key": name }, el("a", download(address, name), text));
  return [
    el("h2", {}, "Downloads"),
    el("ul", { class: "downloads" },
      of("Table (LaTeX)", withQuery(`${path}/table`, { ...asked, format: "latex" }), `${sweep.id}-table.tex`),
      of("Table (CSV)", withQuery(`${path}/table`, { ...asked, format: "csv" }), `${sweep.id}-table.csv`),
      table.rows.some((row) => row.cells.some((cell) => cell?.comparison)) && [
        of("Comparisons (LaTeX)", withQuery(`${path}/comparisons`, { ...asked, format: "latex" }), `${sweep.id}-comparisons.tex`),
        of("Comparisons (CSV)", withQuery(`${path}/comparisons`, { ...asked, format: "csv" }), `${sweep.id}-comparisons.csv`)],
      found.plots.effects?.data.length > 0 && [
        of("Effects (LaTeX)", withQuery(`${path}/effects`, { ...asked, format: "latex" }), `${sweep.id}-effects.tex`),
        of("Effects (CSV)", withQuery(`${path}/effects`, { ...asked, format: "csv" }), `${sweep.id}-effects.csv`)],
      of("Methods (LaTeX)", withQuery(`${path}/methods`, { ...asked, format: "latex" }), `${sweep.id}-methods.tex`),
      of("Methods (Markdown)", withQuery(`${path}/methods`, { ...asked, format: "markdown" }), `${sweep.id}-methods.md`),
      of("Trials (CSV)", `${path}/export?format=csv&of=trials`, `${sweep.id}-trials.csv`),
      of("Epochs (CSV)", `${path}/export?format=csv&of=reports`, `${sweep.id}-reports.csv`),
      of("Epochs (Parquet)", `${path}/export?format=parquet&of=reports`, `${sweep.id}-reports.parquet`),
      figuresOf(found).filter(({ name }) => !(isEmpty(found, name) && hasEnded(sweep))).map(({ name, title }) =>
        of(`${title} (SVG)`, withQuery(`${path}/figures/${name}.svg`, name === "learning-curves" ? { metric: asked.metric, by: query.get("by") } : asked), `${sweep.id}-${name}.svg`)),
      of("Everything (bundle)", `${path}/export?format=bundle`, `${sweep.id}.zip`)),
  ];
}
