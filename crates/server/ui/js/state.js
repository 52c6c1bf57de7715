// The state store: keys, values, and the datasets that enrich messages.

import { html, useEffect, useMemo, useState, Dialog, Empty, Field, Icon, Trouble, bytes, plural, toast, useAsked, useId } from "./parts.js";
import { api, enc, events } from "./api.js";
import { base64Text } from "./messages.js";

const pathOf = key => `/state/${key.split("/").map(enc).join("/")}`;

export function StateStore({ path }) {
  const [pattern, setPattern] = useState("");
  const asked = useAsked(() => api(`/state${pattern ? `?pattern=${enc(/[*?[]/.test(pattern) ? pattern : `*${pattern}*`)}` : ""}`), [pattern]);
  const [adding, setAdding] = useState(false);
  const chosen = path.join("/");
  const keys = (asked.value?.keys ?? []).map(k => k.key).filter(key => key !== null);
  const done = key => { setAdding(false); asked.again(); if (key) location.hash = `#/state/${key}`; };
  return html`<div class="head"><div class="grow"><h1>State store</h1><p class="sub">Keys and values that clients share over MQTT. A dataset is a key whose value has one JSON record on each line.</p></div>
      <div class="actions"><button class="main" onClick=${() => setAdding(true)}><${Icon} name="plus" size=${17} />New key</button></div></div>
    ${asked.error && !asked.value ? html`<${Trouble} error=${asked.error} />` : html`<div class="side">
      <section class="card" aria-label="Keys"><div class="body"><label><span class="unseen">Find keys</span><input type="search" class="mono" placeholder="Find keys: line-*" value=${pattern} onInput=${e => setPattern(e.target.value)} /></label></div>
        <nav class="list" aria-label="Keys">${keys.map(key => html`<a key=${key} class="entry mono wrap-any" href=${`#/state/${key.split("/").map(enc).join("/")}`} aria-current=${key === chosen ? "true" : undefined}>${key}</a>`)}</nav>
        ${asked.value && keys.length === 0 && html`<div class="empty">No keys${pattern ? " fit" : " yet"}.</div>`}
        ${asked.value?.next && html`<div class="body small quiet">There are more; a pattern finds them.</div>`}</section>
      ${chosen ? html`<${Value} key=${chosen} name=${chosen} onGone=${() => { location.hash = "#/state"; asked.again(); }} />` : html`<section class="card"><${Empty} icon="state" title="Choose a key"><p>Its value shows here, and follows every change.</p></${Empty}></section>`}</div>`}
    ${adding && html`<${Edit} onClose=${() => setAdding(false)} onDone=${done} />`}`;
}

function Value({ name, onGone }) {
  const [seen, setSeen] = useState(null);
  const [editing, setEditing] = useState(false);
  useEffect(() => events(`${pathOf(name)}?watch=true`, data => setSeen(JSON.parse(data))), [name]);
  const text = seen && (seen.value ?? (seen.valueBase64 !== undefined ? base64Text(seen.valueBase64) : null));
  const records = useMemo(() => {
    if (!text) return null;
    const lines = text.split("\n").filter(line => line.trim()).slice(0, 200);
    try {
      const all = lines.map(line => JSON.parse(line));
      return all.every(r => r !== null && typeof r === "object" && !Array.isArray(r)) ? all : null;
    } catch { return null; }
  }, [text]);
  const columns = useMemo(() => records && [...new Set(records.flatMap(Object.keys))].slice(0, 12), [records]);
  const drop = async () => {
    try {
      await api(pathOf(name), { method: "DELETE" });
      toast(`${name} is deleted`, { action: { name: "Undo", run: () => api(pathOf(name), { method: "PUT", text }).then(onGone, e => toast(e.message, { bad: true })) } });
      onGone();
    } catch (error) { toast(error.message, { bad: true }); }
  };
  return html`<section class="card" aria-label=${name}><header><h2 class="mono wrap-any">${name}</h2>
      ${seen && html`<span class="small quiet">${text === null ? "" : records && records.length > 1 ? plural(records.length, "record") : bytes(new Blob([text]).size)}</span>`}
      <button class="small" disabled=${text === null} onClick=${() => setEditing(true)}>Edit</button><button class="small bad" disabled=${text === null} onClick=${drop}>Delete</button></header>
    <div class="body">${!seen ? "" : text === null ? html`<p class="quiet">The key is gone.</p>` : records && columns.length ? html`<div class="scroll-x"><table><thead><tr>${columns.map(c => html`<th>${c}</th>`)}</tr></thead>
        <tbody>${records.map(r => html`<tr>${columns.map(c => html`<td class="mono small">${r[c] === undefined ? "" : typeof r[c] === "string" ? r[c] : JSON.stringify(r[c])}</td>`)}</tr>`)}</tbody></table></div>`
      : html`<div class="json">${text}</div>`}</div>
    ${seen?.version && html`<div class="body small quiet mono">version ${seen.version}</div>`}
    ${editing && html`<${Edit} name=${name} value=${text} onClose=${() => setEditing(false)} onDone=${() => setEditing(false)} />`}
  </section>`;
}

function Edit({ name, value = "", onClose, onDone }) {
  const [key, setKey] = useState(name ?? "");
  const [text, setText] = useState(value);
  const [error, setError] = useState(null);
  const a = useId(), b = useId();
  const save = async () => {
    try {
      await api(pathOf(key), { method: "PUT", text });
      toast(`${key} is set`);
      onDone(key);
    } catch (failed) { setError(failed); }
  };
  return html`<${Dialog} title=${name ? `Change ${name}` : "New key"} onClose=${onClose} actions=${html`<button class="main" disabled=${!key} onClick=${save}>Save</button>`}>
    <div class="form"><${Trouble} error=${error} />${!name && html`<${Field} id=${a} label="Key"><input id=${a} class="mono" value=${key} onInput=${e => setKey(e.target.value)} /></${Field}>`}
      <${Field} id=${b} label="Value" hint="For a dataset: one JSON record on each line."><textarea id=${b} class="mono" rows="12" spellcheck=${false} value=${text} onInput=${e => setText(e.target.value)}></textarea></${Field}></div></${Dialog}>`;
}
