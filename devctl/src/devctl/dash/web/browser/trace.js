function showTrace(body, trace) {
  body.replaceChildren(make("pre", { class: "mono" }, JSON.stringify(trace, null, 1)));
}
