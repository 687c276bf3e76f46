// The worker that all pages of a browser share: it alone has a connection.
import { Feed } from "./feed.js";

const feed = new Feed();
let pages = 0;

onconnect = ({ ports: [port] }) => {
  const id = ++pages;
  port.onmessage = ({ data }) => {
    if (data.leaves) feed.remove(id);
    else feed.add(id, { ...data, tell: (news) => port.postMessage(news) });
  };
};
