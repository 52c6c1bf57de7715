// Secrets and ConfigMaps: what endpoints need and manifests don't say. The values of a Secret go in and never come out.

import { html, useState, Dialog, Empty, Field, Icon, Trouble, plural, toast, useAsked, useId } from "./parts.js";
import { api, enc } from "./api.js";
import { live } from "./live.js";
import { RunsFiles, list, remove } from "./resources.js";

// What a Secret can be for, and the keys that are read then.
export const PURPOSES = {
  login: ["User name and password", ["username", "password"]],
  certificate: ["Client certificate", ["client_cert.pem", "client_key.pem"]],
  token: ["Connection string of Event Hubs or Fabric", ["token"]],
  signature: ["Shared access signature of storage", ["accessToken"]],
  server: ["Certificate of a listener", ["tls.crt", "tls.key"]],
  other: ["Something else", [""]],
};

const REFERENCE = /(secretRef|SecretName|ConfigMapRef|CertificateConfigMap)$/;

// The names that a manifest refers to.
function references(value, found = new Set()) {
  for (const [key, inner] of Object.entries(value ?? {})) {
    if (typeof inner === "string" && REFERENCE.test(key)) found.add(inner);
    else if (typeof inner === "object") references(inner, found);
  }
  return found;
}

export function Secrets() {
  const asked = useAsked(() => Promise.all(["Secret", "ConfigMap", "DataflowEndpoint", "Broker"].map(list)), []);
  const [opened, setOpened] = useState(null);
  const [sure, setSure] = useState(null);
  if (!asked.value) return html`<h1>Secrets</h1><${Trouble} error=${asked.error} />`;
  const [secrets, maps, endpoints, brokers] = asked.value;
  const all = [...secrets.items, ...maps.items].sort((a, b) => a.name.localeCompare(b.name) || a.kind.localeCompare(b.kind));
  const users = [...endpoints.items, ...brokers.items].map(item => [item, references(item.manifest)]);
  const usedBy = item => users.filter(([user, names]) => user.namespace === item.namespace && names.has(item.name)).map(([user]) => user);
  const { readOnly } = secrets;
  const done = () => { setOpened(null); asked.again(); };
  const drop = async () => {
    try { await remove(sure, asked.again); } catch (error) { toast(error.message, { bad: true }); }
    setSure(null);
  };
  return html`<div class="head"><div class="grow"><h1>Secrets</h1><p class="sub">Passwords, keys and certificates that endpoints refer to by name. The values of a Secret go in and never come out; those of a ConfigMap are for everybody.</p></div>
      ${!readOnly && html`<div class="actions"><button onClick=${() => setOpened({ kind: "ConfigMap" })}><${Icon} name="plus" size=${17} />New ConfigMap</button>
        <button class="main" onClick=${() => setOpened({ kind: "Secret" })}><${Icon} name="plus" size=${17} />New Secret</button></div>`}</div>
    <div class="stack"><${Trouble} error=${asked.error} />
    ${readOnly && html`<${RunsFiles}>Write Secrets and ConfigMaps into those, or keep Secrets out of them: in the folder that <code>--secrets-dir</code> names, or in the environment.</${RunsFiles}>`}
    <section class="card" aria-label="Secrets and ConfigMaps">${all.length === 0 ? html`<${Empty} icon="secret" title="No Secrets yet"><p>Secrets can come from elsewhere, too: <code>--secrets-dir</code> has them as Kubernetes mounts them, the environment as <code>TIDEGATE_SECRET_NAME__KEY</code>.</p></${Empty}>`
      : html`<div class="scroll-x"><table><thead><tr><th>Name</th><th>Kind</th><th>Keys</th><th>Used by</th><th><span class="unseen">Actions</span></th></tr></thead><tbody>${all.map(item => html`<tr key=${`${item.kind}/${item.namespace}/${item.name}`}>
        <td><b>${item.name}</b><div class="quiet small">${item.namespace}</div></td><td>${item.kind}</td>
        <td><div class="row wrap">${keysOf(item).map(key => html`<span class="tag mono">${key}</span>`)}</div></td>
        <td>${usedBy(item).length ? usedBy(item).map(user => html`<div>${user.kind === "Broker" ? "the local broker" : html`<a href=${`#/endpoints/${enc(user.namespace)}/${enc(user.name)}`}>${user.name}</a>`}</div>`) : html`<span class="quiet">nobody</span>`}</td>
        <td class="r">${!readOnly && html`<div class="row end"><button class="small" onClick=${() => setOpened(item)}>Change</button><button class="small bad" onClick=${() => setSure(item)}>Delete</button></div>`}</td></tr>`)}</tbody></table></div>`}</section></div>
    ${opened && html`<${ValuesDialog} item=${opened} onClose=${() => setOpened(null)} onDone=${done} />`}
    ${sure && html`<${Dialog} title=${`Delete ${sure.name}?`} onClose=${() => setSure(null)} actions=${html`<button class="main" onClick=${drop}>Delete</button>`}>
      <p>${usedBy(sure).length ? `${plural(usedBy(sure).length, "endpoint refers", "endpoints refer")} to it, and can't log in without.` : "Nobody refers to it."} ${sure.kind === "Secret" ? "This can't be undone: its values are gone." : "It can be undone."}</p></${Dialog}>`}`;
}

const keysOf = item => item.keys ?? Object.keys({ ...item.manifest?.data, ...item.manifest?.binaryData });

// Makes a Secret or a ConfigMap, or puts other values into one that is there (it has a `name` then).
export function ValuesDialog({ item, purpose = "login", onClose, onDone }) {
  const { kind } = item;
  const secret = kind === "Secret", isNew = !item.name;
  const fresh = keys => keys.map(key => ({ key, value: item.manifest?.data?.[key] ?? "" }));
  const [name, setName] = useState(item.name ?? "");
  const [use, setUse] = useState(purpose);
  const [rows, setRows] = useState(() => fresh(!isNew ? keysOf(item) : secret ? PURPOSES[purpose][1] : ["ca.crt"]));
  const [shown, setShown] = useState(!secret);
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const ids = [useId(), useId()];
  const put = (i, change) => setRows(rows.map((row, j) => i === j ? { ...row, ...change } : row));
  const complete = name && rows.length > 0 && rows.every(row => row.key && row.value !== "");
  const save = async () => {
    const namespace = item.namespace ?? live.state.instance?.namespace ?? "azure-iot-operations";
    const values = Object.fromEntries(rows.map(row => [row.key, row.value]));
    const binary = !secret && item.manifest?.binaryData && { binaryData: item.manifest.binaryData };
    const manifest = { apiVersion: "v1", kind, metadata: { name, namespace }, [secret ? "stringData" : "data"]: values, ...binary };
    setBusy(true);
    try {
      await api(`/resources/${kind}/${enc(namespace)}/${enc(name)}`, { method: "PUT", text: JSON.stringify(manifest, null, 2), headers: isNew ? { "if-none-match": "*" } : {} });
      toast(`${name} is applied`);
      onDone(name);
    } catch (failed) {
      setError(failed.status === 412 ? { message: `There is a ${kind} ${name} already.` } : failed.report?.diagnostics.find(d => d.severity === "error") ?? failed);
      setBusy(false);
    }
  };
  return html`<${Dialog} title=${isNew ? `New ${kind}` : `Change ${item.name}`} onClose=${onClose} actions=${html`<button class="main" disabled=${!complete || busy} onClick=${save}>${isNew ? "Make it" : "Put in place"}</button>`}>
    <div class="form"><${Trouble} error=${error} />
      ${isNew && html`<div class="cols"><${Field} id=${ids[0]} label="Name" hint="What endpoints refer to it by."><input id=${ids[0]} class="mono" autocomplete="off" value=${name} onInput=${e => setName(e.target.value)} /></${Field}>
        ${secret && html`<${Field} id=${ids[1]} label="For"><select id=${ids[1]} value=${use} onChange=${e => { setUse(e.target.value); setRows(fresh(PURPOSES[e.target.value][1])); }}>
          ${Object.entries(PURPOSES).map(([id, [title]]) => html`<option value=${id}>${title}</option>`)}</select></${Field}>`}</div>`}
      ${secret && !isNew && html`<p class="notice">Its values can't be read back. Write all of them anew; they replace those that are there, from the next connection on.</p>`}
      ${!secret && html`<p class="quiet small">For certificates that a server is checked against: PEM texts, under any key.</p>`}
      <div class="values">${rows.map((row, i) => html`<div class="one" key=${i}>
        <input class="mono" aria-label=${`Key ${i + 1}`} placeholder="key" autocomplete="off" spellcheck=${false} value=${row.key} onInput=${e => put(i, { key: e.target.value })} />
        <textarea class=${`mono ${shown ? "" : "masked"}`} rows=${/[.](pem|crt|cer|key)$/.test(row.key) || row.value.includes("\n") ? 4 : 1} aria-label=${`Value of ${row.key || `key ${i + 1}`}`} autocomplete="off" spellcheck=${false} autocapitalize="off"
          placeholder=${secret && !isNew ? "a new value" : "value"} value=${row.value} onInput=${e => put(i, { value: e.target.value })}></textarea>
        <${FileButton} label=${`Take ${row.key || `value ${i + 1}`} from a file`} onText=${value => put(i, { value })} />
        <button class="bare" aria-label=${`Remove ${row.key || `key ${i + 1}`}`} disabled=${rows.length === 1} onClick=${() => setRows(rows.filter((_, j) => i !== j))}><${Icon} name="x" size=${16} /></button></div>`)}</div>
      <div class="row wrap"><button class="small" onClick=${() => setRows([...rows, { key: "", value: "" }])}><${Icon} name="plus" size=${14} />Key</button><span class="grow"></span>
        ${secret && html`<label class="row small"><input type="checkbox" checked=${shown} onChange=${e => setShown(e.target.checked)} />Show what I write</label>`}</div>
    </div></${Dialog}>`;
}

function FileButton({ label, onText }) {
  const id = useId();
  const take = async event => {
    const [file] = event.target.files;
    if (file) onText(await file.text());
    event.target.value = "";
  };
  return html`<span class="file"><input id=${id} class="unseen" type="file" aria-label=${label} onChange=${take} /><label class="button small" for=${id} title=${label}>File</label></span>`;
}

// A field that names a Secret or a ConfigMap: those there are, and a new one at once.
export function useReferents() {
  const { value, again } = useAsked(() => Promise.all(["Secret", "ConfigMap"].map(list)), []);
  const [secrets, maps] = (value ?? []).map(({ items }) => items);
  return { Secret: secrets ?? [], ConfigMap: maps ?? [], readOnly: value?.[0].readOnly ?? true, again };
}

export function ReferenceButton({ kind, purpose, onDone }) {
  const [open, setOpen] = useState(false);
  return html`<button class="small" onClick=${() => setOpen(true)}><${Icon} name="plus" size=${14} />New ${kind}</button>
    ${open && html`<${ValuesDialog} item=${{ kind }} purpose=${purpose} onClose=${() => setOpen(false)} onDone=${name => { setOpen(false); onDone(name); }} />`}`;
}
