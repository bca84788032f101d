// `/`: all sweeps, newest first.
import { get, withQuery } from "../api.js";
import { el } from "../dom.js";
import { ago, badge, count } from "../format.js";
import { choice, finished, grid, notice, pace, pager, progress, row, tags } from "../parts.js";
import { query } from "../query.js";
import { root } from "../root.js";

const SWEEP_STATES = ["queued", "running", "paused", "succeeded", "failed", "cancelled"];

export function open({ draw, title }) {
  let before = null;
  title("Sweeps");
  return async function refresh() {
    const asked = { state: query.get("state"), search: query.get("search"), tag: query.get("tag"), page_token: query.get("page_token") };
    const sweeps = await get(withQuery("/sweeps", asked));
    draw(el("h1", {}, "Sweeps"), ...content(sweeps, asked));
    const changed = sweeps !== before;
    before = sweeps;
    return changed;
  };
}

function content({ items, next_page_token }, asked) {
  const narrowed = asked.state || asked.search || asked.tag || asked.page_token;
  if (!items.length && !narrowed) return [empty()];
  const owned = items.some((sweep) => sweep.owner);
  const rows = items.map((sweep) => row(sweep.id,
    [el("a", { href: `/sweeps/${sweep.id}` }, sweep.name), el("code", { class: "id" }, sweep.id), tags(sweep)],
    badge(sweep.state),
    [progress(sweep), el("span", { class: "quiet" }, [`${count(finished(sweep))} of ${count(sweep.trials_total)}`, pace(sweep)].filter(Boolean).join(", "))],
    ...(owned ? [sweep.owner ?? "–"] : []),
    ago(sweep.created_at)));
  return [
    el("form", { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() },
      el("label", {}, "Search ", el("input", {
        type: "search", value: asked.search, placeholder: "name or id",
        oninput: (event) => query.set({ search: event.target.value, page_token: "" }),
      })),
      choice("State", [["", "any"], ...SWEEP_STATES.map((state) => [state, state])], asked.state, (state) => query.set({ state, page_token: "" })),
      asked.tag && el("button", { type: "button", "aria-label": `Tag ${asked.tag}: show all tags`, onclick: () => query.set({ tag: "", page_token: "" }) }, `Tag: ${asked.tag} ✕`)),
    items.length
      ? grid("Sweeps", ["Sweep", "State", "Trials", ...(owned ? ["Owner"] : []), "Submitted"], rows, { class: "sweeps" })
      : notice("No sweeps match. ", el("a", { href: "/" }, "All sweeps")),
    pager(next_page_token, !asked.page_token, (page_token) => query.set({ page_token })),
  ];
}

function empty() {
  return el("section", { class: "empty" },
    el("p", {}, "No sweeps yet. Submit your first with one command (thirty small trials, about 15 seconds in all):"),
    el("pre", {}, el("code", {}, `lrd submit --preset digits --watch --url ${location.origin}${root}`)),
    el("p", {}, "or ", el("a", { href: "/new?preset=digits" }, "submit it here"), "."));
}
