// The buttons that change a sweep, their dialogs and what is said afterwards.
import { post, remove } from "./api.js";
import { el, say } from "./dom.js";
import { edit } from "./edit.js";
import { plural } from "./format.js";
import { hasEnded, question, request } from "./parts.js";
import { root } from "./root.js";

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

  async function extend() {
    const { seeds = 1 } = sweep.spec; // a count, or a list
    const has = Array.isArray(seeds) ? seeds.length : seeds;
    const fields = [{ name: "seeds", label: "Number of seeds, counted from 0:", type: "number", min: 1, max: 10_000, required: true, value: has + 2 }];
    const wanted = await question({ title: "Add seeds", text: `The sweep has ${plural(has, "seed")}. Only missing trials will run.`, yes: "Extend", fields });
    const added = (now) => now.trials_total - sweep.trials_total;
    const said = (now) => (added(now) ? `${plural(added(now), "trial")} added.` : "Nothing added: the sweep already has all of these trials.");
    if (wanted) posted("extend", said, wanted);
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
