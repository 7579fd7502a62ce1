// The feed: a snapshot a second, what is said when there is none, and how the page comes back by itself.
const LATE_MILLISECONDS = 5000;
let feed = null, state = null, heard = Date.now(), lost = null, lastGood = null, collecting = null;
const failuresSeen = new Set();

function banner(name, words, more = "", mild = false) {
  const old = [...find("banners").children].find((one) => one.dataset.name === name);
  if (!words) { old?.remove(); return; }
  const box = old ?? make("div", { class: `banner${mild ? " mild" : ""}`, "data-name": name }, make("strong"), make("span"));
  say(box.firstElementChild, words);
  say(box.lastElementChild, more ? ` ${more}` : "");
  if (!old) find("banners").append(box);
}

function connect() {
  feed?.close();
  feed = new EventSource("/events");
  feed.addEventListener("hello", (event) => {
    // Another devctl answers at this address: its page may be another one, and its token is.
    if (event.data !== document.documentElement.dataset.instance) location.reload();
  });
  feed.addEventListener("snapshot", (event) => { news(); collecting = null; show(JSON.parse(event.data)); });
  feed.addEventListener("problem", (event) => { news(); collecting = JSON.parse(event.data); late(); });
  feed.addEventListener("error", () => {
    lost ??= Date.now();
    late();
    if (feed.readyState === EventSource.CLOSED) setTimeout(connect, 2000);
  });
}

function news() {
  heard = Date.now();
  if (lost !== null) announce("Connected to devctl again.");
  lost = null;
}

function late() {
  const since = state ? `What is shown is of ${clock(state.at)}.` : "";
  banner("lost", lost !== null && "The connection to devctl is lost.",
    `${since} Trying again by itself; if devctl dash --web has ended, start it again.`);
  banner("problem", collecting?.problem, [collecting?.hint && `→ ${collecting.hint}`, since].filter(Boolean).join(" "));
  const silent = lost === null && feed?.readyState === EventSource.OPEN && Date.now() - heard > LATE_MILLISECONDS;
  banner("late", silent && `No news since ${clock(heard / 1000)}.`, "devctl waits for an answer, of Redis or the container engine.", true);
  document.body.classList.toggle("old", lost !== null || silent || collecting !== null);
  document.body.classList.toggle("away", state !== null && !state.broker.reachable);
}

function show(snapshot) {
  state = snapshot;
  const { broker } = snapshot;
  if (broker.reachable) lastGood = snapshot.at;
  say(find("stack"), ` · ${snapshot.stack || "this checkout"} · ${snapshot.runtime}`);
  document.title = `${snapshot.stack || "devctl"} · dash`;
  signed(find("broker"), broker.reachable ? "good" : "bad", [broker.url, broker.reachable
    ? size(broker.memory_bytes) + (broker.max_memory_bytes ? ` of ${size(broker.max_memory_bytes)}` : "") : "does not answer"].join(" · "));
  say(find("clock"), `as of ${clock(snapshot.at)}`);
  banner("away", !broker.reachable && "The broker does not answer.",
    [broker.problem && `${broker.problem}.`, lastGood && `Queues, workers and failures are of ${clock(lastGood)}.`].filter(Boolean).join(" "));
  banner("unread", snapshot.problems.length > 0 && "Not everything could be read:", snapshot.problems.join("; "), true);
  fill("queues", snapshot.queues, snapshot);
  fill("services", snapshot.services, snapshot);
  fill("workers", snapshot.workers, snapshot);
  fill("failures", snapshot.failures, snapshot);
  tellFailures(snapshot.failures);
  late();
}

// For those who hear the page: new failures as one sentence, at most one in ten seconds.
let toldAt = 0, untold = [];
function tellFailures(failures) {
  const first = toldAt === 0;
  for (const one of failures) {
    const key = TABLES.failures.key(one);
    if (!failuresSeen.has(key)) untold.unshift(one);
    failuresSeen.add(key);
  }
  if (first) untold = [];
  if (first || (untold.length && Date.now() - toldAt > 10000)) {
    const last = untold[0];
    if (last) announce(`${plural(untold.length, "new failure")}, the last: ${last.task}, ${last.error}`);
    [toldAt, untold] = [Date.now(), []];
  }
  if (failuresSeen.size > 5000) failuresSeen.clear();
}

function announce(words) { say(find("announced"), words); }

for (const name of Object.keys(TABLES)) build(name);
const colours = find("colours");
function paint() { document.documentElement.style.colorScheme = colours.value; }
try { colours.value = localStorage.getItem("devctl-colours") ?? colours.value; } catch { /* a browser without storage */ }
if (!colours.value) colours.value = "light dark";
paint();
colours.addEventListener("change", () => {
  paint();
  try { localStorage.setItem("devctl-colours", colours.value); } catch { /* as above */ }
});

connect();
setInterval(() => { late(); if (shown && !over) refreshTrace(); }, 1000);
// A page that nobody sees asks for nothing: browsers give one server six connections, for all its tabs together.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) feed.close();
  else { heard = Date.now(); connect(); }
});
