// One stream for all pages of a browser. A page is told what is for it, each event once, in order:
// it begins at the position it was rendered at, wherever the stream is by then.
const AGAIN_MS = 5_000;

export class Feed {
  #clients = new Map();
  #source = null;
  #again = 0;

  add(id, { topics, after, tell }) {
    this.#clients.set(id, { topics: new Set(topics), at: after, tell });
    this.#open();
  }

  remove(id) {
    this.#clients.delete(id);
    if (this.#clients.size === 0) this.#close();
  }

  #close() {
    clearTimeout(this.#again);
    this.#source?.close();
    this.#source = null;
  }

  #open() {
    this.#close();
    const clients = [...this.#clients.values()];
    const topics = [...new Set(clients.flatMap(({ topics }) => [...topics]))].sort();
    const after = Math.min(...clients.map(({ at }) => at));
    const query = new URLSearchParams({ topics: topics.join(","), after });
    const source = new EventSource(`/api/v1/stream?${query}`);
    source.onopen = () => this.#say({ live: true });
    source.onmessage = (message) => this.#hear(Number(message.lastEventId), JSON.parse(message.data));
    source.addEventListener("reload", (message) => this.#skip(Number(message.lastEventId)));
    source.onerror = () => {
      this.#say({ live: false });
      // refused for good (a new token, a restart that is under way): made anew, from where we are
      if (source.readyState === EventSource.CLOSED) {
        this.#again = setTimeout(() => this.#clients.size && this.#open(), AGAIN_MS);
      }
    };
    this.#source = source;
  }

  #hear(position, events) {
    for (const client of this.#clients.values()) {
      const news = events.filter(
        (event) => event.position > client.at && event.topics.some((topic) => client.topics.has(topic)),
      );
      client.at = Math.max(client.at, position);
      if (news.length) client.tell({ events: news });
    }
  }

  #skip(position) {
    for (const client of this.#clients.values()) {
      if (position <= client.at) continue;
      client.at = position;
      client.tell({ reload: true });
    }
  }

  #say(state) {
    for (const { tell } of this.#clients.values()) tell(state);
  }
}
