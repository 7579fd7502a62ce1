
// Times and numbers, as devctl writes them in a terminal.
const number = (value) => (value === null || value === undefined ? "–" : value.toLocaleString("en"));

function rate(value) {
  if (value === null || value === undefined) return "–";
  return `${value > 0 && value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString("en")}/s`;
}

function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 0.0995) return `${(seconds * 1000).toFixed(seconds < 0.00995 ? 1 : 0)}ms`;
  if (seconds < 59.95) return `${seconds.toFixed(1)}s`;
  const whole = Math.round(seconds);
  if (whole < 6000) return `${Math.floor(whole / 60)}m${String(whole % 60).padStart(2, "0")}s`;
  return `${(whole / 3600).toFixed(1)}h`;
}

function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  while (bytes >= 999.5 && at < units.length - 1) { bytes /= 1000; at += 1; }
  return `${bytes.toFixed(at > 2 && bytes < 10 ? 1 : 0)} ${units[at]}`;
}

function clock(at, fine = false) {
  const moment = new Date(at * 1000);
  const two = (value) => String(value).padStart(2, "0");
  const text = `${two(moment.getHours())}:${two(moment.getMinutes())}:${two(moment.getSeconds())}`;
  return fine ? `${text}.${String(moment.getMilliseconds()).padStart(3, "0")}` : text;
}

const shortly = (id) => (/^[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$/.test(id) ? `${id.slice(0, 8)}…` : id);
const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;
