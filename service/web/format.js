// Numbers, times and states as text.
import { el } from "./dom.js";
import { now } from "./api.js";

export const count = (number) => number.toLocaleString("en");

export const plural = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;

export const words = (name) => name.replaceAll("_", " ");

// The service's errors begin in lower case and have no full stop.
export const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (text.endsWith(".") ? "" : ".");

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 10) return `${Number(seconds.toFixed(1))} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`;
  if (seconds < 36 * 3600) return `${(seconds / 3600).toFixed(1)} h`;
  return `${(seconds / 86_400).toFixed(1)} days`;
}

export const secondsSince = (time) => Math.max(0, (now() - Date.parse(time)) / 1000);

export function ago(time) {
  if (!time) return "–";
  const seconds = secondsSince(time);
  const text = seconds < 60 ? "just now" : `${duration(seconds)} ago`;
  return el("time", { datetime: time, title: written(time) }, text);
}

// The month in letters: 05/11 is another day in Boston than in Berlin.
const written = (time) => new Date(time).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" });

export const clock = (time) => (time ? el("time", { datetime: time }, written(time)) : "–");

// A value of a report; NaN and infinities arrive as words.
export function value(number) {
  if (typeof number !== "number") return number === null || number === undefined ? "–" : String(number);
  return Number.isInteger(number) ? String(number) : number.toPrecision(4);
}

const SIGNS = { queued: "○", running: "◐", paused: "‖", succeeded: "●", failed: "✕", cancelled: "–" };

// A sign as well as a colour: either suffices to tell the states apart.
export function badge(state, reason = null) {
  const sign = el("span", { "aria-hidden": "true" }, SIGNS[state]);
  return el("span", { class: `badge ${state}` }, sign, " ", state, reason && `: ${reason}`);
}
