// The schema registry: versions, what differs between them, and new ones from live messages.

import { html, useEffect, useMemo, useState, Combo, Empty, Field, Icon, Tabs, Trouble, plural, toast, useAsked, useId } from "./parts.js";
import { api, enc } from "./api.js";
import { useLive } from "./live.js";
import { Diff } from "./compare.js";
import { useStream } from "./messages.js";
import { RunsFiles, download } from "./resources.js";

export function Schemas({ path }) {
  const asked = useAsked(() => api("/schemas"), []);
  const [name, version] = path;
  const all = asked.value?.schemas ?? [];
  const names = [...new Set(all.map(s => s.name))];
  return html`<div class="head"><div class="grow"><h1>Schemas</h1><p class="sub">What columns storage gets, and what messages should look like. A version never changes; a new one stands beside it.</p></div>
      <div class="actions"><a class="button main" href="#/schemas/new"><${Icon} name="plus" size=${17} />New schema</a></div></div>
    <${Trouble} error=${asked.error} />
    ${name === "new" ? html`<${Generator} known=${all} onDone=${s => { asked.again(); location.hash = `#/schemas/${enc(s.name)}/${s.version}`; }} />`
      : asked.value && names.length === 0 ? html`<section class="card"><${Empty} icon="schema" title="No schemas yet"><p>Flows to storage need one. It can be made from the messages that pass just now.</p><a class="button main" href="#/schemas/new">Make one from live messages</a></${Empty}></section>`
      : html`<div class="side"><nav class="card list" aria-label="Schemas">${names.map(n => { const own = all.filter(s => s.name === n); return html`<a key=${n} class="entry" href=${`#/schemas/${enc(n)}`} aria-current=${n === name ? "true" : undefined}><b class="wrap-any">${n}</b><span class="quiet small">${plural(own.length, "version")} · ${own[0].format}</span></a>`; })}</nav>
        ${name && names.includes(name) ? html`<${Versions} key=${name} versions=${all.filter(s => s.name === name)} chosen=${version} />` : html`<section class="card"><${Empty} icon="schema" title="Choose a schema"><p>Its versions and what differs between them show here.</p></${Empty}></section>`}</div>`}`;
}

const pretty = document => typeof document === "string" ? document : JSON.stringify(document, null, 2);

function Versions({ versions, chosen }) {
  const sorted = [...versions].sort((a, b) => Number(b.version) - Number(a.version));
  const one = sorted.find(v => v.version === chosen) ?? sorted[0];
  const before = sorted[sorted.indexOf(one) + 1];
  const [tab, setTab] = useState("document");
  const get = v => v ? api(`/schemas/${enc(v.name)}/${v.version}`) : Promise.resolve(null);
  const document = useAsked(() => get(one), [one.reference]);
  const earlier = useAsked(() => get(before), [before?.reference]);
  const columns = useMemo(() => columnsOf(document.value), [document.value]);
  return html`<section class="card" aria-label=${one.name}><header><h2>${one.name}</h2><span class="mono small quiet wrap-any">${one.reference}</span></header>
    <div class="body stack"><div class="row wrap" role="group" aria-label="Versions">${sorted.map(v => html`<a key=${v.version} class=${`button small ${v === one ? "main" : ""}`} aria-current=${v === one ? "true" : undefined} href=${`#/schemas/${enc(v.name)}/${v.version}`}>Version ${v.version}</a>`)}
        <a class="button small" href="#/schemas/new">New version</a></div>
      <${Tabs} label="What to see of the version" value=${tab} onChange=${setTab} tabs=${[...(columns ? [["columns", "Columns"]] : []), ["document", "Document"], ...(before ? [["diff", `Against version ${before.version}`]] : [])]} />
      <${Trouble} error=${document.error} />
      ${document.value && (tab === "diff" && before ? earlier.value && html`<${Diff} before=${pretty(earlier.value)} after=${pretty(document.value)} label="What differs" />`
        : tab === "columns" && columns ? html`<table><thead><tr><th>Name</th><th>Type</th><th>May be missing</th></tr></thead><tbody>${columns.map(([n, t, nullable]) => html`<tr><td class="mono small">${n}</td><td class="mono small">${t}</td><td>${nullable ? "yes" : "no"}</td></tr>`)}</tbody></table>`
        : html`<div class="diff"><div>${pretty(document.value)}</div></div>`)}
      <dl class="facts"><dt>Format</dt><dd>${one.format}</dd><dt>Hash</dt><dd class="mono small">${one.hash}</dd></dl></div></section>`;
}

function columnsOf(document) {
  const fields = document?.fields ?? (document?.type === "object" && typeof document.fields === "object" ? document.fields : null);
  if (Array.isArray(fields)) return fields.map(f => [f.name, typeof f.type === "string" ? f.type : f.type?.type ?? "", f.nullable !== false]);
  const properties = document?.properties;
  if (!properties) return null;
  return Object.entries(properties).map(([name, p]) => [name, [p.type].flat().join(" or ") + (p.format ? ` (${p.format})` : ""), !(document.required ?? []).includes(name)]);
}

// What stands for the local broker among the flows.
const BROKER = "#";

function Generator({ known, onDone }) {
  const { flows, instance } = useLive();
  const [flow, setFlow] = useState("");
  const [topic, setTopic] = useState("");
  const [stage, setStage] = useState("transformed");
  const [format, setFormat] = useState("Delta/1.0");
  const [name, setName] = useState("");
  const [text, setText] = useState("");
  const [warnings, setWarnings] = useState([]);
  const [error, setError] = useState(null);
  const chosen = flows?.find(f => f.key === flow);
  const fromTopic = flow === BROKER;
  const stream = useStream(fromTopic ? topic && `/broker/messages?filter=${enc(topic)}` : chosen ? `/tap?namespace=${enc(chosen.namespace)}&dataflow=${enc(chosen.name)}&stage=${stage}` : null, { max: 50 });
  const samples = stream.all.map(m => (m.message ?? m).payload).filter(p => p !== null && typeof p === "object");
  const versions = known.filter(s => s.name === name).map(s => Number(s.version));
  const version = String(Math.max(0, ...versions) + 1);
  const ids = [useId(), useId(), useId(), useId(), useId()];
  const make = async () => {
    try {
      const made = await api("/schemas:generate", { method: "POST", json: { samples, format, ...(format.startsWith("Json") && name ? { title: name } : {}) } });
      setText(made.document);
      setWarnings(made.warnings);
      setError(null);
    } catch (failed) { setError(failed); }
  };
  // as a resource: what flows refer to must be among those
  const manifest = () => JSON.stringify({ apiVersion: "tidegate.dev/v1", kind: "Schema", metadata: { name }, spec: { version: Number(version), format, content: text } }, null, 2);
  const put = async (path, body, said) => {
    try {
      await api(path, body);
      toast(said);
      onDone({ name, version });
    } catch (failed) { setError(failed.report?.diagnostics.find(d => d.severity === "error") ?? failed); }
  };
  const add = () => put("/apply", { method: "POST", json: { files: [{ name: `Schema/${name}`, text: manifest() }] } }, `aio-sr://${name}:${version} is added`);
  const register = () => put(`/schemas/${enc(name)}/${version}`, { method: "PUT", text }, `Version ${version} is in the registry`);
  const incomplete = !name || !text;
  return html`<section class="card" aria-label="New schema"><header><h2>New schema</h2></header><div class="body form">
    <div class="cols"><${Field} id=${ids[0]} label="Samples from"><select id=${ids[0]} value=${flow} onChange=${e => setFlow(e.target.value)}><option value="">choose</option><option value=${BROKER}>a topic of the local broker</option>${flows?.filter(f => f.source).map(f => html`<option key=${f.key} value=${f.key}>the data flow ${f.name}</option>`)}</select></${Field}>
      ${fromTopic ? html`<${Field} id=${ids[1]} label="Topic filter"><input id=${ids[1]} class="mono" placeholder="factory/+/press" value=${topic} onInput=${e => setTopic(e.target.value)} /></${Field}>` : html`<${Field} id=${ids[1]} label="Which messages"><select id=${ids[1]} value=${stage} onChange=${e => setStage(e.target.value)}><option value="transformed">After the transformation</option><option value="source">As they come in</option></select></${Field}>`}
      <${Field} id=${ids[2]} label="Name" hint=${versions.length ? `It becomes version ${version}.` : "It becomes version 1."}><input id=${ids[2]} class="mono" value=${name} onInput=${e => setName(e.target.value)} /></${Field}>
      <${Field} id=${ids[3]} label="Format"><select id=${ids[3]} value=${format} onChange=${e => setFormat(e.target.value)}><option value="Delta/1.0">Delta/1.0</option><option value="JsonSchema/draft-07">JsonSchema/draft-07</option></select></${Field}></div>
    <div class="row wrap"><button onClick=${make} disabled=${samples.length === 0}>Generate from ${plural(samples.length, "message")}</button><span class="small quiet" role="status">${(chosen || topic) && samples.length === 0 ? "waiting for messages" : ""}</span></div>
    <${Trouble} error=${error} />${warnings.map(w => html`<p class="notice warn">${w}</p>`)}
    <${Field} id=${ids[4]} label="Document" hint="Generated, or written by hand."><textarea id=${ids[4]} class="mono" rows="18" spellcheck=${false} value=${text} onInput=${e => setText(e.target.value)}></textarea></${Field}>
    ${instance?.readOnly ? html`<${RunsFiles}>Flows can refer to the schema once it is in a file beside them. Clients can have it from the registry at once.</${RunsFiles}>
        <div class="row wrap"><button class="main" disabled=${incomplete} onClick=${() => download(`${name}-${version}.json`, manifest())}>Download</button><button disabled=${incomplete} onClick=${register}>Put it into the registry</button></div>`
      : html`<div><button class="main" disabled=${incomplete} onClick=${add}>Add ${name || "the schema"}${name && `, version ${version}`}</button></div>`}</div></section>`;
}
