// The tree of a task: a row for each request, task and attempt, and where its time went, to scale. What waits is a
// thin bar, what runs a thick one, what is due later a dotted line: no colour is needed to tell them apart.
const STATES = {
  succeeded: "good", failed: "bad", dead: "bad", rejected: "bad", refused: "bad", running: "busy", claimed: "busy", waiting: "busy",
  due: "busy", retried: "warn", returned: "warn", revoked: "warn", dropped: "warn",
};
const SHARES = { ran: "ran", commit: "committing", claimed: "claimed", returned: "given back", waited: "waited", due: "due later", dead: "a dead letter", request: "the request itself", other: "not recorded" };
const HEIGHTS = { due: 1, waited: 4, claimed: 2, ran: 12, request: 12 };

function showTrace(body, trace) {
  let view = body.querySelector(".trace");
  if (!view || view.dataset.asked !== trace.asked) {
    view = makeTrace(trace.asked);
    body.replaceChildren(view);
  }
  const [sum, gaps, table] = [...view.children];
  const shares = Object.entries(trace.shares).sort(([, a], [, b]) => b - a)
    .map(([name, seconds]) => `${SHARES[name]} ${duration(seconds)}`).join(" · ");
  signed(sum.children[0], STATES[trace.state] ?? "muted", trace.state);
  say(sum.children[1], `${duration(trace.seconds)} since ${clock(trace.at, true)}${trace.ended ? "" : ", and it goes on"}`);
  say(sum.children[2], shares);
  keep(gaps, trace.gaps, (gap) => gap, (gap) => make("li", {}, gap), () => {});
  gaps.hidden = !trace.gaps.length;
  keep(table.tBodies[0], trace.rows, (row) => row.key, makeSpan, updateSpan);
}

function makeTrace(asked) {
  const heads = ["What", "State", "Begins", "Took", "Where the time went"];
  return make("div", { class: "trace", "data-asked": asked },
    make("p", { class: "sum" }, make("span"), make("span"), make("span", { class: "muted" })),
    make("ul", { class: "gaps", hidden: true }),
    make("table", { role: "table", "aria-label": "Trace" },
      make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, ...heads.map((head, at) =>
        make("th", { scope: "col", role: "columnheader", class: at === 2 || at === 3 ? "number" : "" }, head)))),
      make("tbody", { role: "rowgroup" })));
}

function makeSpan(row) {
  const bars = draw("svg", { class: "bars", viewBox: "0 0 1000 14", preserveAspectRatio: "none", role: "img" });
  const what = make("th", { scope: "row", role: "rowheader" },
    make("span", { class: "hidden" }, `level ${row.depth + 1}: `), make("span", { class: "what" }),
    make("span", { class: "muted mono" }), make("div", { class: "muted" }), make("div", { class: "error" }),
    make("div", { class: "acts" },
      make("button", { type: "button", "data-act": "R", "aria-keyshortcuts": "R", onclick: () => askReplay(node.item) }, "Replay"),
      make("button", { type: "button", "data-act": "D", "aria-keyshortcuts": "D", onclick: () => askDrop(node.item) }, "Drop")));
  what.style.paddingLeft = `${row.depth * 1.1}rem`;
  const node = make("tr", { role: "row", class: row.kind }, what, make("td", { role: "cell", class: "tight", "data-label": "State" }),
    make("td", { role: "cell", class: "number", "data-label": "Begins" }), make("td", { role: "cell", class: "number", "data-label": "Took" }),
    make("td", { role: "cell", class: "wide" }, bars));
  return node;
}

function updateSpan(node, row) {
  const [what, state, begins, took, way] = node.children;
  const [, name, id, where, error, actions] = what.children;
  node.item = { name: row.name, task: row.name, task_id: row.id, queue: row.queue, letter_id: row.letter, error: row.said.join(" · ") };
  say(name, row.name);
  say(id, row.id ? ` ${shortly(row.id)}` : "");
  mark(id, "title", row.id || null);
  say(where, [row.who, row.queue && row.kind === "task" ? `queue ${row.queue}` : "", row.where].filter(Boolean).join(" · "));
  say(error, row.said.join(" · "));
  if (!row.letter && actions.contains(document.activeElement)) find("detail-title").focus();
  actions.hidden = !row.letter;
  if (row.kind === "request" || row.state === "unknown") say(state, "");
  else signed(state, STATES[row.state] ?? "muted", row.state);
  say(begins, row.at === null ? "" : `+${duration(row.at)}`);
  say(took, row.seconds === null ? "" : duration(row.seconds));
  const bars = way.firstElementChild;
  keep(bars, row.bars.map((bar, at) => [at, ...bar]), ([at, kind]) => `${at}${kind}`,
    ([, kind]) => draw("rect", { class: kind, y: 7 - HEIGHTS[kind] / 2, height: HEIGHTS[kind] }),
    (rect, [, , from, to]) => { mark(rect, "x", (from * 997).toFixed(1)); mark(rect, "width", Math.max(3, (to - from) * 1000).toFixed(1)); });
  mark(bars, "aria-label", row.bars.length ? row.bars.map(([kind, from, to]) => `${kind} ${Math.round((to - from) * 100)}%`).join(", ") : "no time is known");
}
