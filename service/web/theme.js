// Light or dark: the system's choice, unless the reader made one. A classic script in the head, so
// that the first paint has the right colours.
(() => {
  const chosen = localStorage.getItem("lrd-theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
})();
