// What differs: of two texts, line by line; of two messages, member by member.

import { html } from "./parts.js";
import { lineDiff } from "./lines.js";

const CONTEXT = 3;
export function Diff({ before, after, label }) {
  const lines = lineDiff(before, after);
  const near = lines.map((_, i) => lines.slice(Math.max(0, i - CONTEXT), i + CONTEXT + 1).some(([kind]) => kind !== "same"));
  const rows = [];
  lines.forEach(([kind, line], i) => {
    if (near[i]) rows.push(html`<div class=${kind}>${{ same: "  ", add: "+ ", del: "- " }[kind]}${line}</div>`);
    else if (i === 0 || near[i - 1]) rows.push(html`<div class="gap">…</div>`);
  });
  return html`<div class="diff" role="group" aria-label=${label} tabindex="0">${before === after ? html`<div class="gap">No difference</div>` : rows}</div>`;
}

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
const isObject = v => v !== null && typeof v === "object" && !Array.isArray(v);

// A JSON value, with what `other` has not, or has otherwise, marked as `mark` ("add" or "del").
export function Json({ value, other, mark }) {
  return html`<div class="json">${show(value, other, mark, "", other !== undefined)}</div>`;
}

function show(value, other, mark, indent, compared) {
  if (Array.isArray(value) || isObject(value)) {
    const entries = Array.isArray(value) ? value.map(v => [null, v]) : Object.entries(value);
    const [open, close] = Array.isArray(value) ? "[]" : "{}";
    if (entries.length === 0) return open + close;
    const plain = Array.isArray(value) && value.every(v => !isObject(v) && !Array.isArray(v));
    if (plain) return html`${open}${value.map((v, i) => html`${i > 0 && ", "}${scalar(v)}`)}${close}`;
    const inner = indent + "  ";
    return html`${open}${entries.map(([key, v], i) => {
      const there = key === null ? Array.isArray(other) && i < other.length : isObject(other) && Object.hasOwn(other, key);
      const others = key === null ? other?.[i] : other?.[key];
      const nested = there && isObject(v) && isObject(others);
      const marked = compared && (!there || !nested && !same(v, others));
      const text = html`${key !== null && html`<span class="k">${JSON.stringify(key)}</span>: `}${show(v, others, mark, inner, compared && nested)}`;
      return html`${`\n${inner}`}${marked ? html`<span class=${mark}>${text}</span>` : text}${i < entries.length - 1 && ","}`;
    })}${`\n${indent}`}${close}`;
  }
  return scalar(value);
}

const scalar = v => html`<span class=${typeof v === "string" ? "s" : "n"}>${JSON.stringify(v)}</span>`;
