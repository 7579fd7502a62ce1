// The four tables. A column makes its cell once and updates it with each snapshot.
const SIGNS = { good: "✔", bad: "✘", warn: "!", busy: "●", muted: "·" };

function sign(kind, word) {
  const tone = kind === "busy" ? "warn" : kind;
  return make("span", { class: tone }, make("span", { "aria-hidden": "true" }, `${SIGNS[kind]} `), word);
}

function signed(cell, kind, word) {
  if (cell.dataset.said === kind + word) return;
  cell.dataset.said = kind + word;
  cell.replaceChildren(sign(kind, word));
}

const text = (head, value, more = {}) => ({ head, update: (cell, row) => say(cell, value(row)), ...more });
const figure = (head, value, more = {}) => text(head, value, { ...more, kind: `number ${more.kind ?? ""}` });

function tags(name, words) {
  return {
    make: (cell) => cell.append(make("span"), " ", make("span")),
    update: (cell, row, state) => {
      say(cell.firstElementChild, name(row));
      keep(cell.lastElementChild, words(row, state), ([word]) => word,
        ([word, tone]) => make("span", { class: `tag ${tone}` }, word), () => {});
    },
  };
}

// Buttons of a row: [key on the keyboard, its word, what it does] or null where it does not apply now.
function acts(...kinds) {
  return {
    head: "Actions", hides: true, kind: "acts",
    make: (cell) => cell.append(...kinds.map(([key]) => make("button", { type: "button", "data-act": key, "aria-keyshortcuts": key,
      onclick: (event) => kinds.find(([one]) => one === key)[3](event.currentTarget.closest("tr").item) },
      make("span"), make("span", { class: "hidden" })))),
    update: (cell, row) => kinds.forEach(([key, word, applies], at) => {
      const button = cell.children[at];
      const shown = applies(row);
      if (!shown && document.activeElement === button) (cell.closest("tr").querySelector("button:not([hidden])") ?? find("main")).focus();
      button.hidden = !shown;
      say(button.firstElementChild, word(row));
      say(button.lastElementChild, ` ${row.name ?? row.task ?? ""}`);
      mark(button, "title", `key: ${key}`);
    }),
  };
}

const always = () => true;
const only = (word) => () => word;

const TABLES = {
  queues: {
    of: "broker", key: (queue) => queue.name, none: "No queue yet. A task makes one: devctl send-task",
    columns: [
      { head: "Queue", row: true, ...tags((queue) => queue.name, (queue) => [
        ...(queue.paused ? [["paused", "warn"]] : []),
        ...(queue.stopped ? [["stopped: too many dead letters", "bad"]] : []),
        ...(queue.consumers === 0 && queue.waiting ? [["nobody consumes it", "bad"]] : []),
      ]) },
      figure("Waiting", (queue) => number(queue.waiting)),
      figure("Claimed", (queue) => number(queue.claimed)),
      figure("Due", (queue) => number(queue.due)),
      { head: "Dead", kind: "number", update: (cell, queue) => {
        say(cell, number(queue.dead));
        cell.classList.toggle("bad", queue.dead > 0);
      } },
      figure("In", (queue) => rate(queue.rate_in)),
      figure("Out", (queue) => rate(queue.rate_out)),
      { head: "Depth, 2 min", kind: "half", make: (cell) => cell.append(spark("depth")),
        update: (cell, queue, state) => plot(cell.firstElementChild, queue.history.map(([at, depth]) => [at, depth]), state.at, number) },
      figure("Oldest", (queue) => duration(queue.oldest_seconds)),
      { head: "Oldest, 2 min", kind: "half", make: (cell) => cell.append(spark("age of the oldest")),
        update: (cell, queue, state) => plot(cell.firstElementChild, queue.history.map(([at, , oldest]) => [at, oldest]), state.at, duration) },
      acts(["p", (queue) => (queue.paused ? "Resume" : "Pause"), always, (queue) => (queue.paused ? askResume(queue) : askPause(queue))]),
    ],
  },
  services: {
    of: "runtime", key: (service) => service.name, none: "No service runs. Start them: devctl up",
    columns: [
      { head: "Service", row: true, ...tags((service) => service.name, () => []) },
      { head: "State", kind: "half tight", update: (cell, service) => signed(cell, ...wellness(service)) },
      figure("Replicas", (service) => number(service.replicas)),
      text("Ports", (service) => service.ports.map((port) => port.split("->")[0].replace(/^.*:/, ":")).join(" "), { kind: "muted" }),
      acts(
        ["l", only("Logs"), always, (service) => openLogs({ service: service.name })],
        ["s", only("Scale"), (service) => service.scalable, (service) => askScale(service)],
        ["r", only("Restart"), (service) => service.replicas > 0, (service) => askRestart(service)],
      ),
    ],
  },
  failures: {
    of: "broker", key: (failure) => `${failure.at} ${failure.task_id} ${failure.kind}`, none: "Nothing has failed lately.",
    columns: [
      text("At", (failure) => clock(failure.at), { kind: "tight" }),
      { head: "What", kind: "half tight", update: (cell, failure) => signed(cell, ...{
        dead: ["bad", "dead"], failed: ["bad", "failed"], retried: ["warn", "retried"],
      }[failure.kind]) },
      { head: "Task", row: true, ...tags((failure) => failure.task, () => []) },
      { head: "Error", kind: "wide", make: (cell) => cell.append(make("div", { class: "clamped" })),
        update: (cell, { error, reason }) => {
          const words = [reason, error].filter(Boolean).join(" · ");
          say(cell.firstElementChild, words);
          mark(cell.firstElementChild, "title", words);
        } },
      acts(
        ["t", only("Trace"), (failure) => failure.task_id, (failure) => openTrace(failure.task_id)],
        ["l", only("Logs"), (failure) => failure.task_id, (failure) => openLogs({ id: failure.task_id })],
        ["R", only("Replay"), (failure) => failure.letter_id, (failure) => askReplay(failure)],
        ["D", only("Drop"), (failure) => failure.letter_id, (failure) => askDrop(failure)],
      ),
    ],
  },
  workers: {
    of: "broker", key: (worker) => worker.node, none: "No worker answers. Start one: devctl up",
    columns: [
      { head: "Worker", row: true, make: (cell) => cell.append(make("div"), make("div", { class: "muted" })),
        update: (cell, worker) => {
          say(cell.firstElementChild, worker.node);
          say(cell.lastElementChild, worker.queues.join(" "));
        } },
      figure("Busy", (worker) => `${worker.running.length}${worker.threads ? ` of ${worker.threads}` : ""}`),
      { head: "Runs now", kind: "wide", make: (cell) => cell.append(make("div", { class: "running" })),
        update: (cell, worker) => keep(cell.firstElementChild, worker.running.slice(0, 8), (task) => task.task_id, makeRunning, updateRunning) },
    ],
  },
};

function wellness(service) {
  if (service.state !== "running") {
    return [["created", "paused"].includes(service.state) ? "warn" : "bad", service.state];
  }
  const kinds = { healthy: "good", degraded: "warn", unhealthy: "bad", starting: "busy" };
  return [kinds[service.health] ?? "muted", service.health && service.health !== "none" ? service.health : service.state];
}

function makeRunning() {
  const node = make("div", {},
    make("button", { type: "button", class: "name", onclick: () => openTrace(node.dataset.key) }),
    make("span", { class: "number" }),
    make("div", { class: "note" }, make("progress", { max: 1 }), make("span")));
  return node;
}

function updateRunning(node, task) {
  const [button, time, note] = node.children;
  say(button, `${task.task} ${shortly(task.task_id)}`);
  say(time, duration(task.seconds));
  const told = task.progress !== null;
  note.hidden = !told && !task.note;
  const [bar, words] = note.children;
  bar.hidden = !told;
  if (told && bar.value !== task.progress) bar.value = task.progress;
  mark(bar, "aria-label", `progress of ${task.task}`);
  say(words, [told ? `${Math.round(task.progress * 100)}%` : "", task.note].filter(Boolean).join(" · "));
}

function build(name) {
  const { columns, of } = TABLES[name];
  const section = find(name);
  section.classList.add(`of-${of}`);
  // The roles say again what a narrow screen's layout takes from the elements.
  const head = make("tr", { role: "row" }, ...columns.map((column) =>
    make("th", { scope: "col", role: "columnheader", class: column.kind ?? "" },
      column.hides ? make("span", { class: "hidden" }, column.head) : column.head)));
  section.append(
    make("table", { role: "table", "aria-labelledby": `${name}-title`, hidden: true },
      make("thead", { role: "rowgroup" }, head), make("tbody", { role: "rowgroup" })),
    make("p", { class: "empty" }, "…"));
}

function fill(name, items, state) {
  const { columns, key, none } = TABLES[name];
  const [table, empty] = [find(name).querySelector("table"), find(name).querySelector(".empty")];
  table.hidden = !items.length;
  empty.hidden = items.length > 0;
  say(empty, none);
  keep(table.tBodies[0], items, key, () => make("tr", { role: "row" }, ...columns.map((column) => {
    const cell = make(column.row ? "th" : "td", column.row ? { scope: "row", role: "rowheader" } : { role: "cell", class: column.kind ?? "" });
    if (!column.row && !column.hides) cell.dataset.label = column.head;
    column.make?.(cell);
    return cell;
  })), (row, item) => {
    row.item = item;
    columns.forEach((column, at) => column.update(row.children[at], item, state));
  });
}

// Keys that mean something in a row, and only there: a screen reader's own keys stay its own everywhere else.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || !(event.target instanceof HTMLButtonElement)) return;
  const row = event.target.closest("tbody tr");
  if (!row) return;
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    const step = event.key === "ArrowDown" ? "nextElementSibling" : "previousElementSibling";
    for (let other = row[step]; other; other = other[step]) {
      const same = event.target.dataset.act && other.querySelector(`[data-act="${event.target.dataset.act}"]:not([hidden])`);
      const to = same || other.querySelector("button:not([hidden])");
      if (to) { to.focus(); event.preventDefault(); return; }
    }
    return;
  }
  const button = row.querySelector(`[data-act="${CSS.escape(event.key)}"]:not([hidden])`);
  if (button) { button.click(); event.preventDefault(); }
});
