// How a page gets its news: from the shared worker; where a browser has none, the page that holds the
// lock leads, and the others hear it over a channel.
import { Feed } from "./feed.js";

export function subscribe(topics, after, tell) {
  if (typeof SharedWorker === "function") byWorker(topics, after, tell);
  else byLeader(topics, after, tell);
}

function byWorker(topics, after, tell) {
  const { port } = new SharedWorker(new URL("./feed-worker.js", import.meta.url), { type: "module" });
  let at = after;
  port.onmessage = ({ data }) => {
    at = lastOf(data, at);
    tell(data);
  };
  const enter = () => port.postMessage({ topics, after: at });
  addEventListener("pagehide", () => port.postMessage({ leaves: true }));
  addEventListener("pageshow", (event) => event.persisted && enter());
  enter();
}

function byLeader(topics, after, tell) {
  const channel = new BroadcastChannel("mechagym-feed");
  const id = crypto.randomUUID();
  const me = { topics, after, tell };
  let feed = null;
  channel.onmessage = ({ data }) => {
    if (data.to === id) {
      me.after = lastOf(data.news, me.after);
      tell(data.news);
    } else if (feed && data.enters) {
      const { enters, topics, after } = data;
      feed.add(enters, { topics, after, tell: (news) => channel.postMessage({ to: enters, news }) });
    } else if (feed && data.leaves) {
      feed.remove(data.leaves);
    } else if (data.leads && !feed) {
      channel.postMessage({ enters: id, topics, after: me.after });
    }
  };
  channel.postMessage({ enters: id, topics, after });
  addEventListener("pagehide", () => channel.postMessage({ leaves: id }));
  navigator.locks.request("mechagym-feed", async () => {
    feed = new Feed();
    feed.add(id, me);
    channel.postMessage({ leads: id });
    await new Promise(() => {}); // leads as long as the page lives
  });
}

const lastOf = (news, at) => Math.max(at, ...(news.events ?? []).map(({ position }) => position));
