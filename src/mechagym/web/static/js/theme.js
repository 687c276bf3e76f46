// Runs before the first paint: a theme that was fixed by hand, else the system's.
(() => {
  let fixed = null;
  try {
    fixed = localStorage.getItem("theme");
  } catch {
    // no storage: the system's theme
  }
  if (fixed === "light" || fixed === "dark") document.documentElement.dataset.theme = fixed;
})();
