// The server writes UTC; a person reads local time, and UTC on hover.
const today = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const earlier = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

export function localise(root) {
  for (const time of root.querySelectorAll("time[datetime]:not([title])")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    time.title = time.dateTime;
    const same = at.toDateString() === new Date().toDateString();
    time.textContent = (same ? today : earlier).format(at);
  }
}

export const clock = (at) => today.format(at);
