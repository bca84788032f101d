// Whether the page is dark: as the reader chose, or else as the system says.
const system = matchMedia("(prefers-color-scheme: dark)");

export const isDark = () => (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";

// `changed` is called when the system's choice changes.
export const onSystemChange = (changed) => system.addEventListener("change", changed);
