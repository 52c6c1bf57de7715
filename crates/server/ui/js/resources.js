// Resources: what there is, whether a draft is right, and how it is put in place of what runs.

import { html, useEffect, useMemo, useRef, useState, Dialog, Icon, plural, toast } from "./parts.js";
import { api, enc } from "./api.js";
import { live } from "./live.js";
import { Diff } from "./compare.js";
import { Diagnostics } from "./editor.js";
import { parse } from "./draft.js";

export const list = kind => api(`/resources?kind=${kind}`);

// What a draft stands among: everything that flows refer to, but other flows.
async function context() {
  const kinds = ["DataflowEndpoint", "DataflowProfile", "Schema", "ConfigMap"];
  const all = await Promise.all(kinds.map(list));
  return all.flatMap(({ items }) => items).filter(item => item.text);
}

const fileOf = item => `${item.kind}/${item.namespace}/${item.name}`;

// The files of a draft and what it stands among, the draft's name being `draft`.
export async function filesWith(text, { kind, namespace, name }) {
  const others = (await context()).filter(item => !(item.kind === kind && item.namespace === namespace && item.name === name));
  const seen = new Map(others.map(item => [item.text, { name: `${fileOf(item)}${item.file.endsWith(".bicep") ? ".bicep" : ""}`, text: item.text }]));
  return [...seen.values(), { name: "draft", text }];
}

export async function check(text, id) {
  const [files, secrets] = await Promise.all([filesWith(text, id), list("Secret")]);
  // that they are there, and with which keys, is all that is known of them
  const known = secrets.items.filter(item => item.keys).map(({ namespace, name, keys }) => ({ name: `Secret/${namespace}/${name}`,
    text: JSON.stringify({ apiVersion: "v1", kind: "Secret", metadata: { namespace, name }, stringData: Object.fromEntries(keys.map(key => [key, "known"])) }) }));
  const report = await api("/check", { method: "POST", json: { files: [...known, ...files], namespace: id.namespace } });
  // what is said of others is no matter of this page
  return report.diagnostics.filter(d => d.file === "draft");
}

export function verdict(diagnostics) {
  const of = severity => diagnostics.filter(d => d.severity === severity).length;
  const warnings = of("warning") ? `, ${plural(of("warning"), "warning")}` : "";
  return (of("error") ? plural(of("error"), "error") : "no errors") + warnings;
}

// Checks a text whenever it rests.
export function useCheck(text, id, wanted = true) {
  const [said, setSaid] = useState({ text: null, diagnostics: [] });
  const turn = useRef(0);
  useEffect(() => {
    if (!wanted || text === undefined || text === null) return;
    const mine = ++turn.current;
    const timer = setTimeout(async () => {
      try {
        const diagnostics = await check(text, id);
        if (mine === turn.current) setSaid({ text, diagnostics });
      } catch (error) {
        if (mine === turn.current) setSaid({ text, diagnostics: [], error });
      }
    }, 250);
    return () => clearTimeout(timer);
  }, [text, id.kind, id.namespace, id.name, wanted]);
  return said;
}

// A text with what it was before and after.
export function useDraft(initial) {
  const [state, setState] = useState({ past: [], text: initial, future: [] });
  const write = (text, at = Date.now()) => setState(s => {
    if (text === s.text) return s;
    // typing is one step, not one for each key
    const joins = at - (s.at ?? 0) < 700 && s.past.length > 0;
    return { past: joins ? s.past : [...s.past, s.text].slice(-200), text, future: [], at };
  });
  const undo = () => setState(s => s.past.length ? { past: s.past.slice(0, -1), text: s.past.at(-1), future: [s.text, ...s.future] } : s);
  const redo = () => setState(s => s.future.length ? { past: [...s.past, s.text], text: s.future[0], future: s.future.slice(1) } : s);
  const reset = text => setState({ past: [], text, future: [] });
  return { text: state.text, write, undo, redo, reset, canUndo: state.past.length > 0, canRedo: state.future.length > 0 };
}

// Keys for undo and redo, outside of fields, which have their own.
export function useUndoKeys(draft) {
  useEffect(() => {
    const key = event => {
      if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z" || event.target.closest("input, textarea")) return;
      event.preventDefault();
      event.shiftKey ? draft.redo() : draft.undo();
    };
    addEventListener("keydown", key);
    return () => removeEventListener("keydown", key);
  });
}

const WORDS = { created: "is made", configured: "is changed", unchanged: "stays as it is", deleted: "is deleted" };

// What is done is undone by applying what was there before.
export async function apply(text, { kind, namespace, name, before, version }) {
  const path = `/resources/${kind}/${enc(namespace)}/${enc(name)}`;
  const headers = before === undefined ? { "if-none-match": "*" } : version ? { "if-match": `"${version}"` } : {};
  const answer = await api(path, { method: "PUT", text, headers });
  live.refresh();
  return answer;
}

export async function remove(item, onDone) {
  const path = `/resources/${item.kind}/${enc(item.namespace)}/${enc(item.name)}`;
  await api(path, { method: "DELETE" });
  live.refresh();
  // what is never shown can't be put back
  toast(`${item.name} is deleted`, item.text ? { action: { name: "Undo", run: () => undo(path, item.text, onDone) } } : {});
  onDone?.();
}

async function undo(path, text, onDone) {
  try {
    await api(path, { method: "PUT", text });
    toast("It is as it was");
    live.refresh();
    onDone?.();
  } catch (error) { toast(error.message, { bad: true }); }
}

// What a manifest says it is called.
export function nameIn(text, fallback) {
  const { doc, ok } = parse(text);
  if (!ok) return fallback;
  return { ...fallback, name: String(doc.getIn(["metadata", "name"]) ?? fallback.name), namespace: String(doc.getIn(["metadata", "namespace"]) ?? fallback.namespace) };
}

// Shows what would change, and changes it.
export function Review({ id, before, version, text, onClose, onDone }) {
  const [report, setReport] = useState(null);
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const target = useMemo(() => nameIn(text, id), [text]);
  const renamed = before !== undefined && (target.name !== id.name || target.namespace !== id.namespace);
  useEffect(() => {
    const files = [{ name: `${id.kind}/${target.name}`, text }];
    api("/apply?dryRun=true", { method: "POST", json: { files } }).then(setReport, setError);
  }, [text]);
  const go = async () => {
    setBusy(true);
    try {
      await apply(text, { ...target, before: renamed ? undefined : before, version });
      const path = `/resources/${id.kind}/${enc(target.namespace)}/${enc(target.name)}`;
      toast(`${target.name} is applied`, before === undefined || renamed ? {} : { action: { name: "Undo", run: () => undo(path, before, () => onDone(target)) } });
      onDone(target);
    } catch (failed) {
      setError(failed);
      setBusy(false);
    }
  };
  const said = (error?.report ?? report?.report)?.diagnostics.filter(d => d.severity === "error" || d.file === `${id.kind}/${target.name}` && d.severity === "warning") ?? [];
  return html`<${Dialog} title=${before === undefined ? `Make ${target.name}` : `Change ${target.name}`} onClose=${onClose}
      actions=${html`<button class="main" disabled=${!report || busy || Boolean(error)} onClick=${go}><${Icon} name="check" size=${16} />Apply</button>`}>
    <div class="stack">
      ${report && !error && html`<p>${report.results.map(r => html`<b>${r.name}</b> ${WORDS[r.action]}. `)}${before === undefined || renamed ? "" : "What is under way is settled first; only what changed is started anew."}</p>`}
      ${renamed && html`<div class="notice warn">It gets another name: ${id.name} stays, and ${target.name} is made.</div>`}
      ${error && html`<div class="notice bad" role="alert">${error.message}</div>`}
      ${said.length > 0 && html`<${Diagnostics} diagnostics=${said} text=${text} />`}
      <${Diff} before=${before ?? ""} after=${text} label="What changes" />
    </div>
  </${Dialog}>`;
}

export function download(name, text) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(new Blob([text], { type: "text/yaml" })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// Why an instance that runs files changes none of them, and the way to do it.
export const RunsFiles = ({ children }) => html`<p class="notice">This instance runs files, so that there is one place to change things. ${children}</p>`;

// The bar at the foot of a page with a draft that is not applied. `file`: where it was written.
export function Pending({ draft, base, file, readOnly, errors, isNew, onReview, onDiscard }) {
  if (!isNew && draft.text === base && !draft.canRedo) return null;
  const copy = () => navigator.clipboard.writeText(draft.text).then(() => toast("Copied"), error => toast(error.message, { bad: true }));
  const name = `${nameIn(draft.text, { name: "manifest" }).name}.yaml`;
  return html`<div class="pending" role="region" aria-label="Unapplied changes">
    <span class="grow"><b>${isNew ? "Not made yet" : draft.text === base ? "As it runs" : "Not applied yet"}</b>
      <span class="quiet small"> ${readOnly ? html`This instance runs files: put the text ${isNew ? "into a file beside them" : html`into <code>${file}</code>`}. With <code>run --watch</code> it takes effect at once, else with the next start.`
        : errors > 0 ? `${plural(errors, "error")} to mend first` : ""}</span></span>
    <button class="bare" aria-label="Undo" title="Undo" disabled=${!draft.canUndo} onClick=${draft.undo}><${Icon} name="undo" size=${18} /></button>
    <button class="bare" aria-label="Redo" title="Redo" disabled=${!draft.canRedo} onClick=${draft.redo}><${Icon} name="redo" size=${18} /></button>
    <button onClick=${onDiscard}>Discard</button>
    ${readOnly ? html`<button onClick=${copy}>Copy</button><button class="main" onClick=${() => download(name, draft.text)}>Download</button>`
      : html`<button class="main" disabled=${errors > 0 || !isNew && draft.text === base} onClick=${onReview}>Review and apply</button>`}
  </div>`;
}
