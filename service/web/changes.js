// The buttons that change a sweep, their dialogs and what is said afterwards.
import { post, remove } from "./api.js";
import { el, say } from "./dom.js";
import { edit } from "./edit.js";
import { plural } from "./format.js";
import { hasEnded, question, request, wait } from "./parts.js";
import { root } from "./root.js";

const MOST_SEEDS = 100_000; // that the service takes

// `refusals`: why each change would be refused, as the service says; `causes`: why trials failed; `refresh` is called after a change.
export function changes(path, { sweep, refusals, failures: causes }, refresh) {
  const { queued, running, failed, cancelled } = sweep.trials;

  // `said` turns the answer into a message.
  async function ask(send, said) {
    try {
      say(said(await send()));
    } catch (error) {
      const faults = (error.faults ?? []).map(({ pointer, detail }) => `${pointer}: ${detail}`);
      say(faults.join("; ") || error.message);
    }
    refresh();
  }
  const posted = (what, said, body) => ask(() => post(`${path}/${what}`, body), said);

  async function cancel() {
    const text = `${plural(queued, "queued trial")} will not run, and ${plural(running, "running trial")} will stop now. Results so far are kept.`;
    const sure = await question({ title: "Cancel this sweep?", text, yes: "Cancel the sweep", no: "Keep it", danger: true });
    if (sure) posted("cancel", () => "Cancelling the sweep…");
  }

  async function retry() {
    const total = (some) => some.reduce((sum, { trials }) => sum + trials, 0);
    const diverged = total((causes ?? []).filter(({ reason }) => reason === "diverged"));
    const all = total(causes ?? []) === failed; // otherwise the rarest messages are missing from `causes`
    const some = `${all ? "" : "Up to "}${plural(failed - diverged, "failed trial")} and ${plural(cancelled, "cancelled trial")}`;
    const text = `${some} will resume from their last checkpoints. Diverged trials are results and stay as they are.`;
    const sure = await question({ title: "Retry failed and cancelled trials?", text, yes: "Retry" });
    if (sure) posted("retry?cancelled=true", () => "Queued again. They resume from their last checkpoints.");
  }

  // Seeds that are not 0 … n − 1 are listed: a count would add those from 0 instead of going on from them.
  async function extend() {
    const { seeds = 1 } = sweep.spec; // a count, or a list
    const listed = Array.isArray(seeds) && seeds.some((seed, at) => seed !== at);
    const has = Array.isArray(seeds) ? seeds.length : seeds;
    const field = listed
      ? { label: "Seeds, with commas between them:", pattern: "\\s*\\d+(\\s*,\\s*\\d+)*\\s*", title: "Whole numbers with commas between them.", value: seeds.join(", ") }
      : { label: "Number of seeds, counted from 0:", type: "number", min: 1, max: MOST_SEEDS, value: Math.min(has + 2, MOST_SEEDS) };
    const fields = [{ name: "seeds", required: true, ...field }];
    const wanted = await question({ title: "Add seeds", text: `The sweep has ${plural(has, "seed")}. Only missing trials will run.`, yes: "Extend", fields });
    if (!wanted) return;
    const more = { seeds: listed ? wanted.seeds.split(",").map(Number) : wanted.seeds };
    ask(async () => {
      const plan = await post(`${path}/extend?validate_only=true`, more);
      if (!plan.trials_added) return "Nothing added: the sweep already has all of these trials.";
      const text = `${plural(plan.trials_added, "trial")} would be added. Time: ${wait(plan.time)}.`;
      if (!(await question({ title: "Add these trials?", text, yes: "Add" }))) return "";
      const { trials_total: now } = await post(`${path}/extend`, more);
      return `${plural(now - sweep.trials_total, "trial")} added.`;
    }, (done) => done);
  }

  async function goodbye() {
    const text = `${sweep.name}: ${plural(sweep.trials_total, "trial")} with all results, checkpoints and logs. This cannot be undone.`;
    if (!(await question({ title: "Delete this sweep?", text, yes: "Delete the sweep", no: "Keep it", danger: true }))) return;
    try {
      await remove(path);
      location.assign(`${root}/`);
    } catch (error) {
      say(error.message);
      refresh();
    }
  }

  return [
    sweep.paused_at && !hasEnded(sweep)
      ? request("Resume", refusals.resume, () => posted("resume", () => "Resumed."))
      : request("Pause", refusals.pause, () => posted("pause", () => "Paused.")),
    request("Cancel", refusals.cancel, cancel, { class: "danger" }),
    request("Retry", refusals.retry, retry),
    request("Extend", refusals.extend, extend),
    refusals.clone ? request("Clone", refusals.clone) : el("a", { class: "button", href: `/new?from=${encodeURIComponent(sweep.id)}` }, "Clone"),
    request("Edit", refusals.change, () => ask(() => edit(path, sweep), (done) => done)),
    request("Delete", refusals.delete, goodbye, { class: "danger" }),
  ].flatMap((button) => [button, " "]);
}
