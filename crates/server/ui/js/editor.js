// Text with colours and marks: a textarea that can be seen through, over the same text drawn.

import { html, useMemo, useRef, useState, useId, Sentence } from "./parts.js";

// [[class, text]...] of a line.
function yamlLine(line) {
  const match = /^(\s*(?:- +)*)((?:"[^"]*"|'[^']*'|[^\s#'":][^:#]*?)(?=:(?:\s|$)))?(.*)$/.exec(line);
  const [, indent, key, rest] = match;
  const parts = [["", indent]];
  if (key) parts.push(["hk", key]);
  return parts.concat(values(rest));
}

function values(text) {
  const parts = [];
  const token = /(\s#.*$|^#.*$)|("(?:[^"\\]|\\.)*"|'(?:[^']|'')*')|(?<![\w$.:\/+-])(-?\d+(?:\.\d+)?|true|false|null)(?![\w.-])/g;
  let from = 0;
  for (const found of text.matchAll(token)) {
    parts.push(["", text.slice(from, found.index)], [found[1] ? "hc" : found[2] ? "hs" : "hn", found[0]]);
    from = found.index + found[0].length;
  }
  parts.push(["", text.slice(from)]);
  return parts;
}

function expressionLine(line) {
  const parts = [];
  const token = /("(?:[^"\\]|\\.)*")|(\$\w+|\?\$last)|(\b[A-Za-z_][\w:]*(?=\())|(\b\d+(?:\.\d+)?\b|\btrue\b|\bfalse\b)/g;
  let from = 0;
  for (const found of line.matchAll(token)) {
    parts.push(["", line.slice(from, found.index)], [found[1] ? "hs" : found[2] ? "hn" : found[3] ? "hk" : "hn", found[0]]);
    from = found.index + found[0].length;
  }
  parts.push(["", line.slice(from)]);
  return parts;
}

// Draws the marks `[from, to, severity]` of a line over its parts.
function marked(parts, marks) {
  const out = [];
  let at = 0;
  for (const [kind, text] of parts) {
    let rest = text, from = at;
    at += text.length;
    while (rest) {
      const mark = marks.find(([a, b]) => a <= from && from < b);
      const until = mark ? mark[1] : Math.min(at, ...marks.map(([a]) => a).filter(a => a > from));
      const piece = rest.slice(0, Math.max(1, until - from));
      out.push(mark ? html`<span class=${`${kind} squig ${mark[2]}`}>${piece}</span>` : kind ? html`<span class=${kind}>${piece}</span>` : piece);
      rest = rest.slice(piece.length);
      from += piece.length;
    }
  }
  return out;
}

// The marks of each line, as columns from 0.
function marksByLine(diagnostics, lines) {
  const marks = new Map();
  const add = (line, mark) => marks.set(line, [...marks.get(line) ?? [], mark]);
  for (const d of diagnostics) {
    if (!d.line || d.line > lines.length) continue;
    const last = Math.min(d.endLine ?? d.line, d.line + 40);
    const to = last === d.line ? Math.max(d.endColumn - 1, d.column) : lines[d.line - 1].length;
    add(d.line, [d.column - 1, Math.max(to, d.column), d.severity]);
  }
  return marks;
}

export function Editor({ value, onInput, diagnostics = [], label, readOnly, height = 420, focusLine }) {
  const pre = useRef(), gutter = useRef(), area = useRef();
  const lines = value.split("\n");
  const drawn = useMemo(() => {
    const marks = marksByLine(diagnostics, lines);
    return lines.map((line, i) => [marked(yamlLine(line), marks.get(i + 1) ?? []), "\n"]);
  }, [value, diagnostics]);
  const follow = event => {
    const { scrollTop, scrollLeft } = event.target;
    pre.current.style.transform = `translate(${-scrollLeft}px, ${-scrollTop}px)`;
    gutter.current.firstChild.style.transform = `translateY(${-scrollTop}px)`;
  };
  const key = event => {
    if (event.key !== "Enter" || event.ctrlKey || event.metaKey) return;
    // the next line begins where this one does
    const before = value.slice(0, event.target.selectionStart).split("\n").pop();
    const indent = /^\s*/.exec(before)[0] + (/:\s*$/.test(before) ? "  " : "");
    if (indent) {
      event.preventDefault();
      document.execCommand("insertText", false, `\n${indent}`);
    }
  };
  const worst = n => diagnostics.some(d => d.line === n && d.severity === "error") ? "err" : diagnostics.some(d => d.line === n && d.severity === "warning") ? "warn" : "";
  const jump = useRef();
  if (focusLine && focusLine !== jump.current && area.current) {
    jump.current = focusLine;
    queueMicrotask(() => {
      const start = lines.slice(0, focusLine.line - 1).join("\n").length + (focusLine.line > 1 ? 1 : 0) + focusLine.column - 1;
      area.current.focus();
      area.current.setSelectionRange(start, start);
      area.current.scrollTop = Math.max(0, (focusLine.line - 6) * 20);
    });
  }
  return html`<div class="editor" style=${{ height: `${height}px` }}>
    <div class="gutter" ref=${gutter} aria-hidden="true"><div>${lines.map((_, i) => html`<div class=${worst(i + 1)}>${i + 1}</div>`)}</div></div>
    <div class="pane"><pre ref=${pre} aria-hidden="true">${drawn}</pre>
      <textarea ref=${area} aria-label=${label} value=${value} readonly=${readOnly} spellcheck=${false} autocapitalize="off" autocomplete="off" wrap="off"
        onInput=${e => onInput(e.target.value)} onScroll=${follow} onKeyDown=${key}></textarea></div>
  </div>`;
}

// How much of a line is shown before the place that is meant.
const LEFT_MAX = 24;

// Diagnostics as the command line shows them: what is wrong, the line it is in, a caret below it, and what to do.
export function Diagnostics({ diagnostics, text, onJump }) {
  const lines = text.split("\n");
  return html`<div class="diags">${diagnostics.map(d => {
    const line = lines[d.line - 1] ?? "";
    const long = d.endLine === d.line ? Math.max(1, d.endColumn - d.column) : Math.max(1, line.length - d.column + 1);
    // what stands to the left gives way, so that the place is seen in a narrow column, too
    const indent = Math.min(line.search(/\S|$/), d.column - 1);
    const from = Math.max(indent, d.column - 1 - LEFT_MAX);
    const left = from > indent ? "…" : "";
    const inside = html`<div><b>${d.severity}</b> <span class="code">${d.code}</span> <${Sentence} text=${d.message} /></div>
      ${d.line && html`<pre>${`${String(d.line).padStart(3)} | ${left}${line.slice(from)}\n${" ".repeat(5 + left.length + d.column - from)}`}<span class="caret">${"^".repeat(Math.min(long, 80))}</span></pre>`}
      ${d.help && html`<div class="quiet">help: <${Sentence} text=${d.help} /></div>`}`;
    return onJump && d.line ? html`<button class=${`diag ${d.severity}`} onClick=${() => onJump({ line: d.line, column: d.column })}>${inside}</button>` : html`<div class=${`diag ${d.severity}`}>${inside}</div>`;
  })}</div>`;
}

// A formula: colours, completion of inputs and functions, and the error with its caret.
export function Expression({ value, onInput, inputs = [], functions = [], problems = [], label, placeholder }) {
  const area = useRef();
  const id = useId("x");
  const [open, setOpen] = useState(null);
  const offers = word => {
    const own = inputs.map((path, i) => [`$${i + 1}`, String(path)]);
    const all = [...own, ...functions.map(f => [`${f.name}(`, f.usage, f.doc])];
    return word ? all.filter(([name, note]) => name.toLowerCase().includes(word.toLowerCase()) || word.startsWith("$") && note.includes(word.slice(1))).slice(0, 12) : [];
  };
  const complete = () => {
    const before = area.current.value.slice(0, area.current.selectionStart);
    const word = /[$A-Za-z_][\w:]*$|\$$/.exec(before)?.[0] ?? "";
    const found = offers(word).filter(([name]) => name !== word);
    setOpen(found.length ? { word, found, at: 0 } : null);
  };
  const pick = ([name]) => {
    area.current.focus();
    const end = area.current.selectionStart;
    area.current.setSelectionRange(end - open.word.length, end);
    document.execCommand("insertText", false, name);
    setOpen(null);
  };
  const key = event => {
    if (event.key === "Enter" && !open) event.preventDefault();
    if (!open) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      setOpen({ ...open, at: (open.at + step + open.found.length) % open.found.length });
    } else if (event.key === "Enter") {
      event.preventDefault();
      pick(open.found[open.at]);
    } else if (event.key === "Escape") {
      event.stopPropagation();
      setOpen(null);
    }
  };
  const marks = problems.filter(p => p.from !== undefined).map(p => [p.from, Math.max(p.to, p.from + 1), p.severity]);
  const worst = problems.find(p => p.severity === "error") ?? problems.find(p => p.severity === "warning");
  const chosen = open?.found[open.at];
  return html`<div class="stack-s">
    <div class="combo"><div class="editor one"><div class="pane">
      <pre aria-hidden="true">${marked(expressionLine(value), marks)}${"\n"}</pre>
      <textarea ref=${area} rows="1" aria-label=${label} placeholder=${placeholder} value=${value} spellcheck=${false} autocapitalize="off" autocomplete="off"
        aria-invalid=${worst?.severity === "error" ? "true" : undefined} aria-describedby=${worst ? id : undefined} aria-autocomplete="list" aria-controls=${open ? `${id}-list` : undefined}
        onInput=${e => { onInput(e.target.value.replace(/\n/g, " ")); complete(); }} onKeyDown=${key} onBlur=${() => setOpen(null)}></textarea></div></div>
      ${open && html`<div class="suggest" role="listbox" id=${`${id}-list`} aria-label="Completions">${open.found.map((offer, i) => html`<div key=${offer[0]} role="option" aria-selected=${String(i === open.at)}
        onMouseDown=${e => { e.preventDefault(); pick(offer); }}><span class="mono">${offer[0].replace(/\($/, "")}</span><span class="quiet cut">${offer[1]}</span></div>`)}
        ${chosen?.[2] && html`<div class="quiet small" role="presentation">${chosen[2]}</div>`}</div>`}
    </div>
    ${worst && html`<div id=${id} class=${`diag ${worst.severity}`} role="alert"><div><b>${worst.severity}</b> <span class="code">${worst.code}</span> <${Sentence} text=${worst.message} /></div>
      ${worst.from !== undefined && html`<pre>${`${value}\n${" ".repeat(worst.from)}`}<span class="caret">${"^".repeat(Math.max(1, Math.min(worst.to, value.length) - worst.from))}</span></pre>`}
      ${worst.help && html`<div class="quiet">help: <${Sentence} text=${worst.help} /></div>`}</div>`}
  </div>`;
}
