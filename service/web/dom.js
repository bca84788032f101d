// Creating and updating elements. A page redraws itself from its data, but only what differs is
// touched, so focus, selection, open details and scroll positions survive a refresh.
import { root } from "./root.js";

// Strings become text nodes, never markup, so whatever a user typed stays text. A link within the
// service begins with a slash; the service's root is put before it.
export function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) made[key] = value;
    else if (key === "style") for (const [rule, given] of Object.entries(value)) made.style.setProperty(rule, given);
    else if (key === "href" && value.startsWith("/")) made.setAttribute(key, root + value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...nodes(children));
  if ("value" in attributes && "value" in made) made.value = attributes.value;
  return made;
}

// Make the children of `place` equal to `children`.
export function morph(place, ...children) {
  arrange(place, nodes(children));
}

function nodes(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : document.createTextNode(child)));
}

function arrange(place, wanted) {
  const keyed = new Map([...place.childNodes].filter((node) => node.dataset?.key).map((node) => [node.dataset.key, node]));
  const stay = new Set(wanted.map((node) => node.dataset?.key));
  // Remove first: otherwise every node behind a removed one would be moved, and a moved node loses focus.
  for (const [key, node] of keyed) if (!stay.has(key)) node.remove();
  let at = place.firstChild;
  for (const node of wanted) {
    const old = keyed.get(node.dataset?.key) ?? at;
    if (!old || !alike(old, node)) {
      place.insertBefore(node, at);
      continue;
    }
    if (old === at) at = at.nextSibling;
    else place.insertBefore(old, at);
    if (old !== node && !("foreign" in (old.dataset ?? {}))) sync(old, node);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function alike(old, node) {
  if (old === node) return true;
  return old.nodeName === node.nodeName && old.dataset?.key === node.dataset?.key;
}

const BEGINNING = 100; // characters by which a text is found again in the old one
const HANDLERS = ["onclick", "oninput", "onchange", "onkeydown", "onsubmit", "onmouseenter", "onfocus"];

function sync(old, node) {
  if (node.nodeType === Node.TEXT_NODE) {
    if (old.data !== node.data) rewrite(old, node.data);
    return;
  }
  for (const { name } of [...old.attributes]) {
    // Keep what the reader opened, and where a tip was placed: the data knows of neither.
    if (!node.hasAttribute(name) && name !== "open" && name !== "style") old.removeAttribute(name);
  }
  for (const { name, value } of node.attributes) {
    if (name === "style") old.style.cssText = node.style.cssText;
    else if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const name of HANDLERS) old[name] = node[name];
  arrange(old, [...node.childNodes]);
  if ("checked" in node) old.checked = node.checked;
  if ("value" in node && old !== document.activeElement && old.value !== node.value) old.value = node.value;
}

// The tail of a log loses lines at the top and gains some at the bottom; a selection between them survives.
function rewrite(old, text) {
  const gone = old.data.indexOf(text.slice(0, BEGINNING));
  if (gone > 0) old.deleteData(0, gone);
  if (text.startsWith(old.data)) old.appendData(text.slice(old.length));
  else old.data = text;
}

const HEARD = 8000; // ms
let saidBefore = "";
let fading = null;

// Tell the reader, on screen and through a screen reader.
export function say(text) {
  const status = document.getElementById("status");
  // A screen reader announces only a change.
  status.textContent = text === saidBefore ? text + "\u00a0" : text;
  saidBefore = status.textContent;
  clearTimeout(fading);
  fading = setTimeout(() => (status.textContent = ""), HEARD);
}
