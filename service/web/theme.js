// Light or dark: the system's choice, unless the reader made one. A classic script in the head, so
// that the first paint has the right colours. It also shows whether this tab has a token to forget.
(() => {
  const chosen = localStorage.getItem("lrd-theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
  if (sessionStorage.getItem("lrd-token")) document.documentElement.dataset.token = "";
})();
