// A resource as a form made from the model's own description of its fields, and as text beside it.

import { html, useEffect, useMemo, useState, Chip, Dialog, Field, Icon, Sentence, Trouble, toast, useAsked, useId } from "./parts.js";
import { api, enc } from "./api.js";
import { live } from "./live.js";
import { Diagnostics, Editor } from "./editor.js";
import { edit, parse, rootOf, set } from "./draft.js";
import { problemsAt } from "./builder.js";
import { Pending, Review, filesWith, list, remove, useCheck, useDraft, useUndoKeys } from "./resources.js";

export function ManifestPage({ kind, path, template, base, title, testable }) {
  const isNew = path[0] === "new";
  const resource = useAsked(() => isNew ? fresh(template, kind) : api(`/resources/${kind}/${enc(path[0])}/${enc(path[1])}`), [path.join("/")]);
  const reference = useAsked(() => api("/reference"), []);
  const { value: all } = useAsked(() => list(kind), []);
  if (resource.error) return html`<h1>${path[1]}</h1><${Trouble} error=${resource.error} />`;
  if (!resource.value || !all || !reference.value && !reference.error) return html`<h1>${isNew ? `New ${title.toLowerCase()}` : path[1]}</h1>`;
  return html`<${Manifest} key=${path.join("/")} resource=${resource.value} again=${resource.again} isNew=${isNew} kind=${kind} base=${base} title=${title} testable=${testable} readOnly=${all.readOnly} fields=${reference.value?.kinds.find(k => k.kind === kind)?.fields} />`;
}

async function fresh(template, kind) {
  const taken = new Set((await list(kind)).items.map(i => i.name));
  const stem = kind === "DataflowEndpoint" ? "new-endpoint" : "new-profile";
  let name = stem;
  for (let i = 2; taken.has(name); i++) name = `${stem}-${i}`;
  const namespace = live.state.flows?.[0]?.namespace ?? "azure-iot-operations";
  return { kind, namespace, name, text: template(name, namespace), resourceVersion: null };
}

function Manifest({ resource, again, isNew, kind, base, title, testable, readOnly, fields }) {
  const before = isNew ? undefined : resource.text;
  const draft = useDraft(resource.text);
  useUndoKeys(draft);
  useEffect(() => { draft.reset(resource.text); }, [resource.text]);
  const id = { kind, namespace: resource.namespace, name: resource.name };
  const { diagnostics, text: checked, error } = useCheck(draft.text, id);
  const errors = diagnostics.filter(d => d.severity === "error").length;
  const [review, setReview] = useState(false);
  const [sure, setSure] = useState(false);
  const [jump, setJump] = useState(null);
  const { doc, ok } = useMemo(() => parse(draft.text), [draft.text]);
  const all = ok ? doc.toJS() : null;
  const spec = ok ? rootOf(doc).reduce((v, k) => v?.[k], all) ?? {} : {};
  const nameField = useId();
  const done = target => { setReview(false); location.hash = `#/${base}/${enc(target.namespace)}/${enc(target.name)}`; if (!isNew) again(); };
  const drop = async () => { try { await remove(resource); location.hash = `#/${base}`; } catch (e) { toast(e.message, { bad: true }); setSure(false); } };
  const current = checked === draft.text ? diagnostics : [];
  return html`<div class="head"><div class="grow"><p class="crumb"><a href=${`#/${base}`}>${title}s</a> <span class="quiet">/ ${resource.namespace}</span></p><h1>${isNew ? `New ${title.toLowerCase()}` : resource.name}</h1></div>
      <div class="actions">${isNew ? html`<${Field} id=${nameField} label="Name"><input id=${nameField} class="mono" value=${all?.metadata?.name ?? ""} onInput=${e => draft.write(edit(draft.text, d => d.setIn(["metadata", "name"], e.target.value)))} /></${Field}>` : !readOnly && html`<button class="bad" onClick=${() => setSure(true)}>Delete</button>`}</div></div>
    <div class="work">
      <section class="card" aria-label="Settings"><header><h2>Settings</h2></header><div class="body form">
        ${testable && html`<${TestConnection} text=${draft.text} id=${id} name=${all?.metadata?.name ?? resource.name} />`}
        ${!ok ? html`<p class="notice warn">Mend the text first; then the form can show it.</p>` : !fields ? html`<p class="quiet">The form is not to be had just now; the text beside it is.</p>`
          : html`<${Fields} fields=${kind === "DataflowEndpoint" ? endpointFields(fields, spec) : fields} value=${spec} path=${[]} text=${draft.text} write=${draft.write} diagnostics=${current} />`}
      </div></section>
      <section class="card" aria-label="YAML"><header><h2>YAML</h2><span class="small quiet" role="status">${error ? error.message : checked !== draft.text ? "checking" : errors ? `${errors} ${errors === 1 ? "error" : "errors"}` : "no errors"}</span></header>
        <div class="body stack-s"><${Editor} label="Manifest in YAML" value=${draft.text} onInput=${draft.write} diagnostics=${current} height=${Math.min(560, Math.max(240, draft.text.split("\n").length * 20 + 30))} focusLine=${jump} />
          <${Diagnostics} diagnostics=${diagnostics} text=${checked ?? draft.text} onJump=${setJump} /></div></section>
    </div>
    <${Pending} draft=${draft} base=${before} readOnly=${readOnly} errors=${errors} isNew=${isNew} onReview=${() => setReview(true)} onDiscard=${() => isNew ? location.hash = `#/${base}` : draft.reset(before)} />
    ${review && html`<${Review} id=${id} before=${before} version=${resource.resourceVersion} text=${draft.text} onClose=${() => setReview(false)} onDone=${done} />`}
    ${sure && html`<${Dialog} title=${`Delete ${resource.name}?`} onClose=${() => setSure(false)} actions=${html`<button class="main" onClick=${drop}>Delete</button>`}><p>What refers to it stands in the way of deleting it. It can be undone.</p></${Dialog}>`}`;
}

// Of an endpoint only the settings of its type count.
function endpointFields(fields, spec) {
  const type = String(spec.endpointType ?? "");
  const key = `${type.charAt(0).toLowerCase()}${type.slice(1)}Settings`;
  return fields.filter(f => !f.name.endsWith("Settings") || f.name === key || spec[f.name] !== undefined);
}

// A field's choices, if what it wants is one of several words.
function Fields({ fields, value, path, text, write, diagnostics }) {
  return fields.filter(f => !f.deprecated).map(field => html`<${One} key=${field.name} field=${field} value=${value?.[field.name]} siblings=${value} path=${[...path, field.name]} text=${text} write=${write} diagnostics=${diagnostics} />`);
}

const words = name => name.replace(/Ref$/, "").replace(/([a-z0-9])([A-Z])/g, "$1 $2").replace(/^./, c => c.toUpperCase()).replace(/ ([A-Z])(?=[a-z])/g, (_, c) => ` ${c.toLowerCase()}`);

function One({ field, value, siblings, path, text, write, diagnostics }) {
  const id = useId();
  const put = v => write(set(text, path, v));
  const problems = problemsAt(text, path, diagnostics);
  if (field.fields && !field.list) {
    // of the ways to log in only the one that is chosen counts
    const method = siblings?.method;
    if (method && field.name.endsWith("Settings") && field.name.toLowerCase() !== `${method}Settings`.toLowerCase()) return null;
    if (!method && siblings && "method" in siblings === false && path.at(-2) === "authentication" && field.name.endsWith("Settings")) return null;
    if (field.fields.length === 0) return null;
    return html`<fieldset><legend>${words(field.name)}</legend><p class="hint small quiet"><${Sentence} text=${field.doc} /></p><${Fields} fields=${field.fields} value=${value} path=${path} text=${text} write=${write} diagnostics=${diagnostics} /></fieldset>`;
  }
  if (field.list) return null;
  const wrong = problems.filter(p => p.severity !== "note")[0];
  const hint = html`<${Sentence} text=${field.doc} />${field.default ? ` Without it: ${field.default}.` : ""}${field.required ? " Required." : ""}`;
  const common = { id, "aria-invalid": wrong?.severity === "error" ? "true" : undefined };
  const number = /whole number|number/.test(field.wants);
  return html`<${Field} id=${id} label=${words(field.name)} hint=${hint} said=${wrong && `${wrong.message}${wrong.help ? ` — ${wrong.help}` : ""}`}>
    ${field.choices ? html`<select ...${common} value=${value ?? ""} onChange=${e => changeChoice(field, e.target.value, path, text, write)}><option value="">${field.default ? `${field.default} (as it is without)` : "not said"}</option>${field.choices.map(c => html`<option value=${c}>${c}</option>`)}</select>`
      : html`<input ...${common} class="mono" inputmode=${number ? "numeric" : undefined} value=${value ?? ""} placeholder=${field.default ?? (/Secret/.test(field.doc) ? "the name of a Secret" : "")}
        onInput=${e => { const v = e.target.value; put(v === "" ? undefined : number && /^-?\d+$/.test(v) ? Number(v) : v); }} />`}</${Field}>`;
}

// Another type or way to log in needs another block of settings; the earlier one goes.
function changeChoice(field, chosen, path, text, write) {
  let next = set(text, path, chosen || undefined);
  const block = c => `${c.charAt(0).toLowerCase()}${c.slice(1)}Settings`;
  if (field.name === "endpointType" || field.name === "method") {
    for (const other of field.choices) if (other !== chosen) next = set(next, [...path.slice(0, -1), block(other)], undefined);
    if (chosen) next = edit(next, doc => { const at = [...rootOf(doc), ...path.slice(0, -1), block(chosen)]; if (!doc.hasIn(at)) doc.setIn(at, doc.createNode({})); });
  }
  write(next);
}

function TestConnection({ text, id, name }) {
  const [state, setState] = useState(null);
  useEffect(() => setState(null), [text]);
  const go = async () => {
    setState({ busy: true });
    try {
      setState(await api("/endpoints:test", { method: "POST", json: { documents: { files: await filesWith(text, id), namespace: id.namespace }, endpoint: name } }));
    } catch (error) { setState({ ok: false, message: error.report ? "Mend the errors first; they stand beside the text." : error.message }); }
  };
  return html`<div class="stack-s"><div><button onClick=${go} disabled=${state?.busy}><${Icon} name="endpoint" size=${16} />${state?.busy ? "Connecting" : "Test connection"}</button></div>
    <div role="status">${state && !state.busy && html`<p class=${`notice ${state.ok ? "" : "bad"}`}><${Chip} mood=${state.ok ? "good" : "bad"}>${state.ok ? `Reached in ${state.milliseconds} ms` : "Not reached"}</${Chip}> <${Sentence} text=${state.message} /> ${state.reasonCode && html`<span class="mono small quiet">${state.reasonCode}</span>`}</p>`}</div></div>`;
}
