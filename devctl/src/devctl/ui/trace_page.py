"""A trace as one page for a browser: self-contained, and read without any script."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape

from devctl.trace.model import Trace
from devctl.ui.trace_rows import Row, Segment, headline, mark, quick, rows, summary

_WORDS = {"due": "not due yet", "wait": "waits", "run": "runs", "request": "request"}
_MARKS = {"✔": "good", "✘": "bad", "●": "on", "!": "odd", "·": "plain"}
_LEAST = 0.4
"""Percent of the page: a piece of a bar that can be seen."""

_STYLE = """
:root { color-scheme: light dark; --back: #fff; --text: #1d2327; --dim: #5b6670; --line: #d8dde2; --good: #1a7f37;
  --bad: #c22f2f; --on: #8a5a00; --request: #2463a8; --wait: #9aa5b1 }
@media (prefers-color-scheme: dark) { :root { --back: #14181b; --text: #e4e8eb; --dim: #9aa5b1; --line: #333c44;
  --good: #4cb86c; --bad: #f07474; --on: #e0b050; --request: #6aa9f0; --wait: #66727d } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 76rem; padding: 1.2rem; background: var(--back); color: var(--text);
  font: 15px/1.45 system-ui, sans-serif }
h1 { font-size: 1.25rem; margin: 0 0 .2rem } p { margin: .2rem 0 } .dim, .who, .took { color: var(--dim) }
code, .id { font-family: ui-monospace, monospace; font-size: .92em; overflow-wrap: anywhere }
.legend span { margin-right: 1rem; white-space: nowrap }
.legend i { display: inline-block; width: 1.4rem; height: .7rem }
ol { list-style: none; margin: 1rem 0; padding: 0 } li { border-top: 1px solid var(--line); padding: .35rem .2rem }
li:focus-visible, a:focus-visible { outline: 2px solid var(--request); outline-offset: 1px }
.row { display: grid; grid-template-columns: minmax(0, 24rem) 15rem minmax(0, 1fr); gap: .2rem 1rem;
  align-items: center }
.name { padding-left: calc(var(--depth) * 1.1rem) } .name b { font-weight: 600 } .took { text-align: right }
.bar { position: relative; height: .9rem; background: color-mix(in srgb, var(--line) 45%, transparent) }
.bar i { position: absolute; top: 0; bottom: 0 }
.run { background: var(--good) } .bad .run { background: var(--bad) } .request { background: var(--request) }
.wait { background: repeating-linear-gradient(45deg, var(--wait) 0 3px, transparent 3px 6px) }
.due { background: radial-gradient(circle, var(--wait) 1.2px, transparent 1.6px) 0 50%/8px 8px }
.note { padding-left: calc(var(--depth) * 1.1rem + 1.3rem); overflow-wrap: anywhere }
.mark { display: inline-block; width: 1.2rem } .good .mark { color: var(--good) } .bad .mark { color: var(--bad) }
.on .mark, .odd .mark { color: var(--on) }
@media (max-width: 46rem) { .row { grid-template-columns: 1fr } .took { text-align: left } body { padding: .8rem } }
@media print { body { max-width: none } }
"""


def page(trace: Trace) -> str:
    """All of it, as HTML."""
    found = rows(trace)
    title = escape(f"Trace {trace.asked}")
    began = datetime.fromtimestamp(trace.begin, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    known = f", correlation id <code>{escape(trace.correlation_id)}</code>" if trace.correlation_id else ""
    kinds = [kind for kind in _WORDS if any(one.kind == kind for row in found for one in row.segments)]
    legend = "".join(f'<span><i class="{kind}"></i> {_WORDS[kind]}</span>' for kind in kinds)
    gaps = "".join(f"<p><b>!</b> {escape(one)}</p>\n" for one in trace.gaps)
    body = "\n".join(_row(row, trace) for row in found)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1><span class="{_MARKS[mark(trace.state)]}"><span class="mark">{mark(trace.state)}</span></span>{title}</h1>
<p>{escape(headline(trace))}</p>
<p class="dim">{escape(summary(trace))}{known}; it began <time datetime="{began}">{began}</time></p>
<p class="legend dim" aria-hidden="true">{legend}</p>
<ol aria-label="what happened, in order">
{body}
</ol>
{gaps}</main>
</body>
</html>
"""


def _row(row: Row, trace: Trace) -> str:
    kind = _MARKS[row.mark]
    name = row.name.removesuffix(f" {row.task_id[:8]}") if row.task_id else row.name
    identity = (
        f' <span class="id dim" title="{escape(row.task_id)}">{escape(row.task_id[:8])}</span>' if row.task_id else ""
    )
    who = f' <span class="who">{escape(row.who)}</span>' if row.who else ""
    pieces = "".join(_piece(one, trace) for one in row.segments)
    said = ", ".join(f"{_WORDS[one.kind]} {quick(one.end - one.begin)}" for one in row.segments)
    bar = f'<div class="bar" role="img" aria-label="{escape(said) or "no time is known"}">{pieces}</div>'
    notes = "".join(
        f'<div class="note {_MARKS[symbol]}"><span class="mark">{symbol}</span>{escape(text)}</div>'
        for symbol, text in row.notes
    )
    return (
        f'<li class="{kind}" style="--depth:{min(row.depth, 12)}" tabindex="0"><div class="row">'
        f'<div class="name"><span class="mark" role="img" aria-label="{escape(row.state)}">{row.mark}</span>'
        f"<b>{escape(name)}</b>{identity}{who}</div>"
        f'<div class="took">{escape(row.took)}</div>{bar}</div>{notes}</li>'
    )


def _piece(one: Segment, trace: Trace) -> str:
    total = max(trace.end - trace.begin, 1e-6)
    left = min(100 - _LEAST, max(0.0, (one.begin - trace.begin) / total * 100))
    width = min(100 - left, max(_LEAST, (one.end - one.begin) / total * 100))
    return f'<i class="{one.kind}" style="left:{left:.3f}%;width:{width:.3f}%"></i>'
