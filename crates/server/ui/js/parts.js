// The small pieces that pages are made of.

import { html, useEffect, useRef, useState, useCallback } from "../vendor/preact-htm.js";

export { html, useEffect, useRef, useState, useCallback };
export { useMemo, useLayoutEffect, useReducer, render, Component } from "../vendor/preact-htm.js";

const PATHS = {
  overview: "M3 12h4l3-7 4 14 3-7h4",
  flow: "M4 7h6a4 4 0 0 1 4 4v2a4 4 0 0 0 4 4h2M4 17h3M17 7h3",
  endpoint: "M9 7V3m6 4V3M7 7h10v4a5 5 0 0 1-10 0zM12 16v5",
  secret: "M8 11a4.5 4.5 0 1 1 4.3 3.200L11 15.500V18H8.500v2.500H4V17l4.200-4.200A4.500 4.500 0 0 1 8 11zM14.500 9.500h.01",
  profile: "M4 6h16M4 12h16M4 18h16M8 4v4m8 2v4m-6 2v4",
  schema: "M5 4h9l5 5v11H5zM14 4v5h5M9 13h6m-6 3h4",
  state: "M4 6c0-1.7 3.6-3 8-3s8 1.3 8 3-3.6 3-8 3-8-1.3-8-3zm0 0v12c0 1.7 3.6 3 8 3s8-1.3 8-3V6M4 12c0 1.7 3.6 3 8 3s8-1.3 8-3",
  letter: "M3 6h18v12H3zM3 7l9 7 9-7",
  broker: "M12 12m-2.5 0a2.5 2.5 0 1 0 5 0a2.5 2.5 0 1 0-5 0M6 6a8.5 8.5 0 0 0 0 12M18 6a8.5 8.5 0 0 1 0 12",
  plus: "M12 5v14M5 12h14", x: "M6 6l12 12M18 6L6 18", check: "M5 12.500l4.5 4.500L19 7.5",
  up: "M12 19V5M6 11l6-6 6 6", down: "M12 5v14M6 13l6 6 6-6", arrow: "M5 12h14M13 6l6 6-6 6",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2m0 16v2M4.9 4.900l1.4 1.400m11.4 11.400l1.4 1.400M2 12h2m16 0h2M4.9 19.100l1.4-1.400M17.7 6.300l1.4-1.4",
  moon: "M20 14.500A8 8 0 0 1 9.5 4 8 8 0 1 0 20 14.500z",
  undo: "M9 14L4 9l5-5M4 9h10a6 6 0 0 1 0 12h-3", redo: "M15 14l5-5-5-5M20 9H10a6 6 0 0 0 0 12h3",
  out: "M10 4H5v16h5M9 12h11m-4-4l4 4-4 4",
  search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM20 20l-4-4",
};

export const Icon = ({ name, size = 20 }) => html`<svg width=${size} height=${size} viewBox="0 0 24 24" fill="none"
  stroke="currentColor" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;

export const Chip = ({ mood, children }) => html`<span class=${`chip ${mood}`}>${children}</span>`;

// How full something is, `value` from 0 to 1; `under` makes a sentence of it.
export function Meter({ value, label, under }) {
  const percent = Math.min(100, Math.max(0, value * 100));
  const said = percent > 0 && percent < 1 ? "under 1 %" : `${Math.round(percent)} %`;
  return html`<div class="fill"><div class=${`meter ${percent > 90 ? "bad" : percent > 75 ? "warn" : ""}`} role="meter" aria-label=${label} aria-valuemin="0" aria-valuemax="100" aria-valuenow=${Math.round(percent)}
    aria-valuetext=${said}><i style=${{ width: `${percent}%` }}></i></div><span class="under">${under(said)}</span></div>`;
}

export function Spark({ values, width = 92, height = 28, label }) {
  const max = Math.max(...values, 0.001);
  const step = width / 59;
  const from = width - (values.length - 1) * step;
  const points = values.map((v, i) => `${(from + i * step).toFixed(1)},${(height - 1 - v / max * (height - 3)).toFixed(1)}`);
  return html`<svg class="spark" width=${width} height=${height} viewBox="0 0 ${width} ${height}" role=${label && "img"} aria-label=${label} aria-hidden=${label ? undefined : "true"}>
    ${points.length > 1 && html`<path class="area" d="M${points[0].split(",")[0]},${height} L${points.join(" L")} L${width},${height} Z" /><path class="line" d="M${points.join(" L")}" />`}
  </svg>`;
}

const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
export const count = n => n < 100_000 ? whole.format(n) : short.format(n);
export const perSecond = n => n === 0 ? "0" : n < 0.95 ? n.toFixed(1) : n < 9.95 && n % 1 > 0.05 ? n.toFixed(1) : count(Math.round(n));
export function bytes(n) {
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (n < 1024 || unit === "GiB") return `${Number(n.toFixed(1))} ${unit}`;
    n /= 1024;
  }
}
export function age(seconds) {
  if (seconds < 1) return "now";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}
// A time that something took, in milliseconds.
export const took = ms => ms < 10 ? `${ms.toFixed(1)} ms` : ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
export const since = iso => age((Date.now() - Date.parse(iso)) / 1000);
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

// A sentence of the instance, with what stands in backticks as code.
export const Sentence = ({ text }) => (text ?? "").split("`").map((part, i) => i % 2 ? html`<code>${part}</code>` : part);

// A modal dialog; `actions` stand at its foot, `onClose` is called when it is left.
export function Dialog({ title, onClose, actions, children }) {
  const ref = useRef();
  useEffect(() => { if (!ref.current.open) ref.current.showModal(); }, []);
  return html`<dialog ref=${ref} aria-labelledby="dialog-title" onClose=${onClose}>
    <header><h2 id="dialog-title">${title}</h2></header>
    <div class="body" tabindex="0">${children}</div>
    <footer><button onClick=${onClose}>Cancel</button>${actions}</footer>
  </dialog>`;
}

export function Field({ label, hint, said, id, wide, children }) {
  return html`<div class=${`field ${wide ? "wide" : ""}`}><label for=${id}>${label}</label>${children}
    ${said && html`<div class="said" id=${`${id}-said`}>${said}</div>`}
    ${hint && html`<div class="hint">${hint}</div>`}</div>`;
}

export function Tabs({ tabs, value, onChange, label }) {
  const move = event => {
    const at = tabs.findIndex(([id]) => id === value);
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = (at + step + tabs.length) % tabs.length;
    onChange(tabs[next][0]);
    event.currentTarget.children[next].focus();
  };
  return html`<div class="tabs" role="tablist" aria-label=${label} onKeyDown=${move}>
    ${tabs.map(([id, name]) => html`<button key=${id} role="tab" aria-selected=${String(id === value)} tabindex=${id === value ? 0 : -1}
      onClick=${() => onChange(id)}>${name}</button>`)}
  </div>`;
}

export const Empty = ({ icon = "flow", title, children }) => html`<div class="empty"><${Icon} name=${icon} size=${34} /><h2>${title}</h2>${children}</div>`;

// Asks once, and again when `deps` change. `value` stays while it is asked again.
export function useAsked(ask, deps) {
  const [state, setState] = useState({ value: undefined, error: null });
  const turn = useRef(0);
  const again = useCallback(async () => {
    const mine = ++turn.current;
    try {
      const value = await ask();
      if (mine === turn.current) setState({ value, error: null });
    } catch (error) {
      if (mine === turn.current) setState(before => ({ value: before.value, error }));
    }
  }, deps);
  useEffect(() => { again(); return () => { turn.current++; }; }, [again]);
  return { ...state, again };
}

export const Trouble = ({ error }) => error && html`<div class="notice bad" role="alert">${error.message}</div>`;

// ---- toasts ----

let setToasts = () => {};
let toastId = 0;
export function toast(text, { bad = false, action } = {}) {
  const one = { id: ++toastId, text, bad, action };
  setToasts(all => [...all.slice(-3), one]);
  // what can still be undone stays until it is dismissed or forgotten
  setTimeout(() => setToasts(all => all.filter(t => t.id !== one.id)), action ? 300_000 : 6_000);
}
export function Toasts() {
  const [all, set] = useState([]);
  setToasts = set;
  return html`<div class="toasts" role="status" aria-live="polite">${all.map(t => html`<div key=${t.id} class=${`toast ${t.bad ? "bad" : ""}`}>
    <span class="grow">${t.text}</span>
    ${t.action && html`<button onClick=${() => { set(all => all.filter(o => o.id !== t.id)); t.action.run(); }}>${t.action.name}</button>
      <button class="bare" aria-label="Dismiss" onClick=${() => set(all => all.filter(o => o.id !== t.id))}><${Icon} name="x" size=${16} /></button>`}
  </div>`)}</div>`;
}

let ids = 0;
export function useId(prefix = "f") {
  const ref = useRef();
  return ref.current ??= `${prefix}${++ids}`;
}

// A text field with suggestions below it. `options`: texts or `[text, note]`.
export function Combo({ value, onInput, options, id, placeholder, label, mono = true, invalid }) {
  const [open, setOpen] = useState(false);
  const [at, setAt] = useState(-1);
  const own = useId("c");
  const all = options.map(o => Array.isArray(o) ? o : [o, ""]);
  const typed = value.toLowerCase();
  const exact = all.some(([text]) => text === value);
  const shown = (exact ? all : all.filter(([text]) => text.toLowerCase().includes(typed))).slice(0, 60);
  const pick = text => { onInput(text); setOpen(false); setAt(-1); };
  const key = event => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      setOpen(true);
      const step = event.key === "ArrowDown" ? 1 : -1;
      setAt(i => shown.length ? (i + step + shown.length) % shown.length : -1);
    } else if (event.key === "Enter" && open && shown[at]) {
      event.preventDefault();
      pick(shown[at][0]);
    } else if (event.key === "Escape" && open) {
      event.stopPropagation();
      setOpen(false);
    }
  };
  return html`<div class="combo">
    <input id=${id ?? own} class=${mono ? "mono" : ""} role="combobox" autocomplete="off" spellcheck=${false} aria-label=${label} aria-expanded=${String(open && shown.length > 0)}
      aria-controls=${open && shown.length > 0 ? `${own}-list` : undefined} aria-autocomplete="list" aria-activedescendant=${open && at >= 0 ? `${own}-${at}` : undefined} aria-invalid=${invalid ? "true" : undefined}
      placeholder=${placeholder} value=${value} onInput=${e => { onInput(e.target.value); setOpen(true); setAt(-1); }}
      onFocus=${() => setOpen(true)} onBlur=${() => setOpen(false)} onKeyDown=${key} />
    ${open && shown.length > 0 && html`<div class="suggest" id=${`${own}-list`} role="listbox" aria-label=${label ?? "Suggestions"}>
      ${shown.map(([text, note], i) => html`<div key=${text} id=${`${own}-${i}`} role="option" aria-selected=${String(i === at)}
        onMouseDown=${e => { e.preventDefault(); pick(text); }}><span class="mono wrap-any">${text}</span>${note && html`<span class="quiet cut">${note}</span>`}</div>`)}
    </div>`}
  </div>`;
}
