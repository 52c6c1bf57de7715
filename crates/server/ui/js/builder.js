// The forms of a data flow's stages. Each writes into the draft's text.

import { html, useState, Combo, Field, Icon, Sentence, useId } from "./parts.js";
import { Expression } from "./editor.js";
import { move, parse, readFlow, rootOf, set, withTransform } from "./draft.js";
import { valueAt } from "./messages.js";

// The diagnostics that stand within the value at `path`; `from` and `to` count within its text.
export function problemsAt(text, path, diagnostics) {
  if (!diagnostics.length) return [];
  const { doc, ok } = parse(text);
  if (!ok) return [];
  const node = doc.getIn([...rootOf(doc), ...path], true);
  if (!node?.range) return [];
  const starts = [0];
  for (let i = 0; i < text.length; i++) if (text[i] === "\n") starts.push(i + 1);
  const [start, end] = node.range;
  const quote = node.type?.startsWith("QUOTE") ? 1 : 0;
  return diagnostics.flatMap(d => {
    if (!d.line) return [];
    const a = starts[d.line - 1] + d.column - 1, b = starts[(d.endLine ?? d.line) - 1] + d.endColumn - 1;
    if (a < start || a > end) return [];
    return [{ ...d, from: a - start - quote, to: b - start - quote }];
  });
}

// A value that is not text, or that YAML would read as another type, is shown as text all the same.
const str = v => v === undefined || v === null ? "" : typeof v === "object" ? JSON.stringify(v) : String(v);

export function stageOf(text, diagnostic) {
  const flow = readFlow(text);
  if (!flow) return null;
  const inside = path => path && problemsAt(text, path, [diagnostic]).length > 0;
  if (inside(flow.at.source)) return "source";
  if (inside(flow.at.destination)) return "destination";
  if (!flow.at.transform) return null;
  return ["datasets", "filter", "map"].filter(part => inside([...flow.at.transform, part])).map(part => ({ datasets: "enrich", filter: "filter", map: "map" })[part])[0] ?? null;
}

const Said = ({ problems }) => problems.filter(p => p.severity !== "note").map(p => html`<div class=${`diag ${p.severity}`} role="alert"><div><b>${p.severity}</b> <span class="code">${p.code}</span> <${Sentence} text=${p.message} /></div>${p.help && html`<div class="quiet">help: <${Sentence} text=${p.help} /></div>`}</div>`);

function EndpointSelect({ value, endpoints, onChange, label, sources }) {
  const id = useId();
  const fitting = endpoints.filter(e => !sources || ["Mqtt", "Kafka"].includes(e.type));
  const known = fitting.some(e => e.name === value);
  return html`<${Field} id=${id} label=${label} hint=${html`<a href="#/endpoints/new">Make another endpoint</a>`}>
    <select id=${id} value=${value} onChange=${e => onChange(e.target.value)}>
      ${!known && html`<option value=${value}>${value || "choose one"}</option>`}
      ${fitting.map(e => html`<option key=${e.name} value=${e.name}>${e.name} · ${e.type}${e.address ? ` · ${e.address}` : ""}</option>`)}
    </select></${Field}>`;
}

export function SourceForm({ flow, text, write, endpoints, topics, diagnostics, profiles }) {
  const at = flow.at.source ?? ["operations", 0, "sourceSettings"];
  const put = (key, value) => write(set(text, [...at, key], value));
  const sources = Array.isArray(flow.source.dataSources) ? flow.source.dataSources.map(str) : [];
  const shown = sources.length ? sources : [""];
  const type = endpoints.find(e => e.name === flow.source.endpointRef)?.type;
  const profile = useId(), persist = useId();
  return html`<div class="form">
    <${EndpointSelect} label="Endpoint" sources value=${str(flow.source.endpointRef)} endpoints=${endpoints} onChange=${v => put("endpointRef", v)} />
    <div class="field"><span class="label">${type === "Kafka" ? "Kafka topics" : "MQTT topic filters"}</span>
      <div class="inputs">${shown.map((topic, i) => html`<div class="one" key=${i}>
        <${Combo} label=${`Topic ${i + 1}`} placeholder="factory/+/press" value=${topic} options=${topics} invalid=${problemsAt(text, [...at, "dataSources", i], diagnostics).some(p => p.severity === "error")}
          onInput=${v => sources.length ? write(set(text, [...at, "dataSources", i], v)) : put("dataSources", [v])} />
        <button class="bare" aria-label=${`Remove topic ${i + 1}`} disabled=${shown.length === 1} onClick=${() => put("dataSources", shown.filter((_, j) => i !== j))}><${Icon} name="x" size=${16} /></button></div>`)}</div>
      <div><button class="small" onClick=${() => put("dataSources", [...shown, ""])}><${Icon} name="plus" size=${14} />Another topic</button></div>
      <div class="hint">${type === "Kafka" ? "Names of topics." : html`<code>+</code> stands for one level, <code>#</code> for all that follow. Topics that are live on the local broker are suggested.`}</div>
    </div>
    <${Said} problems=${problemsAt(text, at, diagnostics)} />
    <div class="cols">
      <${Field} id=${profile} label="Profile" hint="Whose instances run the flow."><select id=${profile} value=${str(flow.root.profileRef ?? "default")} onChange=${e => write(set(text, ["profileRef"], e.target.value))}>
        ${[...new Set(["default", ...profiles, str(flow.root.profileRef ?? "default")])].map(p => html`<option value=${p}>${p}</option>`)}</select></${Field}>
      <${Field} id=${persist} label="Keep on disk" hint="What waits is on synced disk, whatever the source does."><select id=${persist} value=${str(flow.root.requestDiskPersistence ?? "Disabled")}
        onChange=${e => write(set(text, ["requestDiskPersistence"], e.target.value === "Disabled" ? undefined : e.target.value))}><option value="Disabled">Disabled</option><option value="Enabled">Enabled</option></select></${Field}>
    </div>
  </div>`;
}

// The inputs of a rule: each has a number, by which the formula calls it.
function Inputs({ inputs, fields, onChange, label, first = 1, placeholder = "temperature" }) {
  const shown = inputs.length ? inputs : [];
  return html`<div class="field"><span class="label">${label}</span><div class="inputs">
    ${shown.map((path, i) => html`<div class="one" key=${i}><span class="dollar">$${i + first}</span>
      <${Combo} label=${`${label} ${i + 1}`} placeholder=${placeholder} value=${str(path)} options=${fields} onInput=${v => onChange(shown.map((p, j) => i === j ? v : p))} />
      <button class="bare" aria-label=${`Remove input ${i + 1}`} onClick=${() => onChange(shown.filter((_, j) => i !== j))}><${Icon} name="x" size=${16} /></button></div>`)}
    <div><button class="small" onClick=${() => onChange([...shown, ""])}><${Icon} name="plus" size=${14} />Input</button></div></div></div>`;
}

// Changes the list at `path` below the transformation, which is made if there is none.
function editor(text, write, part) {
  const based = withTransform(text);
  const at = [...readFlow(based)?.at.transform ?? [], part];
  return {
    at,
    put: (i, key, value) => write(set(based, [...at, i, ...(key ? [key] : [])], value)),
    add: (list, value) => write(list.length ? set(based, [...at, list.length], value) : set(based, at, [value])),
    remove: (list, i) => write(list.length > 1 ? set(based, [...at, i], undefined) : set(based, at, undefined)),
    move: (from, to) => write(move(based, at, from, to)),
  };
}

const METADATA = [["$metadata.topic", "the topic it came on"], ["$metadata.user_property.", "a user property"], ["$metadata.content_type", ""]];

function RuleHead({ children, i, list, edit }) {
  return html`<div class="top">${children}<span class="grow"></span>
    <button class="bare" aria-label="Move up" disabled=${i === 0} onClick=${() => edit.move(i, i - 1)}><${Icon} name="up" size=${16} /></button>
    <button class="bare" aria-label="Move down" disabled=${i === list.length - 1} onClick=${() => edit.move(i, i + 1)}><${Icon} name="down" size=${16} /></button>
    <button class="bare" aria-label="Remove the rule" onClick=${() => edit.remove(list, i)}><${Icon} name="x" size=${16} /></button></div>`;
}

export function FilterForm({ flow, text, write, fields, functions, diagnostics, tried, words }) {
  const edit = editor(text, write, "filter");
  const seen = tried?.results ?? [];
  const dropped = seen.filter(r => r.outcome === "filtered").length;
  return html`<div class="stack">
    ${words.length > 0 ? html`<div class="stack-s">${words.map(w => html`<p class="words">${w[0].toUpperCase() + w.slice(1)}.</p>`)}</div>`
      : html`<p class="quiet">Every message goes on. A rule says which ones do not.</p>`}
    ${seen.length > 0 && flow.filter.length > 0 && html`<p class="small quiet" role="status">Of the last ${seen.length} messages it would drop ${dropped}.</p>`}
    <div class="rules">${flow.filter.map((rule, i) => {
      const inputs = Array.isArray(rule.inputs) ? rule.inputs : [];
      return html`<div class="rule" key=${i} role="group" aria-label=${`Filter rule ${i + 1}`}><${RuleHead} i=${i} list=${flow.filter} edit=${edit}><h3>Rule ${i + 1}</h3></${RuleHead}>
        <${Inputs} label="Fields" inputs=${inputs} fields=${[...fields, ...METADATA]} onChange=${v => edit.put(i, "inputs", v)} />
        <div class="field"><span class="label">True or false of a message</span><${Expression} label=${`Expression of filter rule ${i + 1}`} placeholder="$1 < 20" value=${str(rule.expression)} inputs=${inputs} functions=${functions}
          problems=${problemsAt(text, [...edit.at, i, "expression"], diagnostics)} onInput=${v => edit.put(i, "expression", v)} /></div>
        <${Said} problems=${problemsAt(text, [...edit.at, i, "inputs"], diagnostics)} />
      </div>`;
    })}</div>
    <div><button onClick=${() => edit.add(flow.filter, { inputs: [fields[0]?.[0] ?? ""], expression: "" })}><${Icon} name="plus" size=${16} />Add a rule</button></div>
  </div>`;
}

export function EnrichForm({ flow, text, write, fields, functions, diagnostics, keys }) {
  const edit = editor(text, write, "datasets");
  return html`<div class="stack">
    <p class="quiet">A dataset is a list of records in the <a href="#/state">state store</a>. The record that belongs to a message can be used in filters and maps, as <code>$context(key).field</code>.</p>
    <div class="rules">${flow.datasets.map((dataset, i) => {
      const inputs = Array.isArray(dataset.inputs) ? dataset.inputs : [];
      return html`<div class="rule" key=${i} role="group" aria-label=${`Dataset ${i + 1}`}><${RuleHead} i=${i} list=${flow.datasets} edit=${edit}><h3>Dataset ${i + 1}</h3></${RuleHead}>
        <div class="field"><span class="label">Key in the state store</span><${Combo} label=${`Key of dataset ${i + 1}`} placeholder="machines as m" value=${str(dataset.key)} options=${keys} onInput=${v => edit.put(i, "key", v)} /></div>
        <${Inputs} label="Compared" placeholder="$source.machine.id" inputs=${inputs} fields=${fields.map(([f, v]) => [`$source.${f}`, v])} onChange=${v => edit.put(i, "inputs", v)} />
        <div class="field"><span class="label">When a record belongs to the message</span><${Expression} label=${`Condition of dataset ${i + 1}`} placeholder="$1 == $2" value=${str(dataset.expression)} inputs=${inputs} functions=${functions}
          problems=${problemsAt(text, [...edit.at, i, "expression"], diagnostics)} onInput=${v => edit.put(i, "expression", v)} /></div>
        <${Said} problems=${[...problemsAt(text, [...edit.at, i, "inputs"], diagnostics), ...problemsAt(text, [...edit.at, i, "key"], diagnostics)]} />
      </div>`;
    })}</div>
    <div><button onClick=${() => edit.add(flow.datasets, { key: "", inputs: ["$source.", "$context."], expression: "$1 == $2" })}><${Icon} name="plus" size=${16} />Add a dataset</button></div>
  </div>`;
}

// What a map rule is for people; AIO's portal uses the same types.
const KINDS = { all: "Pass through", rename: "Rename", compute: "Compute", fresh: "New property", remove: "Remove" };
function kindOf(rule) {
  const inputs = Array.isArray(rule.inputs) ? rule.inputs : [];
  if (rule.output === "" || rule.output === null) return "remove";
  if (inputs.length === 0 || rule.type === "NewProperties") return "fresh";
  if (rule.expression !== undefined || rule.type === "Compute") return "compute";
  if (inputs.length === 1 && inputs[0] === rule.output || rule.type === "PassThrough") return "all";
  return "rename";
}

const FRESH = {
  all: first => ({ type: "PassThrough", inputs: ["*"], output: "*" }),
  rename: first => ({ type: "Rename", inputs: [first], output: "" }),
  compute: first => ({ type: "Compute", inputs: [first], output: first, expression: "$1" }),
  fresh: () => ({ type: "NewProperties", inputs: [], output: "", expression: '""' }),
  remove: first => ({ inputs: [first], output: "" }),
};

export function MapForm({ flow, text, write, fields, functions, diagnostics, tried }) {
  const edit = editor(text, write, "map");
  // a rule that is being named is no rule that removes
  const [named, setNamed] = useState({});
  const first = fields[0]?.[0] ?? "";
  const add = kind => {
    const rule = FRESH[kind](first);
    setNamed({ ...named, [flow.map.length]: kind });
    edit.add(flow.map, rule);
  };
  return html`<div class="stack">
    ${flow.map.length === 0 && html`<p class="quiet">Without rules a message stays as it is, byte for byte. With rules it has what they write, and nothing else: begin with “Pass through”, then change what is to be different.</p>`}
    <div class="rules">${flow.map.map((rule, i) => {
      const inputs = Array.isArray(rule.inputs) ? rule.inputs : [];
      const kind = rule.output === "" && rule.type === "Rename" ? "rename" : named[i] === "fresh" && inputs.length === 0 ? "fresh" : kindOf(rule);
      const outcome = tried?.results?.find(r => r.outcome === "passed") ?? tried?.results?.[0];
      const result = outcome?.outcome === "passed" && rule.output && !str(rule.output).includes("*") ? valueAt(outcome.message, str(rule.output)) : undefined;
      const problems = key => problemsAt(text, [...edit.at, i, key], diagnostics);
      return html`<div class="rule" key=${i} role="group" aria-label=${`Map rule ${i + 1}`}>
        <${RuleHead} i=${i} list=${flow.map} edit=${edit}><h3>${i + 1}</h3>
          <select aria-label=${`What map rule ${i + 1} does`} value=${kind} onChange=${e => { setNamed({ ...named, [i]: e.target.value }); edit.put(i, null, FRESH[e.target.value](str(inputs[0] ?? first))); }}>
            ${Object.entries(KINDS).map(([id, name]) => html`<option value=${id}>${name}</option>`)}</select></${RuleHead}>
        <div class="ways">
          ${kind === "fresh" ? html`<p class="quiet small">A value of its own, from no field.</p>` : html`<${Inputs} label=${kind === "remove" ? "Left out" : "From"} inputs=${inputs} fields=${[["*", "every field"], ...fields, ...METADATA]} placeholder="temperature or *" onChange=${v => edit.put(i, "inputs", v)} />`}
          ${kind !== "remove" && html`<span class="arrow"><${Icon} name="arrow" size=${18} /></span>
          <div class="field"><span class="label">To</span><${Combo} label=${`Output of map rule ${i + 1}`} placeholder=${inputs[0] ?? "name"} value=${str(rule.output)} options=${[...new Set([...inputs.map(str), ...fields.map(([f]) => f)])]} onInput=${v => edit.put(i, "output", v)} /></div>`}
        </div>
        ${(kind === "compute" || kind === "fresh") && html`<div class="field"><span class="label">Formula</span><${Expression} label=${`Formula of map rule ${i + 1}`} placeholder="cToF($1)" value=${str(rule.expression)} inputs=${inputs} functions=${functions}
          problems=${problems("expression")} onInput=${v => edit.put(i, "expression", v)} /></div>`}
        <${Said} problems=${[...problems("inputs"), ...problems("output")]} />
        ${outcome && problems("expression").every(p => p.severity !== "error") && (result !== undefined ? html`<div class="preview" aria-label=${`Result of map rule ${i + 1}`}><span class="quiet">on a real message </span>${JSON.stringify(result)}</div>`
          : outcome.outcome !== "passed" && i === flow.map.length - 1 && html`<div class=${`preview ${outcome.outcome === "failed" ? "err" : ""}`}>${outcome.outcome === "failed" ? outcome.reason : "every message so far is filtered"}</div>`)}
      </div>`;
    })}</div>
    <div class="row wrap"><span class="quiet small">Add</span>${Object.entries(KINDS).map(([kind, name]) => html`<button class="small" key=${kind} onClick=${() => add(kind)}><${Icon} name="plus" size=${14} />${name}</button>`)}</div>
  </div>`;
}

const WHERE = { Mqtt: ["MQTT topic", "mes/${inputTopic.2}/press", html`<code>${"${inputTopic}"}</code> is the topic a message came on, <code>${"${inputTopic.2}"}</code> its second level.`],
  Kafka: ["Kafka topic", "telemetry", "The name of the topic."], DataExplorer: ["Table", "Telemetry", "The table in the database."], LocalStorage: ["Folder", "telemetry", "A folder in the volume."] };

export function DestinationForm({ flow, text, write, endpoints, schemas, topics, diagnostics }) {
  const at = flow.at.destination ?? ["operations", 1, "destinationSettings"];
  const put = (key, value) => write(set(text, [...at, key], value));
  const type = endpoints.find(e => e.name === flow.destination.endpointRef)?.type ?? "Mqtt";
  const [label, placeholder, hint] = WHERE[type] ?? ["Container or table", "telemetry", "As the endpoint's type calls it."];
  const storage = !["Mqtt", "Kafka", "OpenTelemetry"].includes(type);
  const headers = Array.isArray(flow.destination.headers) ? flow.destination.headers : [];
  const where = useId(), format = useId(), schema = useId();
  const transform = (based, key, value) => { const next = withTransform(based); return set(next, [...readFlow(next).at.transform, key], value); };
  // what is said of the transformation as a whole is of its format and its schema
  const inParts = ["datasets", "filter", "map"].flatMap(part => flow.at.transform ? problemsAt(text, [...flow.at.transform, part], diagnostics).map(p => p.line) : []);
  const ofOutput = storage && flow.at.transform ? problemsAt(text, flow.at.transform, diagnostics).filter(p => !inParts.includes(p.line)) : [];
  const columns = type => ["LocalStorage", "DataLakeStorage", "FabricOneLake"].includes(type);
  const formats = columns(type) ? ["Delta", "Parquet"] : ["Delta", "Parquet", "Json"];
  const chosen = str(flow.transform.serializationFormat ?? "Json");
  // files and tables take no JSON, which is what there is if nothing is said
  const choose = name => {
    const next = set(text, [...at, "endpointRef"], name);
    write(columns(endpoints.find(e => e.name === name)?.type) && chosen === "Json" ? transform(next, "serializationFormat", "Delta") : next);
  };
  return html`<div class="form">
    <${EndpointSelect} label="Endpoint" value=${str(flow.destination.endpointRef)} endpoints=${endpoints} onChange=${choose} />
    <${Field} id=${where} label=${label} hint=${hint}>
      <${Combo} id=${where} placeholder=${placeholder} value=${str(flow.destination.dataDestination)} options=${type === "Mqtt" ? ["${inputTopic}", ...topics.map(t => Array.isArray(t) ? t[0] : t)] : []} onInput=${v => put("dataDestination", v)} /></${Field}>
    ${storage && html`<div class="cols">
      <${Field} id=${format} label="Format"><select id=${format} value=${chosen} onChange=${e => write(transform(text, "serializationFormat", e.target.value))}>${[...new Set([...formats, chosen])].map(f => html`<option value=${f}>${f}</option>`)}</select></${Field}>
      <${Field} id=${schema} label="Schema" hint=${html`What the columns are. <a href="#/schemas/new">Generate one from live messages</a>.`}><${Combo} id=${schema} value=${str(flow.transform.schemaRef)} placeholder="aio-sr://namespace/name:1" options=${schemas} onInput=${v => write(transform(text, "schemaRef", v || undefined))} /></${Field}></div>`}
    <${Said} problems=${[...problemsAt(text, at, diagnostics), ...ofOutput]} />
    ${!storage && html`<div class="field"><span class="label">Headers</span><div class="inputs">${headers.map((header, i) => html`<div class="one" key=${i}>
        <select aria-label=${`What header ${i + 1} does`} value=${str(header.actionType)} onChange=${e => put("headers", headers.map((h, j) => i === j ? { ...h, actionType: e.target.value, ...(e.target.value === "Remove" ? { value: undefined } : { value: h.value ?? "" }) } : h))}>
          <option value="AddIfNotPresent">Add if not there</option><option value="AddOrReplace">Add or replace</option><option value="Remove">Remove</option></select>
        <input class="mono" aria-label=${`Name of header ${i + 1}`} value=${str(header.key)} onInput=${e => put("headers", headers.map((h, j) => i === j ? { ...h, key: e.target.value } : h))} />
        ${header.actionType !== "Remove" && html`<input class="mono" aria-label=${`Value of header ${i + 1}`} value=${str(header.value)} onInput=${e => put("headers", headers.map((h, j) => i === j ? { ...h, value: e.target.value } : h))} />`}
        <button class="bare" aria-label=${`Remove header ${i + 1}`} onClick=${() => put("headers", headers.length > 1 ? headers.filter((_, j) => i !== j) : undefined)}><${Icon} name="x" size=${16} /></button></div>`)}
      <div><button class="small" onClick=${() => put("headers", [...headers, { actionType: "AddOrReplace", key: "", value: "" }])}><${Icon} name="plus" size=${14} />Header</button></div></div>
      <div class="hint">User properties of MQTT messages, headers of Kafka records.</div></div>`}
  </div>`;
}
