// The document is patched, never replaced: focus, selection and scroll stay where they are. Whatever a stranger
// wrote (names of tasks, errors) becomes text by `textContent`; the policy of the page forbids any other way.
const find = (id) => document.getElementById(id);

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") node.addEventListener("click", value);
    else if (value !== false && value !== null) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

function draw(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function mark(node, name, value) {
  if (value === null || value === false) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

// Children of `parent`, one for each item, found again by their keys. A node that is in its place is not touched.
function keep(parent, items, key, create, update) {
  const had = document.activeElement;
  const row = parent.contains(had) ? [...parent.children].find((child) => child.contains(had)) : null;
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const place = row ? [...parent.children].indexOf(row) : -1;
  const keys = new Set(items.map((item) => String(key(item))));
  for (const [name, child] of old) if (!keys.has(name)) child.remove();
  let at = parent.firstElementChild;
  for (const item of items) {
    const name = String(key(item));
    let child = old.get(name);
    if (!child) {
      child = create(item);
      child.dataset.key = name;
    }
    if (child === at) at = at.nextElementSibling;
    else parent.insertBefore(child, at);
    update(child, item);
  }
  if (!row || document.activeElement === had) return;
  if (row.isConnected) had.focus({ preventScroll: true });
  else {
    const next = parent.children[Math.min(place, parent.children.length - 1)];
    (next?.querySelector("button:not([hidden])") ?? find("main")).focus({ preventScroll: true });
  }
}

function spark(label) {
  const node = draw("svg", { class: "spark", viewBox: "0 0 120 20", preserveAspectRatio: "none", role: "img" });
  node.append(draw("path", { class: "area" }), draw("path", { class: "line" }));
  node.dataset.label = label;
  return node;
}

// Points are [seconds, value]; the right edge is `now`, the left one two minutes before it.
function plot(node, points, now, told) {
  const most = Math.max(1e-9, ...points.map(([, value]) => value));
  const spots = points
    .filter(([at]) => now - at <= 120)
    .map(([at, value]) => `${(120 - (now - at)).toFixed(1)} ${(19 - (value / most) * 17).toFixed(1)}`);
  const line = spots.length > 1 ? `M${spots.join("L")}` : "";
  mark(node.lastElementChild, "d", line);
  const first = spots.length > 1 ? spots[0].split(" ")[0] : 0;
  mark(node.firstElementChild, "d", line ? `${line}V20H${first}Z` : "");
  mark(node, "aria-label", `${node.dataset.label} in the last two minutes: most ${told(points.length ? most : 0)}`);
}
