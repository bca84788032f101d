// Entry point: the address names a page, which asks the API, draws the answer and keeps it fresh.
import { Away, Problem, token } from "./api.js";
import { isDark, onSystemChange } from "./dark.js";
import { el, morph, say } from "./dom.js";
import { sentence } from "./format.js";
import { poll } from "./poll.js";
import { query } from "./query.js";
import { root } from "./root.js";

const PAGES = [
  [/^\/(?:sweeps)?$/, "sweeps"],
  [/^\/new$/, "submit"],
  [/^\/cluster$/, "cluster"],
  [/^\/sweeps\/([^/]+)$/, "sweep"],
  [/^\/trials\/([^/]+)$/, "trial"],
];

const main = document.getElementById("main");
const banner = document.getElementById("banner");
let away = false;
let drawn = false;
// Where the reader left this page, in px, if they come back to it.
let left = performance.getEntriesByType("navigation")[0]?.type === "back_forward" ? history.state?.scrolled ?? 0 : 0;

addEventListener("answered", () => {
  if (!away) return;
  away = false;
  banner.textContent = "";
  say("The service is responding again.");
});

// Unless it keeps pages in memory, a browser that goes back scrolls before there is anything to scroll to.
addEventListener("pagehide", () => history.replaceState({ scrolled: scrollY }, ""));
for (const act of ["wheel", "touchstart", "pointerdown", "keydown"]) addEventListener(act, () => (left = 0), { passive: true });

function scrollBack() {
  if (left) scrollTo(0, left);
  if (scrollY >= left) left = 0;
}

function failed(error) {
  if (error) main.ariaBusy = "false"; // what there is to show is shown
  if (error instanceof Problem && error.status === 401) return askForToken();
  const refused = error instanceof Problem && error.status === 422; // e.g. a parameter in the address that is not valid
  if ((error instanceof Problem && error.status === 404) || (refused && !drawn)) return tellMissing(error);
  if (error instanceof Away) morph(banner, "The service is not responding. This page may be out of date. Retrying…");
  else morph(banner, error && told(error), refused && without());
  away = error instanceof Away;
  if (error && !(error instanceof Away || error instanceof Problem)) reportError(error);
}

// The message, then each parameter at fault with its error.
function told({ message, faults = [] }) {
  return sentence([message, ...faults.map(({ pointer, detail }) => `${pointer.split("/").at(-1)}: ${detail}`)].join("; "));
}

const without = () => location.search && [" ", el("a", { href: location.pathname.slice(root.length) }, "Show the default view")];

function tellMissing(error, otherwise = without()) {
  document.title = "Not found · Learning Rate Dropout";
  morph(main, el("h1", {}, "Not found"), el("p", {}, told(error), otherwise), el("p", {}, el("a", { href: "/" }, "All sweeps")));
}

// The token is kept for this tab only, and forgotten when the tab closes.
function askForToken() {
  const input = el("input", {
    type: "password", autocomplete: "off", required: true, "data-key": "token",
    pattern: "\\s*[!-~]+\\s*", title: "ASCII letters, digits and symbols only: an HTTP header cannot carry others.",
  });
  const onsubmit = (event) => {
    event.preventDefault();
    token.set(input.value.trim());
    location.reload();
  };
  banner.textContent = token.get() ? "The service does not recognise this token." : "";
  if (main.querySelector("form.token")) return;
  main.replaceChildren(
    el("h1", {}, "Access token"),
    el("p", {}, "This service requires a token. Its administrator can create one with ", el("code", {}, "lrd token create"), "."),
    el("form", { class: "token", onsubmit }, el("label", {}, "Token ", input), " ", el("button", { class: "primary" }, "Continue")));
  input.focus();
}

function chooseTheme() {
  const html = document.documentElement;
  const button = document.getElementById("theme");
  const show = () => {
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", isDark() ? "Use light colours" : "Use dark colours");
  };
  const changed = () => {
    show();
    dispatchEvent(new Event("themechange"));
  };
  button.onclick = () => {
    html.dataset.theme = isDark() ? "light" : "dark";
    localStorage.setItem("lrd-theme", html.dataset.theme);
    changed();
  };
  onSystemChange(changed);
  show();
}

async function start() {
  chooseTheme();
  document.getElementById("sign-out").onclick = () => {
    token.forget();
    location.reload();
  };
  for (const link of document.querySelectorAll("nav a")) {
    if (link.pathname === location.pathname) link.setAttribute("aria-current", "page");
  }
  const path = location.pathname.slice(root.length);
  const found = PAGES.find(([each]) => each.test(path));
  if (!found) return tellMissing(new Error(`There is no page ${path}`), "");
  const [address, name] = found;
  const { open } = await import(`./pages/${name}.js`);
  const draw = (...nodes) => {
    drawn = true;
    morph(main, ...nodes);
    scrollBack();
  };
  const title = (text) => (document.title = `${text} · Learning Rate Dropout`);
  const page = open({ id: path.match(address)[1], draw, title, refresh: () => refresh() });
  const work = async () => {
    const asked = location.search;
    const changed = await page();
    left = 0; // all of the page is there
    if (location.search === asked) main.ariaBusy = "false";
    return changed;
  };
  const refresh = poll(work, failed);
  const turn = () => {
    main.ariaBusy = "true"; // until what is shown is what the address asks for
    refresh();
  };
  query.changed(turn);
  turn();
}

start();
