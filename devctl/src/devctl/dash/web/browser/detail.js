// What opens below: the trace of a task, or lines of logs.
let opener = null, source = null;
let shown = null, over = false;  // the id of the trace that is open, and whether nothing of it goes on
let asking = null;  // the id of the trace that is asked for, and not answered yet

function open(title, other) {
  if (find("detail").hidden) opener = document.activeElement;
  source?.close();
  source = shown = null;
  find("detail").hidden = false;
  document.body.classList.add("opened");
  say(find("detail-title"), title);
  find("detail-body").replaceChildren(make("p", { class: "empty" }, "…"));
  find("detail-other").hidden = !other;
  if (other) {
    say(find("detail-other"), other.word);
    find("detail-other").onclick = other.open;
  }
  find("detail-title").focus({ preventScroll: true });
}

function close() {
  if (find("detail").hidden) return;
  source?.close();
  source = shown = null;
  find("detail").hidden = true;
  document.body.classList.remove("opened");
  (opener?.isConnected ? opener : find("main")).focus({ preventScroll: true });
}

function problem({ problem: words, details = [], hint = "" }) {
  return make("div", {}, make("p", {}, sign("bad", words)), ...details.map((line) => make("p", {}, line)),
    ...(hint ? [make("p", { class: "muted" }, `→ ${hint}`)] : []));
}

function openLogs({ service = "", id = "" }) {
  open(id ? `Logs of ${shortly(id)}` : `Logs of ${service}`, id && { word: "Trace", open: () => openTrace(id) });
  const list = make("div", { class: "lines mono" });
  const body = find("detail-body");
  source = new EventSource(`/logs?${new URLSearchParams({ service, id })}`);
  source.addEventListener("hello", () => list.replaceChildren());
  source.addEventListener("lines", (event) => {
    const below = body.scrollHeight - body.scrollTop - body.clientHeight < 40;
    if (!list.isConnected) body.replaceChildren(list);
    list.append(...JSON.parse(event.data).map(line));
    while (list.childElementCount > 2000) list.firstElementChild.remove();
    if (below || list.childElementCount < 300) body.scrollTop = body.scrollHeight;
  });
  source.addEventListener("problem", (event) => body.replaceChildren(problem(JSON.parse(event.data))));
  const quiet = () => { if (!list.isConnected && source?.readyState === EventSource.OPEN) body.firstElementChild.textContent = "Nothing was logged yet."; };
  setTimeout(quiet, 2000);
}

function line({ at, who, level, text: words, more }) {
  const tone = { warning: "warn", error: "bad", critical: "bad" }[level] ?? "";
  return make("div", {},
    make("span", { class: "muted" }, at === null ? "" : clock(at, true)), make("span", { class: "muted" }, who),
    make("span", { class: `text ${tone}` }, tone ? `${level.toUpperCase()} ${words}` : words),
    ...(more.length ? [make("div", { class: "more" }, more.join("\n"))] : []));
}

async function openTrace(id) {
  open(`Trace of ${shortly(id)}`, { word: "Logs", open: () => openLogs({ id }) });
  [shown, over] = [id, false];
  await refreshTrace();
}

async function refreshTrace() {
  const id = shown;
  if (asking === id) return;
  asking = id;
  let answer, good;
  try {
    const response = await fetch(`/api/trace/${encodeURIComponent(id)}`);
    [good, answer] = [response.ok, await response.json()];
  } catch { return; }  // the banner says that devctl is away
  finally { if (asking === id) asking = null; }
  if (id !== shown) return;
  const body = find("detail-body");
  over = good && answer.ended;
  if (good) showTrace(body, answer);
  else body.replaceChildren(problem(answer));
}

find("detail-close").addEventListener("click", close);
find("find").addEventListener("submit", (event) => {
  event.preventDefault();
  const id = find("id").value.trim();
  if (id) openTrace(id);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !find("ask").open && !event.defaultPrevented) close();
});
