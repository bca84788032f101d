// The REST API: JSON in and out, ETags on repeated requests, errors as sentences.
import { say } from "./dom.js";
import { root } from "./root.js";

const ROOT = "/api/v1";
const TOKEN = "lrd-token";
const PATIENCE = 60_000; // ms; without a limit, a hung service or a network lost during sleep would go unnoticed
const REMEMBERED = 100; // answers; more than any page asks for

// RFC 9457: what the service refused, and why.
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail ?? body.title ?? `The service answered with status ${status}`);
    this.status = status;
    this.faults = body.errors ?? [];
  }
}

export class Away extends Error {
  constructor() {
    super("The service is not responding.");
  }
}

export const token = {
  get: () => sessionStorage.getItem(TOKEN),
  set: (value) => sessionStorage.setItem(TOKEN, value),
  forget: () => sessionStorage.removeItem(TOKEN),
};

const known = new Map();
let skew = 0; // ms by which the service's clock is ahead of this one

export const now = () => Date.now() + skew;

async function ask(path, options = {}) {
  const headers = { ...options.headers };
  if (token.get()) headers.Authorization = `Bearer ${token.get()}`;
  let answer;
  try {
    answer = await fetch(root + ROOT + path, { signal: AbortSignal.timeout(PATIENCE), ...options, headers, cache: "no-store" });
  } catch {
    throw new Away();
  }
  dispatchEvent(new Event("answered"));
  const date = Date.parse(answer.headers.get("date"));
  if (date) skew = date - Date.now();
  if (answer.ok || answer.status === 304) return answer;
  throw new Problem(answer.status, isJSON(answer) ? await bodyOf(answer) : {});
}

const isJSON = (answer) => answer.headers.get("content-type")?.includes("json") ?? false;

const bodyOf = (answer) => (isJSON(answer) ? answer.json() : answer.text()).catch(() => {
  throw new Away(); // lost in the middle of the answer
});

// Returns the same object as before if nothing has changed.
export async function get(path) {
  const before = known.get(path);
  const answer = await ask(path, { headers: before ? { "If-None-Match": before.etag } : {} });
  if (answer.status === 304) return before.data;
  const data = await bodyOf(answer);
  const etag = answer.headers.get("etag");
  known.delete(path);
  if (etag) known.set(path, { etag, data });
  if (known.size > REMEMBERED) known.delete(known.keys().next().value);
  return data;
}

// A text is sent as YAML.
async function send(method, path, body, headers = {}) {
  const kind = typeof body === "string" ? "application/yaml" : "application/json";
  const content = typeof body === "string" ? body : body && JSON.stringify(body);
  return bodyOf(await ask(path, { method, body: content, headers: { ...(body && { "Content-Type": kind }), ...headers } }));
}

export const post = (path, body, headers) => send("POST", path, body, headers);
export const patch = (path, body) => send("PATCH", path, body);
export const remove = (path) => send("DELETE", path);

// `/x?a=1`, without empty parameters.
export function withQuery(path, parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}

// Attributes of a download link. A browser sends no token with a plain link, so with a token the file is fetched.
export function download(path, name) {
  const onclick = async (event) => {
    if (!token.get()) return;
    event.preventDefault();
    try {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(await (await ask(path, { signal: null })).blob()); // a bundle may take longer
      link.download = name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    } catch (error) {
      say(error.message);
    }
  };
  return { href: ROOT + path, download: name, onclick };
}
