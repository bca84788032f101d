// The state of a page lives in its address: whoever gets the link sees the same.
const listeners = [];

export const query = {
  get: (name, otherwise = "") => new URLSearchParams(location.search).get(name) ?? otherwise,

  list: (name) => query.get(name).split(",").filter(Boolean),

  // Empty values leave the address.
  set(changes) {
    const parameters = new URLSearchParams(location.search);
    for (const [name, value] of Object.entries(changes)) {
      if (value) parameters.set(name, value);
      else parameters.delete(name);
    }
    const text = parameters.toString();
    history.replaceState(null, "", location.pathname + (text && `?${text}`) + location.hash);
    tell();
  },

  changed: (listener) => listeners.push(listener),
};

function tell() {
  for (const listener of listeners) listener();
}

// Back from `#trials`, say, to another choice of the same page.
addEventListener("popstate", tell);
