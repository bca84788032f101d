// The dialog in which a sweep's name, tags and notes are changed. Only what was changed is sent, and
// what somebody else changed meanwhile is not replaced without asking. If-Match would be no help: its
// tag changes with every epoch that a trial reports.
import { get, patch } from "./api.js";
import { question } from "./parts.js";

const LABELS = { name: "Name", tags: "Tags, with commas between them", notes: "Notes" };
const MORE = { name: { required: true, maxlength: 200 }, tags: {}, notes: { rows: 6, maxlength: 10_000 } };

const listed = (text) => text.split(",").map((tag) => tag.trim()).filter(Boolean);
const texts = ({ name, tags, notes }) => ({ name, tags: tags.join(", "), notes });
const only = (names, from) => Object.fromEntries(names.map((name) => [name, from[name]]));

// Resolves to what is to be said afterwards; empty if the dialog was dismissed.
export async function edit(path, sweep) {
  let before = texts(sweep);
  let shown = before;
  let text = "What the sweep is called and found by, and what should be remembered about it.";
  while (true) {
    const fields = Object.entries(shown).map(([name, value]) => ({ name, label: LABELS[name], value, ...MORE[name] }));
    const wanted = await question({ title: "Edit", text, yes: "Save", fields });
    if (!wanted) return "";
    const typed = texts({ ...wanted, tags: listed(wanted.tags) });
    const changed = Object.keys(typed).filter((name) => typed[name] !== before[name]);
    const now = texts(await get(path));
    const taken = changed.filter((name) => now[name] !== before[name] && now[name] !== typed[name]);
    if (!taken.length) {
      if (changed.length) await patch(path, only(changed, { ...typed, tags: listed(typed.tags) }));
      return changed.length ? "Saved." : "Nothing was changed.";
    }
    text = `Not saved: somebody else changed the ${taken.join(" and the ")} meanwhile, to ${taken.map((name) => `“${now[name]}”`).join(" and ")}. `
      + "Save again to replace that with what is written below.";
    shown = { ...now, ...only(changed, typed) };
    before = now;
  }
}
