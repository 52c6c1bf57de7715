// A resource as a form made from the model's own description of its fields, and as text beside it.

import { html, useEffect, useMemo, useState, Chip, Combo, Dialog, Field, Icon, Sentence, Trouble, plural, toast, useAsked, useId } from "./parts.js";
import { api, enc } from "./api.js";
import { live } from "./live.js";
import { Diagnostics, Editor } from "./editor.js";
import { edit, parse, rootOf, set } from "./draft.js";
import { problemsAt } from "./builder.js";
import { ReferenceButton, useReferents } from "./secrets.js";
import { Pending, Review, filesWith, list, remove, useCheck, useDraft, useUndoKeys, verdict } from "./resources.js";

export function ManifestPage({ kind, path, template, base, title, heading, note }) {
  const isNew = path[0] === "new";
  const resource = useAsked(() => isNew ? fresh(template, kind) : api(`/resources/${kind}/${enc(path[0])}/${enc(path[1])}`), [path.join("/")]);
  const reference = useAsked(() => api("/reference"), []);
  const { value: all } = useAsked(() => list(kind), []);
  if (resource.error) return html`<h1>${path[1]}</h1><${Trouble} error=${resource.error} />`;
  if (!resource.value || !all || !reference.value && !reference.error) return html`<h1>${isNew ? `New ${title.toLowerCase()}` : path[1]}</h1>`;
  return html`<${Manifest} key=${path.join("/")} resource=${resource.value} again=${resource.again} isNew=${isNew} kind=${kind} base=${base} title=${title} heading=${heading} note=${note} readOnly=${all.readOnly} fields=${reference.value?.kinds.find(k => k.kind === kind)?.fields} />`;
}

async function fresh(template, kind) {
  const taken = new Set((await list(kind)).items.map(i => i.name));
  const stem = { DataflowEndpoint: "new-endpoint", DataflowProfile: "new-profile", Broker: "default" }[kind];
  let name = stem;
  for (let i = 2; taken.has(name); i++) name = `${stem}-${i}`;
  const namespace = live.state.flows?.[0]?.namespace ?? "azure-iot-operations";
  return { kind, namespace, name, text: template(name, namespace), resourceVersion: null };
}

function Manifest({ resource, again, isNew, kind, base, title, heading, note, readOnly, fields }) {
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
  const referents = useReferents();
  const { doc, ok } = useMemo(() => parse(draft.text), [draft.text]);
  const all = ok ? doc.toJS() : null;
  const spec = ok ? rootOf(doc).reduce((v, k) => v?.[k], all) ?? {} : {};
  const nameField = useId();
  const trial = useTrial(spec.endpointType, draft.text, id, all?.metadata?.name ?? resource.name);
  const done = target => { setReview(false); location.hash = `#/${base}/${enc(target.namespace)}/${enc(target.name)}`; if (!isNew) again(); };
  const drop = async () => { try { await remove(resource); location.hash = `#/${base}`; } catch (e) { toast(e.message, { bad: true }); setSure(false); } };
  const current = checked === draft.text ? diagnostics : [];
  return html`<div class="head"><div class="grow"><p class="crumb"><a href=${`#/${base}`}>${title}s</a> <span class="quiet">/ ${resource.namespace}</span></p><h1>${heading ?? (isNew ? `New ${title.toLowerCase()}` : resource.name)}</h1></div>
      <div class="actions">${isNew ? !heading && html`<${Field} id=${nameField} label="Name"><input id=${nameField} class="mono" value=${all?.metadata?.name ?? ""} onInput=${e => draft.write(edit(draft.text, d => d.setIn(["metadata", "name"], e.target.value)))} /></${Field}>` : !readOnly && html`<button class="bad" onClick=${() => setSure(true)}>Delete</button>`}</div></div>
    <div class="work">
      <section class="card" aria-label="Settings"><header><h2>Settings</h2>${trial.button}</header>${trial.said}<div class="body form">
        ${note && html`<p class="notice">${note}</p>`}
        ${!ok ? html`<p class="notice warn">Mend the text first; then the form can show it.</p>` : !fields ? html`<p class="quiet">The form is not to be had just now; the text beside it is.</p>`
          : html`<${Fields} fields=${kind === "DataflowEndpoint" ? endpointFields(fields, spec) : fields} value=${spec} path=${[]} form=${{ text: draft.text, write: draft.write, diagnostics: current, referents }} />`}
      </div></section>
      <section class="card" aria-label="YAML"><header><h2>YAML</h2><span class="small quiet" role="status">${error ? error.message : checked !== draft.text ? "checking" : verdict(diagnostics)}</span></header>
        <div class="body stack-s"><${Editor} label="Manifest in YAML" value=${draft.text} onInput=${draft.write} diagnostics=${current} height=${Math.min(560, Math.max(240, draft.text.split("\n").length * 20 + 30))} focusLine=${jump} />
          <${Diagnostics} diagnostics=${diagnostics} text=${checked ?? draft.text} onJump=${setJump} /></div></section>
    </div>
    <${Pending} draft=${draft} base=${before} file=${resource.file} readOnly=${readOnly} errors=${errors} isNew=${isNew} onReview=${() => setReview(true)} onDiscard=${() => isNew ? location.hash = `#/${base}` : draft.reset(before)} />
    ${review && html`<${Review} id=${id} before=${before} version=${resource.resourceVersion} text=${draft.text} onClose=${() => setReview(false)} onDone=${done} />`}
    ${sure && html`<${Dialog} title=${`Delete ${resource.name}?`} onClose=${() => setSure(false)} actions=${html`<button class="main" onClick=${drop}>Delete</button>`}><p>What refers to it stands in the way of deleting it. It can be undone.</p></${Dialog}>`}`;
}

// Of an endpoint only the settings of its type count; what `v1beta1` had beside them is for the text, as is the hint for
// the portal, unless they are there.
function endpointFields(fields, spec) {
  const block = blockOf(String(spec.endpointType ?? ""));
  return fields.filter(f => spec[f.name] !== undefined || f.name === "endpointType" || f.name === block);
}

const blockOf = choice => `${choice.charAt(0).toLowerCase()}${choice.slice(1)}Settings`;

// What previews had has no form: nobody needs it any more.
const hasForm = (field, value) => value?.[field.name] !== undefined || field.fields || field.wants !== "an object";

// What most endpoints do well without.
const isSpecial = field => !field.required && !field.fields && field.default !== undefined || ["clientIdPrefix", "partitionKeyProperty"].includes(field.name);

// `form`: what all fields share; `needed`: whether the object that the fields are in is or must be there.
function Fields({ fields, value, path, form, needed = true }) {
  const shown = fields.filter(f => hasForm(f, value));
  const special = path.length === 1 && /Settings$/.test(path[0]) ? shown.filter(isSpecial) : [];
  // what was written is seen at once; after that, it is as the reader wants it
  const [open] = useState(special.some(f => value?.[f.name] !== undefined));
  const one = field => html`<${One} key=${field.name} field=${field} value=${value?.[field.name]} siblings=${value} path=${[...path, field.name]} form=${form} needed=${needed} />`;
  return html`${shown.filter(f => !special.includes(f)).map(one)}
    ${special.length > 0 && html`<details class="more" open=${open}><summary>${plural(special.length, "more setting")}</summary><div class="form">${special.map(one)}</div></details>`}`;
}

// A field's name as people say it.
const SAID = { tls: "TLS", sasl: "SASL", qos: "QoS", ca: "CA", mqtt: "MQTT", kafka: "Kafka", id: "ID", ids: "IDs", ms: "(ms)", seconds: "(s)", milliseconds: "(ms)" };
function words(name) {
  const parts = name.replace(/Ref$/, "").replace(/ConfigMap$/, "").replace(/([a-z0-9])([A-Z])/g, "$1 $2").toLowerCase().replace("one lake", "OneLake").split(" ");
  return parts.map(part => SAID[part] ?? part).join(" ").replace(/^./, c => c.toUpperCase());
}
const single = name => words(name.replace(/ies$/, "y").replace(/s$/, ""));

// What the reference says of AIO, and what it means here.
const HERE = { persistentVolumeClaimRef: "Here it is the folder `volumes/NAME` in the data directory, or the one that `--volume NAME=DIR` says." };

const HOSTS = {
  mqttSettings: "broker.example:8883", kafkaSettings: "kafka.example:9093", dataLakeStorageSettings: "https://account.blob.core.windows.net",
  fabricOneLakeSettings: "https://onelake.dfs.fabric.microsoft.com", dataExplorerSettings: "https://cluster.region.kusto.windows.net", openTelemetrySettings: "collector.example:4317",
};

function One({ field, value, siblings, path, form, needed }) {
  const id = useId();
  const { text, write, diagnostics } = form;
  if (field.fields && !field.list) {
    // of the ways to log in only the one that is chosen counts
    const isMethod = path.at(-2) === "authentication" && field.name.endsWith("Settings");
    if (isMethod && field.name !== blockOf(String(siblings?.method ?? ""))) return null;
    if (field.fields.length === 0) return null;
    const inside = html`<${Fields} fields=${field.fields} value=${value} path=${path} form=${form} needed=${value !== undefined || needed && (field.required || field.name === "authentication")} />`;
    // what was chosen just above needs no frame of its own
    if (isMethod || path.length === 1 && field.name === blockOf(String(siblings?.endpointType ?? ""))) return inside;
    return html`<fieldset><legend>${words(field.name)}</legend><p class="hint small quiet"><${Sentence} text=${field.doc} /></p>${inside}</fieldset>`;
  }
  const put = v => write(set(text, path, v));
  const wrong = problemsAt(text, path, diagnostics).filter(p => p.severity !== "note")[0];
  // what is still to be written is no mistake yet
  const said = wrong && (value === "" ? "This is needed." : html`<${Sentence} text=${`${wrong.message}${wrong.help ? ` — ${wrong.help}` : ""}`} />`);
  if (field.list) return html`<${List} field=${field} value=${value} path=${path} form=${form} said=${said} />`;
  const doc = [field.doc, HERE[field.name], field.required && needed && "Required."].filter(Boolean).join(" ");
  const common = { id, "aria-invalid": wrong?.severity === "error" ? "true" : undefined };
  const number = /whole number|number/.test(field.wants);
  const kind = { secretRef: "Secret", trustedCaCertificateConfigMapRef: "ConfigMap", clientCaConfigMapRef: "ConfigMap" }[field.name];
  const wide = field.choices?.some(c => c.length > 24);
  return html`<${Field} id=${id} label=${words(field.name)} wide=${wide} hint=${html`<${Sentence} text=${doc} />`} said=${said}>
    ${field.choices ? html`<select ...${common} value=${value ?? ""} onChange=${e => changeChoice(field, e.target.value, siblings, path, text, write)}><option value="">${field.default ? `${field.default} (default)` : field.required ? "choose" : "not set"}</option>${[...new Set([...value ? [String(value)] : [], ...field.choices])].map(c => html`<option value=${c}>${c}</option>`)}</select>`
      : kind ? html`<div class="row wrap"><${Combo} id=${id} value=${String(value ?? "")} invalid=${wrong?.severity === "error"} placeholder=${`the name of a ${kind}`} options=${form.referents[kind].map(r => [r.name, (r.keys ?? Object.keys(r.manifest?.data ?? {})).join(", ")])} onInput=${v => put(v || undefined)} />
          ${!form.referents.readOnly && html`<${ReferenceButton} kind=${kind} purpose=${purposeOf(path)} onDone=${name => { form.referents.again(); put(name); }} />`}</div>`
      : html`<input ...${common} class="mono" inputmode=${number ? "numeric" : undefined} value=${value ?? ""} placeholder=${field.default ?? (field.name === "host" ? HOSTS[path[0]] : "") ?? ""}
        onInput=${e => { const v = e.target.value; put(v === "" ? undefined : number && /^-?\d+$/.test(v) ? Number(v) : v); }} />`}</${Field}>`;
}

// What a Secret at this place is for.
function purposeOf(path) {
  const place = path.join(".");
  return /x509/.test(place) ? "certificate" : /accessToken/.test(place) ? "signature" : /listeners/.test(place) ? "server" : "login";
}

// A list: one row or one box for each, to add to and to take from.
function List({ field, value, path, form, said }) {
  const items = Array.isArray(value) ? value : [];
  const { text, write } = form;
  const name = single(field.name);
  const drop = i => write(items.length > 1 ? set(text, [...path, i], undefined) : set(text, path, undefined));
  const add = item => write(items.length ? set(text, [...path, items.length], item) : set(text, path, [item]));
  const remove = i => html`<button class="bare" aria-label=${`Remove ${name.toLowerCase()} ${i + 1}`} onClick=${() => drop(i)}><${Icon} name="x" size=${16} /></button>`;
  return html`<div class="field"><span class="label">${words(field.name)}</span>
    ${field.fields ? html`<div class="rules">${items.map((item, i) => html`<div class="rule" key=${i} role="group" aria-label=${`${name} ${i + 1}`}><div class="top"><h3 class="grow">${name} ${i + 1}</h3>${remove(i)}</div>
        <${Fields} fields=${field.fields} value=${item} path=${[...path, i]} form=${form} /></div>`)}</div>`
      : html`<div class="inputs">${items.map((item, i) => html`<div class="one" key=${i}><input class="mono" aria-label=${`${name} ${i + 1}`} value=${String(item ?? "")} onInput=${e => write(set(text, [...path, i], e.target.value))} />${remove(i)}</div>`)}</div>`}
    ${said && html`<div class="said">${said}</div>`}
    <div><button class="small" onClick=${() => add(field.fields ? {} : "")}><${Icon} name="plus" size=${14} />${name}</button></div>
    <div class="hint"><${Sentence} text=${field.doc} /></div></div>`;
}

// Another type or way to log in needs another block of settings; the earlier one goes.
function changeChoice(field, chosen, siblings, path, text, write) {
  let next = set(text, path, chosen || undefined);
  if (field.name === "endpointType" || path.at(-2) === "authentication") {
    for (const other of Object.keys(siblings ?? {})) if (/Settings$/.test(other) && other !== blockOf(chosen)) next = set(next, [...path.slice(0, -1), other], undefined);
    if (chosen) next = edit(next, doc => { const at = [...rootOf(doc), ...path.slice(0, -1), blockOf(chosen)]; if (!doc.hasIn(at)) doc.setIn(at, doc.createNode({})); });
  }
  write(next);
}

// A connection tried with the draft: a button, and what came of it. OpenTelemetry is not run yet, nor tried.
function useTrial(type, text, id, name) {
  const [state, setState] = useState(null);
  useEffect(() => setState(null), [text]);
  const go = async () => {
    setState({ busy: true });
    try {
      setState(await api("/endpoints:test", { method: "POST", json: { documents: { files: await filesWith(text, id), namespace: id.namespace }, endpoint: name } }));
    } catch (error) { setState({ ok: false, message: error.report ? "Mend the errors first; they stand beside the text." : error.message }); }
  };
  if (!type || type === "OpenTelemetry") return {};
  return {
    button: html`<button class="small" onClick=${go} disabled=${state?.busy}><${Icon} name="endpoint" size=${15} />${state?.busy ? "Connecting" : "Test connection"}</button>`,
    said: html`<div class="trial" role="status">${state && !state.busy && html`<p class=${`notice ${state.ok ? "" : "bad"}`}><${Chip} mood=${state.ok ? "good" : "bad"}>${state.ok ? `Reached in ${state.milliseconds} ms` : "Not reached"}</${Chip}> <${Sentence} text=${state.message} /> ${state.reasonCode && html`<span class="mono small quiet">${state.reasonCode}</span>`}</p>`}</div>`,
  };
}
