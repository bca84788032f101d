// Light or dark: what the system says, unless the reader chose. A classic script in the head, so
// that the first paint has the right colours.
(() => {
  const chosen = localStorage.getItem("lrd-theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
})();
