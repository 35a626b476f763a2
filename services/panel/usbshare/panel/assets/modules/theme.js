// Sets light or dark before the first paint; a classic script, since modules run too late for that.
(() => {
  const KEY = "usbshare.theme";
  const dark = matchMedia("(prefers-color-scheme: dark)");

  function chosen() {
    try {
      return localStorage.getItem(KEY) || "system";
    } catch {
      return "system"; // storage is blocked: the system's choice still works
    }
  }

  function apply() {
    const choice = chosen();
    const theme = choice === "system" ? (dark.matches ? "dark" : "light") : choice;
    document.documentElement.dataset.theme = theme;
    const meta = document.querySelector("meta[name=theme-color]");
    if (meta) meta.content = theme === "dark" ? "#12171c" : "#eef1f4";
  }

  function choose(choice) {
    try {
      localStorage.setItem(KEY, choice);
    } catch {
      // It holds until the page is closed.
    }
    apply();
  }

  dark.addEventListener("change", apply);
  window.usbshareTheme = { chosen, choose };
  apply();
})();
