// The local broker: its clients, and what is published, as a tree of topics.

import { html, useEffect, useMemo, useRef, useState, Chip, Empty, Tabs, Trouble, bytes, count, perSecond, plural, useAsked, useId } from "./parts.js";
import { api, enc, events } from "./api.js";
import { useLive } from "./live.js";
import { Message, payloadText } from "./messages.js";
import { ManifestPage } from "./manifest.js";
import { list } from "./resources.js";

export function BrokerPage({ path }) {
  const { broker, flows } = useLive();
  const tab = path[0] || "topics";
  if (tab === "settings" && path[1]) return html`<${ManifestPage} kind="Broker" path=${path.slice(1)} template=${NEW} base="broker/settings" title="Broker setting" heading="Settings of the local broker"
    note="Changed settings take effect when the instance is started the next time. What connects by the command line's listeners goes on meanwhile." />`;
  if (!flows) return html`<h1>Local broker</h1>`;
  if (!broker) return html`<h1>Local broker</h1><section class="card"><${Empty} icon="broker" title="The broker is another process"><p>This instance was told to use another broker for the host <code>aio-broker</code>, so what it holds is not known here.</p></${Empty}></section>`;
  return html`<div class="head"><div class="grow"><h1>Local broker</h1>
      <p class="sub">${plural(broker.connections, "client")} connected, ${plural(broker.sessions, "session")}, ${plural(broker.subscriptions, "subscription")}, ${plural(broker.retainedMessages, "retained message")}, ${count(broker.queuedMessages)} queued${broker.queuedMessages ? ` (${bytes(broker.queuedBytes)})` : ""}.</p></div></div>
    <section class="card"><${Tabs} label="What to see of the broker" value=${tab} onChange=${id => { location.hash = `#/broker/${id}`; }} tabs=${[["topics", "Topics"], ["clients", "Clients"], ["retained", "Retained"], ["settings", "Settings"]]} />
      ${tab === "clients" ? html`<${Clients} />` : tab === "retained" ? html`<${Retained} />` : tab === "settings" ? html`<${Settings} />` : html`<${Topics} />`}</section>`;
}

function useEvery(ask, milliseconds) {
  const asked = useAsked(ask, []);
  useEffect(() => {
    const timer = setInterval(() => document.hidden || asked.again(), milliseconds);
    return () => clearInterval(timer);
  }, []);
  return asked;
}

const NEW = (name, namespace) => `apiVersion: tidegate.dev/v1
kind: Broker
metadata:
  name: ${name}
  namespace: ${namespace}
spec: {}
`;

function Settings() {
  const asked = useAsked(() => list("Broker"), []);
  const { items } = asked.value ?? { items: [] };
  return html`<div class="body stack"><${Trouble} error=${asked.error} />
    ${asked.value && (items.length === 0 ? html`<div class="empty"><p>It listens where the command line says, and lets in whoever comes from this machine. A <code>Broker</code> resource adds listeners, TLS, users, rights and limits.</p>
        <a class="button main" href="#/broker/settings/new">Write settings</a></div>`
      : items.map(item => html`<div class="row" key=${item.name}><div class="grow"><b>${item.name}</b><div class="quiet small">${item.namespace}</div></div><a class="button small" href=${`#/broker/settings/${enc(item.namespace)}/${enc(item.name)}`}>Open</a></div>`))}</div>`;
}

function Clients() {
  const asked = useEvery(() => api("/broker/clients"), 2000);
  const [words, setWords] = useState("");
  const all = asked.value?.clients ?? [];
  const shown = all.filter(c => `${c.clientId} ${c.username ?? ""} ${c.subscriptions.join(" ")}`.toLowerCase().includes(words.toLowerCase()));
  return html`<div class="body stack"><${Trouble} error=${asked.error} />
    <label class="row"><span class="unseen">Find clients</span><input type="search" placeholder="Find by client id, user, subscription" value=${words} onInput=${e => setWords(e.target.value)} /></label>
    <div class="scroll-x"><table><thead><tr><th>Client</th><th>Connected</th><th>From</th><th>Subscriptions</th><th class="r">Queued</th></tr></thead><tbody>
      ${shown.slice(0, 300).map(c => html`<tr key=${c.clientId}><td class="mono small wrap-any">${c.clientId}${c.username && html`<div class="quiet">${c.username}</div>`}</td>
        <td><${Chip} mood=${c.connected ? "good" : "off"}>${c.connected ? "Yes" : "No"}</${Chip}></td><td class="mono small nowrap">${c.address ?? "this process"}</td>
        <td class="mono small wrap-any">${c.subscriptions.slice(0, 6).map(s => html`<div>${s}</div>`)}${c.subscriptions.length > 6 && html`<div class="quiet">and ${c.subscriptions.length - 6} more</div>`}</td>
        <td class="r">${count(c.queuedMessages)}${c.queuedBytes > 0 && html`<div class="quiet small">${bytes(c.queuedBytes)}</div>`}</td></tr>`)}
    </tbody></table></div>${shown.length > 300 && html`<p class="quiet small">The first 300 of ${count(shown.length)}.</p>`}</div>`;
}

function Retained() {
  const asked = useEvery(() => api("/broker/topics"), 3000);
  const all = asked.value?.retained ?? [];
  return html`<div class="body"><${Trouble} error=${asked.error} />${all.length === 0 ? html`<p class="quiet">No message is retained.</p>` : html`<table><thead><tr><th>Topic</th><th class="r">Size</th></tr></thead><tbody>
    ${all.slice(0, 500).map(t => html`<tr key=${t.topic}><td class="mono small wrap-any">${t.topic}</td><td class="r">${bytes(t.bytes)}</td></tr>`)}</tbody></table>`}</div>`;
}

const TOPICS_MAX = 2000;

function Topics() {
  const [filter, setFilter] = useState("#");
  const [typed, setTyped] = useState("#");
  const [chosen, setChosen] = useState(null);
  const [topics, setTopics] = useState(() => new Map());
  const [state, setState] = useState(false);
  const id = useId();
  useEffect(() => {
    const found = new Map();
    let fresh = false;
    setTopics(found);
    const end = events(`/broker/messages?filter=${enc(filter)}`, data => {
      const message = JSON.parse(data);
      const known = found.get(message.topic);
      if (!known && found.size >= TOPICS_MAX) return;
      found.set(message.topic, { message, n: (known?.n ?? 0) + 1, at: Date.now(), last: [{ message, at: Date.now() }, ...(known?.last ?? [])].slice(0, 10) });
      fresh = true;
    }, setState);
    const timer = setInterval(() => { if (fresh) { fresh = false; setTopics(new Map(found)); } }, 500);
    return () => { end(); clearInterval(timer); };
  }, [filter]);
  const tree = useMemo(() => treeOf(topics), [topics]);
  const one = chosen && topics.get(chosen);
  return html`<div class="body stack">
    <form class="row" onSubmit=${e => { e.preventDefault(); setFilter(typed || "#"); }}><label for=${id} class="small nowrap">Topic filter</label><input id=${id} class="mono" value=${typed} onInput=${e => setTyped(e.target.value)} /><button>Watch</button></form>
    ${topics.size === 0 ? html`<div class="empty"><p>${state ? "Watching. Topics show as messages come." : "Connecting to the instance."}</p></div>` : html`<div class="side">
      <div class="tree" role="group" aria-label="Topics">${branches(tree, chosen, setChosen)}${topics.size >= TOPICS_MAX && html`<p class="quiet small">The first ${count(TOPICS_MAX)} topics; a narrower filter shows others.</p>`}</div>
      ${one ? html`<div class="stack"><div class="row wrap"><h2 class="mono wrap-any grow">${chosen}</h2><span class="small quiet">${plural(one.n, "message")} since you look</span></div>
          <section class="card body"><${Message} message=${one.message} /></section>
          <table><thead><tr><th>At</th><th>Payload</th></tr></thead><tbody>${one.last.map((m, i) => html`<tr key=${i}><td class="nowrap quiet">${new Date(m.at).toLocaleTimeString("en-GB")}</td><td class="mono small wrap-any">${payloadText(m.message).slice(0, 160)}</td></tr>`)}</tbody></table></div>`
        : html`<div class="empty"><p>Choose a topic to see its messages.</p></div>`}</div>`}
  </div>`;
}

function treeOf(topics) {
  const root = { children: new Map(), n: 0 };
  for (const [topic, { n, message }] of [...topics].sort(([a], [b]) => a.localeCompare(b))) {
    let here = root;
    for (const level of topic.split("/")) {
      if (!here.children.has(level)) here.children.set(level, { children: new Map(), n: 0 });
      here = here.children.get(level);
      here.n += n;
    }
    here.topic = topic;
    here.message = message;
  }
  return root;
}

const branches = (node, chosen, choose) => [...node.children].map(([level, child]) => html`<div key=${level}>
  ${child.topic !== undefined && html`<div class="leaf"><button class="bare small mono" aria-pressed=${String(child.topic === chosen)} onClick=${() => choose(child.topic)}>${level || "(empty)"}</button><span class="small quiet num">${count(child.n)}</span><span class="small quiet mono cut grow">${payloadText(child.message).slice(0, 60)}</span></div>`}
  ${child.children.size > 0 && html`<details open=${true}><summary><span class="mono small">${level || "(empty)"}/</span> <span class="small quiet num">${count(child.n)}</span></summary>${branches(child, chosen, choose)}</details>`}</div>`);
