// Whether the page is dark: the reader's choice, or the system's by default.
const system = matchMedia("(prefers-color-scheme: dark)");

export const isDark = () => (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";

// Call `changed` whenever the system's choice changes.
export const onSystemChange = (changed) => system.addEventListener("change", changed);
