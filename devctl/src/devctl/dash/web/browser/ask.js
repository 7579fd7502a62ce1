// Every action is asked before, in a dialog; what came of it is said at the lower right, and stays where it failed.
let asked = null;

function ask({ title, text, yes, replicas, act, body }) {
  asked = { act, body, scales: replicas !== undefined, from: document.activeElement };
  say(find("ask-title"), title);
  say(find("ask-text"), text);
  say(find("ask-yes"), yes);
  find("ask-label").hidden = !asked.scales;
  find("ask-number").required = asked.scales;
  find("ask-number").disabled = !asked.scales;
  if (asked.scales) find("ask-number").value = replicas;
  find("ask").showModal();
  if (asked.scales) find("ask-number").select();
  else find("ask-no").focus();
}

const named = (failure) => `${failure.task} ${shortly(failure.task_id)}`;
const askScale = (service) => ask({
  title: `Scale ${service.name}`, text: `It has ${plural(service.replicas, "replica")} now.`, yes: "Scale",
  replicas: service.replicas, act: "scale", body: { service: service.name } });
const askRestart = (service) => ask({
  title: `Restart ${service.name}?`, text: `${plural(service.replicas, "replica")} stop and start again. Workers finish what they run first.`,
  yes: "Restart", act: "restart", body: { service: service.name } });
const askPause = (queue) => ask({
  title: `Pause ${queue.name}?`, text: "Workers take nothing more from it until it is resumed. What they run is finished; what is published waits.",
  yes: "Pause", act: "pause", body: { queue: queue.name } });
const askResume = (queue) => ask({
  title: `Resume ${queue.name}?`, text: `Workers take from it again: ${plural(queue.waiting, "message waits", "messages wait")}.`,
  yes: "Resume", act: "resume", body: { queue: queue.name } });
const askReplay = (failure) => ask({
  title: `Replay ${named(failure)}?`, text: `It is put back into ${failure.queue} as a new message of the same task.\n${failure.error}`,
  yes: "Replay", act: "replay", body: { letter: failure.letter_id } });
const askDrop = (failure) => ask({
  title: `Drop ${named(failure)}?`, text: `The dead letter and its arguments are removed for ever.\n${failure.error}`,
  yes: "Drop for ever", act: "drop", body: { letter: failure.letter_id } });

async function perform({ act, body }, words) {
  const waiting = tell(`${words} …`);
  let answer, good;
  try {
    const response = await fetch(`/api/actions/${act}`, {
      method: "POST", body: JSON.stringify(body),
      headers: { "Content-Type": "application/json", "X-Devctl-Token": document.documentElement.dataset.token } });
    [good, answer] = [response.ok, await response.json()];
  } catch {
    [good, answer] = [false, { problem: "devctl does not answer: nobody knows whether it was done", details: [], hint: "" }];
  }
  waiting.remove();
  if (!good) {
    tell(answer.problem, "bad", [...answer.details, answer.hint && `→ ${answer.hint}`]);
    return;
  }
  const toast = tell(answer.said, "good");
  setTimeout(() => toast.remove(), 8000);
  if (shown) refreshTrace();
}

function tell(words, kind = "busy", more = []) {
  const box = make("div", {}, sign(kind, words), ...more.filter(Boolean).map((line) => make("div", { class: "next" }, line)));
  const toast = make("div", { class: "toast" }, box);
  if (kind === "bad") toast.append(make("button", { type: "button", onclick: () => toast.remove() }, "Close"));
  find("said").append(toast);
  return toast;
}

find("ask-no").addEventListener("click", () => find("ask").close());
find("ask-form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (asked.scales) asked.body.replicas = find("ask-number").valueAsNumber;
  const [doing, words] = [asked, find("ask-title").textContent.replace(/\?$/, "")];
  find("ask").close();
  perform(doing, doing.scales ? `${words} to ${doing.body.replicas}` : words);
});
find("ask").addEventListener("close", () => { if (asked.from?.isConnected) asked.from.focus(); });
