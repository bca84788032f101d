// `/cluster`: its resources, what runs where, and what waits and why.
import { get } from "../api.js";
import { el } from "../dom.js";
import { ago, clock, count, plural } from "../format.js";
import { facts, grid, notice, row } from "../parts.js";

export function open({ draw, title }) {
  let before = null;
  title("Cluster");
  return async function refresh() {
    const cluster = await get("/cluster");
    draw(el("h1", {}, "Cluster"), dispatcher(cluster.dispatcher), ...resources(cluster),
      el("section", { "data-key": "running" }, running(cluster.running)), el("section", { "data-key": "waiting" }, waiting(cluster.waiting)));
    const changed = cluster !== before;
    before = cluster;
    return changed;
  };
}

function dispatcher(leads) {
  if (!leads) return notice("No dispatcher is active, so no trial starts. Start one with ", el("code", {}, "lrd dispatch"), ".");
  return facts([["Dispatcher", `process ${leads.pid} on ${leads.host}`], ["Active since", clock(leads.leads_since)], ["Term", count(leads.term)]]);
}

function resources({ cpus, gpus, nodes }) {
  const meters = [["CPUs", cpus], ["GPUs", gpus]].filter(([, { total }]) => total).map(([name, { total, held }]) =>
    el("div", { class: "meter" },
      el("span", {}, `${name}: ${count(held)} of ${count(total)} in use`),
      el("div", { class: "bar", role: "meter", "aria-label": name, "aria-valuemin": 0, "aria-valuemax": total, "aria-valuenow": held },
        el("span", { class: "running", style: { width: `${Math.min(100, (100 * held) / total)}%` } }))));
  const shown = nodes.map(({ cpus, gpus, memory_gib, accelerator_type, labels = {} }) => [
    plural(cpus, "CPU"), gpus && plural(gpus, accelerator_type ? `${accelerator_type} GPU` : "GPU"), memory_gib && `${memory_gib.toFixed(0)} GiB`,
    ...Object.entries(labels).filter(([name]) => !name.startsWith("ray.io/")).map(([name, value]) => `${name}=${value}`),
  ].filter(Boolean).join(", "));
  return [
    ...meters,
    shown.length > 0 && el("p", { class: "quiet" }, `${plural(nodes.length, "node")}: ${shown.join("; ")}.`),
  ];
}

function running(trials) {
  if (!trials.length) return [el("h2", {}, "Running"), notice("No trials are running.")];
  const rows = trials.map((trial) => row(String(trial.trial_id),
    trial.node ?? "starting",
    el("a", { href: `/trials/${trial.trial_id}` }, `${trial.label}, seed ${trial.seed}`),
    el("a", { href: `/sweeps/${trial.sweep_id}` }, trial.sweep),
    `${count(trial.epochs_done)} of ${count(trial.epochs)}`,
    `${trial.cpus} CPU${trial.gpus ? `, ${trial.gpus} GPU` : ""}${trial.alone ? ", alone" : ""}`,
    ago(trial.since)));
  return [el("h2", {}, "Running"), grid("Running trials", ["Node", "Trial", "Sweep", "Epochs", "Resources", "Started"], rows)];
}

function waiting(sweeps) {
  if (!sweeps.length) return [el("h2", {}, "Waiting"), notice("No sweeps are waiting.")];
  const rows = sweeps.map((sweep) => row(sweep.sweep_id,
    el("a", { href: `/sweeps/${sweep.sweep_id}` }, sweep.name), count(sweep.queued), count(sweep.priority), sweep.why));
  return [el("h2", {}, "Waiting"), grid("Waiting sweeps", ["Sweep", "Queued trials", "Priority", "Waiting for"], rows)];
}
