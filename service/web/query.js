// A page keeps its state in its address, so a shared link shows the same view.
const listeners = [];

export const query = {
  get: (name, otherwise = "") => new URLSearchParams(location.search).get(name) ?? otherwise,

  list: (name) => query.get(name).split(",").filter(Boolean),

  // An empty value removes its parameter.
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

// Back and forward between states of the same page, e.g. from `#trials`.
addEventListener("popstate", tell);
