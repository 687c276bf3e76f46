// A page is rendered at a position of the store and follows from there. A region with `data-live`
// names the kinds of events that change it (`*`: all); it is fetched again, from the page's own URL,
// at most once a second and only while somebody looks.
import { subscribe } from "./line.js";
import { clock, localise } from "./times.js";

const PAUSE_MS = 1_000;
const SKELETON_MS = 150;
const dirty = new Set();
let waits = false;

export function follow() {
  const { topics, position } = document.body.dataset;
  if (!topics) return;
  subscribe(topics.split(","), Number(position), hear);
  document.addEventListener("visibilitychange", refreshSoon);
}

function hear({ events, reload, live }) {
  if (live !== undefined) showState(live);
  for (const region of document.querySelectorAll("[data-live]")) {
    const kinds = region.dataset.live.split(" ");
    const changed = (event) => kinds.includes("*") || kinds.includes(event.kind);
    if (reload || events?.some(changed)) dirty.add(region.id);
  }
  if (events) document.dispatchEvent(new CustomEvent("news", { detail: events }));
  if (dirty.size) refreshSoon();
}

function showState(live) {
  const light = document.querySelector("[data-live-light]");
  if (!light) return;
  const state = live ? "live" : "stale";
  if (light.dataset.state === state) return;
  light.dataset.state = state;
  light.textContent = live ? "live" : `not live since ${clock(new Date())}`;
}

function refreshSoon() {
  if (waits || !dirty.size || document.hidden) return;
  waits = true;
  setTimeout(async () => {
    await refresh();
    waits = false;
    refreshSoon();
  }, PAUSE_MS);
}

async function refresh() {
  const ids = [...dirty];
  dirty.clear();
  const regions = ids.map((id) => document.getElementById(id)).filter(Boolean);
  const skeleton = setTimeout(() => regions.forEach((r) => (r.ariaBusy = "true")), SKELETON_MS);
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    const text = await answer.text();
    if (!answer.ok) throw new Error(problemOf(answer, text));
    const page = new DOMParser().parseFromString(text, "text/html");
    for (const region of regions) replace(region, page.getElementById(region.id));
  } catch (error) {
    regions.forEach((region) => fail(region, error.message));
  } finally {
    clearTimeout(skeleton);
    regions.forEach((r) => (r.ariaBusy = null));
  }
}

function replace(region, fresh) {
  if (!fresh) return;
  const open = [...region.querySelectorAll("details[id][open]")].map(({ id }) => id);
  const held = region.contains(document.activeElement) ? document.activeElement.id : "";
  region.replaceWith(document.adoptNode(fresh));
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  if (held) document.getElementById(held)?.focus();
  localise(fresh);
  fresh.dispatchEvent(new CustomEvent("fresh", { bubbles: true }));
}

function fail(region, why) {
  region.querySelector("[data-failed]")?.remove();
  const note = document.createElement("p");
  note.className = "note error";
  note.dataset.failed = "";
  note.role = "status";
  note.append(`This could not be fetched: ${why} `);
  const retry = document.createElement("button");
  retry.textContent = "Try again";
  retry.addEventListener("click", () => {
    dirty.add(region.id);
    refreshSoon();
  });
  note.append(retry);
  region.prepend(note);
}

function problemOf(answer, text) {
  try {
    const { detail, error_id } = JSON.parse(text);
    return error_id ? `${detail} (error ${error_id}).` : `${detail}.`;
  } catch {
    return `the server answered ${answer.status}.`;
  }
}
