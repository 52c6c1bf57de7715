// Messages as they pass, and what a draft would make of them.

import { html, useEffect, useMemo, useRef, useState, Field, Sentence, Trouble, useId } from "./parts.js";
import { api, enc, events } from "./api.js";
import { Json } from "./compare.js";
import { filesWith } from "./resources.js";

// The newest messages of a stream, newest first; `hold` keeps what is shown. A busy stream is drawn a few times a second.
export function useStream(path, { max = 30, hold = false } = {}) {
  const [state, setState] = useState({ path, all: [], open: false });
  const held = useRef(hold);
  held.current = hold;
  useEffect(() => {
    if (!path) return;
    let waiting = [], number = 0;
    setState({ path, all: [], open: false });
    const end = events(path, data => {
      if (waiting.length >= max) waiting.shift();
      waiting.push({ ...JSON.parse(data), number: ++number, seen: Date.now() });
    }, open => setState(s => ({ ...s, open })));
    const timer = setInterval(() => {
      if (!waiting.length || held.current) return;
      const fresh = waiting.reverse();
      waiting = [];
      setState(s => ({ ...s, all: [...fresh, ...s.all].slice(0, max) }));
    }, 400);
    return () => { clearInterval(timer); end(); };
  }, [path]);
  return state.path === path ? state : { path, all: [], open: false };
}

export const payloadText = m => m.payload !== undefined ? JSON.stringify(m.payload) : base64Text(m.payloadBase64 ?? "");

export function base64Text(base64) {
  try {
    const raw = Uint8Array.from(atob(base64), c => c.charCodeAt(0));
    return new TextDecoder("utf-8", { fatal: true }).decode(raw);
  } catch { return base64; }
}

const ABOUT = [["contentType", "Content type"], ["responseTopic", "Response topic"], ["retain", "Retained"], ["messageExpiryInterval", "Expires after, s"], ["keyBase64", "Key"], ["payloadFormatIndicator", "Payload format"]];

// A message, with what differs from `other` marked.
export function Message({ message, other, mark }) {
  const differs = key => other && JSON.stringify(message[key]) !== JSON.stringify(other[key]);
  const users = message.userProperties ?? [];
  return html`<div class="stack-s">
    <div class="mono small wrap-any"><span class="quiet">topic </span>${differs("topic") ? html`<span class=${`json`}><span class=${mark}>${message.topic}</span></span>` : message.topic}</div>
    ${message.payload !== undefined ? html`<${Json} value=${message.payload} other=${other?.payload} mark=${mark} />`
      : html`<div class="json">${base64Text(message.payloadBase64 ?? "")}</div>`}
    ${(users.length > 0 || ABOUT.some(([key]) => message[key] !== undefined && message[key] !== false)) && html`<div class="json small">
      ${ABOUT.filter(([key]) => message[key] !== undefined && message[key] !== false).map(([key, name]) => html`<div><span class="quiet">${name} </span><span class=${differs(key) ? mark : ""}>${String(message[key])}</span></div>`)}
      ${users.map(([name, value]) => html`<div><span class="quiet">${name} </span><span class=${other && !(other.userProperties ?? []).some(([n, v]) => n === name && v === value) ? mark : ""}>${value}</span></div>`)}</div>`}
  </div>`;
}

const STAGES = { source: "source", enrich: "transformed,filtered,dead-lettered", filter: "transformed,filtered", map: "transformed,dead-lettered", destination: "destination,dead-lettered" };
const FATES = { source: ["off", "taken in"], transformed: ["good", "goes on"], destination: ["good", "delivered"], filtered: ["off", "filtered"], "dead-lettered": ["bad", "dead letter"] };

export function LiveMessages({ flow, stage }) {
  const [hold, setHold] = useState(false);
  const [picked, setPicked] = useState(null);
  const stream = useStream(`/tap?namespace=${enc(flow.namespace)}&dataflow=${enc(flow.name)}&stage=${STAGES[stage]}`, { hold });
  useEffect(() => { setPicked(null); setHold(false); }, [stage]);
  if (!stream.all.length) return html`<div class="empty"><p>${stream.open ? "Watching. The next message shows here." : "Connecting to the instance."}</p></div>`;
  const one = stream.all.find(m => m.number === picked) ?? stream.all[0];
  const pick = number => { setPicked(number); setHold(true); };
  const [, fate] = FATES[one.stage];
  return html`<div class="stack">
    <div class="row wrap"><span class="small quiet grow">${hold ? "Held" : "Live"}: the last ${stream.all.length}</span>
      <button class="small" aria-pressed=${String(hold)} onClick=${() => { setHold(!hold); if (hold) setPicked(null); }}>${hold ? "Go on" : "Hold"}</button></div>
    ${one.before ? html`<div class="before-after">
        <section class="card" aria-label="Before"><h3>Before</h3><${Message} message=${one.before} other=${one.message} mark="del" /></section>
        <section class="card" aria-label="After"><h3>After</h3><${Message} message=${one.message} other=${one.before} mark="add" /></section></div>`
      : html`<section class="card body" aria-label=${fate}>${one.reason && html`<p class=${`notice ${one.stage === "dead-lettered" ? "bad" : ""}`}>${fate}: <${Sentence} text=${one.reason} /></p>`}
        <${Message} message=${one.message} /></section>`}
    <div><table class="log"><thead><tr><th>Seen</th><th>Became</th><th>Topic</th><th>Payload</th></tr></thead><tbody>
      ${stream.all.slice(0, 12).map(m => html`<tr key=${m.number} class="pick" aria-selected=${String(m === one)} onClick=${() => pick(m.number)}>
        <td class="nowrap"><button class="bare small" onClick=${() => pick(m.number)}>${new Date(m.seen).toLocaleTimeString("en-GB")}</button></td>
        <td class="nowrap"><span class=${`chip ${FATES[m.stage][0]}`}>${FATES[m.stage][1]}</span></td>
        <td class="mono small"><div class="cut" title=${m.message.topic}>${m.message.topic}</div></td><td class="mono small"><div class="cut" title=${payloadText(m.message)}>${payloadText(m.message).slice(0, 90)}</div></td></tr>`)}
    </tbody></table></div>
  </div>`;
}

// What a draft makes of messages, asked whenever one of them changes. `{results, error}`
export function useTry(text, id, messages) {
  const [said, setSaid] = useState({});
  const turn = useRef(0);
  const asked = JSON.stringify(messages);
  useEffect(() => {
    if (!messages.length || !text) return;
    const mine = ++turn.current;
    const timer = setTimeout(async () => {
      try {
        const documents = { files: await filesWith(text, id), namespace: id.namespace };
        const answer = await api("/transform", { method: "POST", json: { documents, messages } });
        if (mine === turn.current) setSaid({ results: answer.results, messages });
      } catch (error) {
        if (mine === turn.current) setSaid({ error, messages });
      }
    }, 250);
    return () => clearTimeout(timer);
  }, [text, asked, id.name, id.namespace]);
  return said;
}

// How many messages a draft is tried on: enough to see what a filter drops.
const SAMPLES_MAX = 20;

// Messages for trying: the newest that the source gives, or would give. Kept while the draft changes.
export function useSamples(flow, id, running) {
  const topics = (Array.isArray(flow?.source.dataSources) ? flow.source.dataSources : []).map(String).filter(Boolean);
  const local = !flow?.source.endpointRef || flow.source.endpointRef === "default";
  const path = running ? `/tap?namespace=${enc(id.namespace)}&dataflow=${enc(id.name)}&stage=source`
    : local && topics.length ? `/broker/messages?filter=${enc(topics[0].replace(/^\$share\/[^/]+\//, ""))}` : null;
  const [enough, setEnough] = useState(null);
  const stream = useStream(enough === path ? null : path, { max: SAMPLES_MAX });
  const [samples, setSamples] = useState([]);
  useEffect(() => {
    if (!stream.all.length) return;
    setSamples(stream.all.map(m => m.message ?? m).map(({ number, seen, stage, timestamp, ...message }) => message));
    // what is typed is tried on the same messages
    if (stream.all.length >= SAMPLES_MAX) setEnough(path);
  }, [stream.all]);
  return [samples, () => setEnough(null)];
}

// The paths of the fields of some messages, with a value each.
export function fieldsOf(samples) {
  const found = new Map();
  const name = key => /[.*"$]/.test(key) ? JSON.stringify(key) : key;
  const walk = (value, path, depth) => {
    if (found.size > 400) return;
    if (value !== null && typeof value === "object" && !Array.isArray(value) && depth < 8) {
      for (const [key, inner] of Object.entries(value)) walk(inner, path ? `${path}.${name(key)}` : name(key), depth + 1);
    } else if (path && !found.has(path)) found.set(path, JSON.stringify(value));
  };
  samples.forEach(m => walk(m.payload, "", 0));
  return [...found].map(([path, value]) => [path, value.slice(0, 40)]);
}

const at = (value, path) => path.split(".").reduce((v, key) => v?.[key.replace(/^"(.*)"$/, "$1")], value);
export const valueAt = (message, path) => at(message?.payload, path.replace(/^\$source\./, ""));

// A message to edit, and what the draft makes of it.
export function TryOut({ text, id, samples, again }) {
  const [own, setOwn] = useState(null);
  const shown = own ?? JSON.stringify(samples[0] ? { topic: samples[0].topic, ...samples[0] } : { topic: "a/b", payload: {} }, null, 2);
  const parsed = useMemo(() => { try { return { message: JSON.parse(shown) }; } catch (e) { return { error: e.message }; } }, [shown]);
  const { results, error } = useTry(text, id, parsed.message ? [parsed.message] : []);
  const fate = results?.[0];
  const field = useId();
  return html`<div class="before-after">
    <div class="stack-s">
      <${Field} id=${field} label="A message" said=${parsed.error && `This is no JSON: ${parsed.error}`}><textarea id=${field} class="mono" rows="14" spellcheck=${false} value=${shown} onInput=${e => setOwn(e.target.value)}></textarea></${Field}>
      <div class="row"><button class="small" onClick=${() => { setOwn(null); again(); }}>Take the newest</button></div>
    </div>
    <div class="stack-s" aria-live="polite"><h3>${fate ? { passed: "What goes on", filtered: "It is filtered", failed: "It becomes a dead letter" }[fate.outcome] : "What becomes of it"}</h3>
      ${error && (error.report ? html`<p class="notice bad">Mend the errors first; they stand beside the text.</p>` : html`<${Trouble} error=${error} />`)}
      ${fate?.message && html`<section class="card body"><${Message} message=${fate.message} other=${parsed.message} mark="add" /></section>`}
      ${fate?.reason && html`<p class=${`notice ${fate.outcome === "failed" ? "bad" : ""}`}><${Sentence} text=${fate.reason} /></p>`}
      ${fate?.steps.length > 0 && html`<ol class="small quiet stack-s">${fate.steps.map(step => html`<li class="wrap-any"><${Sentence} text=${step} /></li>`)}</ol>`}
    </div>
  </div>`;
}
