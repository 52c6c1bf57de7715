// A data flow: its picture with live counts, each stage's messages and settings, and its text, which is the same thing.

import { html, useEffect, useMemo, useState, Chip, Dialog, Field, Icon, Sentence, Tabs, Trouble, age, since, toast, useAsked, useId } from "./parts.js";
import { api, enc } from "./api.js";
import { live, mood, moodWord, useLive } from "./live.js";
import { Diagnostics, Editor } from "./editor.js";
import { Graph } from "./graph.js";
import { Vitals } from "./vitals.js";
import { NEW_FLOW, readFlow, set, edit } from "./draft.js";
import { DestinationForm, EnrichForm, FilterForm, MapForm, SourceForm, stageOf } from "./builder.js";
import { LiveMessages, TryOut, fieldsOf, useSamples, useStream, useTry } from "./messages.js";
import { Pending, Review, list, remove, useCheck, useDraft, useUndoKeys, verdict } from "./resources.js";

const FORMS = { source: SourceForm, enrich: EnrichForm, filter: FilterForm, map: MapForm, destination: DestinationForm };
const NAMES = { source: "Source", enrich: "Enrich", filter: "Filter", map: "Map", destination: "Destination" };

// What forms offer: endpoints, profiles, schemas, functions.
async function offers() {
  const [endpoints, profiles, schemas, reference] = await Promise.all([list("DataflowEndpoint"), list("DataflowProfile"),
    api("/schemas").catch(() => ({ schemas: [] })), api("/reference").catch(() => ({ functions: [] }))]);
  const known = endpoints.items.map(item => {
    const spec = item.manifest?.spec ?? item.manifest?.properties ?? {};
    const settings = Object.entries(spec).find(([key]) => key.endsWith("Settings"))?.[1] ?? {};
    return { name: item.name, type: spec.endpointType ?? "", address: settings.host ?? "" };
  });
  if (!known.some(e => e.name === "default")) known.unshift({ name: "default", type: "Mqtt", address: "the local broker" });
  return { endpoints: known, profiles: profiles.items.map(p => p.name), schemas: schemas.schemas.map(s => s.reference), functions: reference.functions, readOnly: endpoints.readOnly };
}

export function FlowPage({ path, isNew }) {
  const [namespace, name] = isNew ? [null, null] : path;
  const resource = useAsked(() => isNew ? newFlow() : loadFlow(namespace, name), [namespace, name]);
  const offered = useAsked(offers, []);
  const { byKey, broker } = useLive();
  if (resource.error && !resource.value) return html`<div class="stack"><h1>${name ?? "New data flow"}</h1><${Trouble} error=${resource.error} /><p><a href="#/">Back to the overview</a></p></div>`;
  if (!resource.value || !offered.value) return html`<h1>${name ?? "New data flow"}</h1>`;
  return html`<${Flow} key=${isNew ? "new" : `${namespace}/${name}`} resource=${resource.value} again=${resource.again} isNew=${isNew} offered=${offered.value} flow=${byKey.get(`${namespace}/${name}`)} broker=${broker} />`;
}

// A flow that stands in Bicep, or in a template with others, is shown as YAML.
async function loadFlow(namespace, name) {
  const resource = await api(`/resources/Dataflow/${enc(namespace)}/${enc(name)}`);
  if (readFlow(resource.text)?.at.source) return resource;
  const documents = { files: [{ name: resource.file, text: resource.text }], namespace };
  const { files } = await api("/convert", { method: "POST", json: { documents, to: "yaml" } }).catch(() => ({ files: [] }));
  const text = files[0]?.text.split(/^---\n/m).find(document => { const flow = readFlow(document); return flow?.at.source && flow.name === name; });
  return text ? { ...resource, text } : resource;
}

async function newFlow() {
  const { flows } = live.state;
  const names = new Set((flows ?? (await api("/dataflows")).dataflows).map(f => f.name));
  let name = "new-flow";
  for (let i = 2; names.has(name); i++) name = `new-flow-${i}`;
  const namespace = flows?.[0]?.namespace ?? "azure-iot-operations";
  return { kind: "Dataflow", namespace, name, text: NEW_FLOW(name, namespace), resourceVersion: null };
}

function Flow({ resource, again, isNew, offered, flow, broker }) {
  const base = isNew ? undefined : resource.text;
  const draft = useDraft(resource.text);
  useUndoKeys(draft);
  useEffect(() => { draft.reset(resource.text); }, [resource.text]);
  const [stage, setStage] = useState("source");
  const [tab, setTab] = useState(isNew ? "settings" : "messages");
  const [showText, setShowText] = useState(true);
  const [jump, setJump] = useState(null);
  const [review, setReview] = useState(false);
  const [other, setOther] = useState(false);
  const read = useMemo(() => readFlow(draft.text), [draft.text]);
  // the picture shows the last text that could be read
  const [shown, setShown] = useState(read);
  useEffect(() => { if (read) setShown(read); }, [read]);
  const id = { kind: "Dataflow", namespace: resource.namespace, name: isNew ? read?.name || resource.name : resource.name };
  const { diagnostics, text: checked, error } = useCheck(draft.text, { ...id, name: resource.name });
  const errors = diagnostics.filter(d => d.severity === "error").length;
  const words = diagnostics.filter(d => d.code === "TG0318").map(d => d.message);
  const troubled = useMemo(() => {
    const all = {};
    for (const d of diagnostics) if (d.severity === "error") { const s = checked && stageOf(checked, d); if (s) all[s] = true; }
    return all;
  }, [diagnostics]);
  const [samples, more] = useSamples(shown, id, flow?.state === "running");
  const fields = useMemo(() => fieldsOf(samples), [samples]);
  const wantsTry = tab === "settings" && (stage === "filter" || stage === "map");
  const tried = useTry(wantsTry ? previewText(draft.text, read) : null, id, samples);
  const topics = useTopics(tab === "settings" && (stage === "source" || stage === "destination"));
  const keys = useAsked(() => stage === "enrich" ? api("/state").then(a => a.keys.map(k => k.key).filter(Boolean), () => []) : Promise.resolve([]), [stage]);
  const done = target => {
    setReview(false);
    location.hash = `#/flow/${enc(target.namespace)}/${enc(target.name)}`;
    if (!isNew) again();
  };
  const Form = FORMS[stage];
  const select = next => { setStage(next); if (!isNew && tab === "try") setTab("messages"); };
  const nameField = useId();
  const enabled = (shown?.root.mode ?? "Enabled") !== "Disabled";
  return html`
    <div class="head"><div class="grow">
      <p class="crumb"><a href="#/">Data flows</a> <span class="quiet">/ ${resource.namespace}</span></p>
      ${isNew ? html`<h1>New data flow</h1>` : html`<h1>${resource.name}</h1>`}
      ${flow && html`<p class="sub"><${Chip} mood=${mood(flow)}>${moodWord(flow)}</${Chip}> <span class="quiet small">for ${since(flow.health.lastTransitionTime)}</span>
        ${mood(flow) !== "good" && html`<span> · <${Sentence} text=${flow.health.message} /></span>`}${flow.health.reasonCode && html`<span class="quiet mono small"> ${flow.health.reasonCode}</span>`}</p>`}
    </div>
    <div class="actions">
      ${isNew ? html`<${Field} id=${nameField} label="Name"><input id=${nameField} class="mono" value=${read?.name ?? ""} onInput=${e => draft.write(edit(draft.text, doc => doc.setIn(["metadata", "name"], e.target.value)))} /></${Field}>`
        : html`<button onClick=${() => draft.write(set(draft.text, ["mode"], enabled ? "Disabled" : "Enabled"))}>${enabled ? "Disable" : "Enable"}</button>
        <button onClick=${() => setOther(true)}>Bicep, ARM</button>
        ${!offered.readOnly && html`<${Delete} resource=${resource} />`}`}
      <button aria-pressed=${String(showText)} onClick=${() => setShowText(!showText)}>${showText ? "Hide YAML" : "Show YAML"}</button>
    </div></div>
    <div class="stack">
      <section class="card" aria-label="Canvas">${shown ? html`<${Graph} flow=${shown} endpoints=${offered.endpoints} live=${flow} selected=${stage} onSelect=${select} troubled=${troubled} words=${words} />` : html`<div class="empty">This text is not one manifest in YAML or JSON, so there is no picture of it.</div>`}
        ${!read && shown && html`<div class="body"><p class="notice warn">The text can't be read just now; the picture is of before.</p></div>`}
        ${flow && html`<${Vitals} flow=${flow} broker=${broker} />`}</section>
      <div class=${`work ${showText ? "" : "alone"}`}>
        <section class="card" aria-label=${NAMES[stage]}>
          <header><h2>${NAMES[stage]}</h2></header>
          <${Tabs} label="What to see of the stage" value=${tab} onChange=${setTab} tabs=${[...(isNew ? [] : [["messages", "Live messages"]]), ["settings", "Settings"], ["try", "Try out"]]} />
          <div class="body">
            ${tab === "messages" ? html`${stage === "filter" && words.map(w => html`<p class="words">${w[0].toUpperCase() + w.slice(1)}.</p>`)}<${LiveMessages} flow=${resource} stage=${stage} />`
              : tab === "try" ? html`<${TryOut} text=${draft.text} id=${id} samples=${samples} again=${more} />`
              : !read ? html`<p class="notice warn">Mend the text first; then the form can show it.</p>`
              : html`<${Form} flow=${read} text=${draft.text} write=${draft.write} endpoints=${offered.endpoints} profiles=${offered.profiles} schemas=${offered.schemas} functions=${offered.functions}
                  fields=${fields} topics=${topics} keys=${keys.value ?? []} diagnostics=${checked === draft.text ? diagnostics : []} tried=${tried} words=${words} />`}
          </div>
        </section>
        ${showText && html`<section class="card" aria-label="YAML"><header><h2>YAML</h2><span class="small quiet" role="status">${error ? error.message : checked !== draft.text ? "checking" : verdict(diagnostics)}</span></header>
          <div class="body stack-s"><${Editor} label="Manifest in YAML" value=${draft.text} onInput=${draft.write} diagnostics=${checked === draft.text ? diagnostics : []} height=${Math.min(620, Math.max(260, draft.text.split("\n").length * 20 + 30))} focusLine=${jump} />
            <${Diagnostics} diagnostics=${diagnostics.filter(d => d.code !== "TG0318")} text=${checked ?? draft.text} onJump=${setJump} /></div></section>`}
      </div>
    </div>
    <${Pending} draft=${draft} base=${base} file=${resource.file} readOnly=${offered.readOnly} errors=${errors} isNew=${isNew} onReview=${() => setReview(true)} onDiscard=${() => isNew ? location.hash = "#/" : draft.reset(base)} />
    ${review && html`<${Review} id=${{ ...id, name: resource.name }} before=${base} version=${resource.resourceVersion} text=${draft.text} onClose=${() => setReview(false)} onDone=${done} />`}
    ${other && html`<${OtherForms} text=${draft.text} id=${id} onUse=${text => { draft.write(text); setOther(false); }} onClose=${() => setOther(false)} />`}`;
}

// A flow without a destination yet can be tried all the same.
function previewText(text, flow) {
  if (!flow?.at.destination || flow.destination.dataDestination) return text;
  return set(text, [...flow.at.destination, "dataDestination"], "preview");
}

function Delete({ resource }) {
  const [asked, setAsked] = useState(false);
  const go = async () => {
    try {
      await remove(resource);
      location.hash = "#/";
    } catch (error) {
      toast(error.message, { bad: true });
      setAsked(false);
    }
  };
  return html`<button class="bad" onClick=${() => setAsked(true)}>Delete</button>
    ${asked && html`<${Dialog} title=${`Delete ${resource.name}?`} onClose=${() => setAsked(false)} actions=${html`<button class="main" onClick=${go}>Delete</button>`}>
      <p>What is under way is settled first. What waits at the source stays there, until its session expires. It can be undone.</p></${Dialog}>`}`;
}

// The same resource in the other forms there are; each can be edited, and becomes the draft again.
function OtherForms({ text, id, onUse, onClose }) {
  const [form, setForm] = useState("bicep");
  const [own, setOwn] = useState(null);
  const [error, setError] = useState(null);
  const ask = (files, to) => api("/convert", { method: "POST", json: { documents: { files, namespace: id.namespace }, to } });
  const said = useAsked(() => ask([{ name: `${id.name}.yaml`, text }], form), [form, text]);
  const file = said.value?.files[0];
  const use = async () => {
    try {
      const { files, lost } = await ask([{ name: file.name, text: own }], "yaml");
      if (lost.length) throw new Error(lost.map(l => l.message).join("; "));
      onUse(files[0].text);
    } catch (failed) { setError(failed); }
  };
  const field = useId();
  const failed = error ?? said.error;
  return html`<${Dialog} title=${`${id.name} in another form`} onClose=${onClose} actions=${html`
      <button disabled=${!file} onClick=${() => navigator.clipboard.writeText(own ?? file.text).then(() => toast("Copied"), e => toast(e.message, { bad: true }))}>Copy</button>
      <button class="main" disabled=${own === null || own === file?.text} onClick=${use}>Use this text</button>`}>
    <div class="stack-s"><${Tabs} label="Form" value=${form} onChange=${f => { setForm(f); setOwn(null); setError(null); }} tabs=${[["bicep", "Bicep"], ["arm", "ARM"], ["cli", "az iot ops"]]} />
      ${failed && (failed.report ? html`<${Diagnostics} diagnostics=${failed.report.diagnostics.filter(d => d.severity === "error")} text=${own ?? text} />` : html`<${Trouble} error=${failed} />`)}
      ${said.value?.lost.concat(said.value.notes).map(remark => html`<p class="notice warn"><${Sentence} text=${remark.message} /></p>`)}
      ${file && html`<${Field} id=${field} label=${file.name}><textarea id=${field} class="mono" rows="22" spellcheck=${false} value=${own ?? file.text} onInput=${e => setOwn(e.target.value)}></textarea></${Field}>`}</div></${Dialog}>`;
}

// Topics with a message on the local broker just now. It listens in short turns, so that a busy broker is not read to the full.
const TURN = 3000, REST = 6000, TOPICS_MAX = 300;
function useTopics(wanted) {
  const [listening, setListening] = useState(true);
  const [topics, setTopics] = useState([]);
  useEffect(() => {
    if (!wanted) return;
    const timer = setTimeout(() => setListening(!listening), listening ? TURN : REST);
    return () => clearTimeout(timer);
  }, [wanted, listening]);
  const { all } = useStream(wanted && listening ? "/broker/messages?filter=%23" : null, { max: 200 });
  useEffect(() => {
    if (!all.length) return;
    setTopics(before => {
      const found = new Map(before);
      for (const m of all) if (found.size < TOPICS_MAX && !m.topic.startsWith("$")) found.set(m.topic, JSON.stringify(m.payload ?? null).slice(0, 60));
      return [...found].sort(([a], [b]) => a.localeCompare(b));
    });
  }, [all]);
  return topics;
}
