// The keys of `?`. None acts inside a text field.
const ROWS = "[data-rows] tbody tr, .thread > .step";
let after_g = false;

export function listen() {
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "g") {
      if (press("[data-panel-button]")) event.preventDefault();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || isText(event.target)) return;
    const done = after_g ? go(event.key) : act(event.key);
    after_g = !after_g && event.key === "g";
    if (done) event.preventDefault();
  });
}

const isText = (target) => target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);

function go(key) {
  const link = document.querySelector(`.rail a[data-key="${CSS.escape(key)}"]`);
  link?.click();
  return link;
}

function act(key) {
  switch (key) {
    case "?": return showHelp();
    case "/": return focus(".search input");
    case "j": return move(1);
    case "k": return move(-1);
    case "Enter": return document.activeElement === document.body && press("[aria-selected='true'] a");
    case "[": return press("a[rel='prev']");
    case "]": return press("a[rel='next']");
    case "f": return press("[data-follow]");
    case "s": return press("[data-stop]");
    case "x": return unfold();
    default: return false;
  }
}

function press(selector) {
  const found = document.querySelector(selector);
  found?.click();
  return found;
}

function focus(selector) {
  const found = document.querySelector(selector);
  found?.focus();
  return found;
}

function showHelp() {
  const help = document.querySelector("dialog[data-keys]");
  if (help?.open) help.close();
  else help?.showModal();
  return help;
}

function move(by) {
  const rows = [...document.querySelectorAll(ROWS)];
  if (!rows.length) return false;
  const now = rows.findIndex((row) => row.ariaSelected === "true");
  const next = rows[Math.min(rows.length - 1, Math.max(0, now + by))];
  rows[now]?.removeAttribute("aria-selected");
  next.ariaSelected = "true";
  next.scrollIntoView({ block: "nearest" });
  return true;
}

function unfold() {
  const folds = document.querySelectorAll("[aria-selected='true'] details");
  for (const fold of folds) fold.open = !fold.open;
  return folds.length;
}
