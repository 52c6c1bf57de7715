// Dead letters: what could not be processed, to read, to mend, to send through once more, to drop.

import { html, useEffect, useMemo, useState, Dialog, Empty, Field, Icon, Sentence, Trouble, bytes, count, plural, since, toast, useAsked, useId } from "./parts.js";
import { api, enc } from "./api.js";
import { live, useLive } from "./live.js";
import { Message, payloadText } from "./messages.js";

const link = flow => `#/letters/${enc(flow.namespace)}/${enc(flow.name)}`;

export function Letters({ path }) {
  const { flows } = useLive();
  if (!flows) return html`<h1>Dead letters</h1>`;
  const [namespace, name] = path;
  const full = flows.filter(flow => flow.letters > 0 || flow.namespace === namespace && flow.name === name).sort((a, b) => b.letters - a.letters || a.key.localeCompare(b.key));
  const chosen = full.find(flow => flow.namespace === namespace && flow.name === name) ?? full[0];
  return html`<div class="head"><div class="grow"><h1>Dead letters</h1>
      <p class="sub">Messages that could not be processed, or that the destination refused for good. They are kept until you send them through once more or drop them.</p></div></div>
    ${!chosen ? html`<section class="card"><${Empty} icon="letter" title="No dead letters"><p>Every message so far could be processed. What can't be shows here, with the reason and the rule that failed.</p></${Empty}></section>`
      : html`<div class="side">
        <nav class="card list" aria-label="Data flows with dead letters">${full.map(flow => html`<a key=${flow.key} class="entry" href=${link(flow)} aria-current=${flow === chosen ? "true" : undefined}>
          <span class="row"><b class="grow cut">${flow.name}</b><span class="num">${count(flow.letters)}</span></span><span class="quiet small">${flow.namespace}</span></a>`)}</nav>
        <${Box} key=${chosen.key} flow=${chosen} /></div>`}`;
}

function Box({ flow }) {
  const query = `?namespace=${enc(flow.namespace)}`;
  const path = `/dataflows/${enc(flow.name)}/dead-letters`;
  const asked = useAsked(() => api(`${path}${query}&limit=200`), [flow.key]);
  const [opened, setOpened] = useState(null);
  const [sure, setSure] = useState(false);
  const letters = asked.value?.deadLetters ?? [];
  // a new letter, or one that went: look again
  useEffect(() => { asked.again(); }, [flow.letters, flow.messages.deadLettered]);
  const run = async (what, said) => {
    try {
      toast(said(await what()));
    } catch (error) {
      toast(error.message, { bad: true });
    }
    asked.again();
    live.refresh();
  };
  const replay = body => run(() => api(`${path}/replay${query}`, { method: "POST", json: body }), ({ replayed }) => `${plural(replayed, "message")} sent through once more`);
  const drop = ids => run(() => api(`${path}${query}${ids.map(id => `&id=${id}`).join("")}`, { method: "DELETE" }), ({ dropped }) => `${plural(dropped, "letter")} dropped`);
  const one = letters.find(letter => letter.id === opened);
  return html`<section class="card" aria-label=${`Dead letters of ${flow.name}`}>
    <header><h2><a href=${`#/flow/${enc(flow.namespace)}/${enc(flow.name)}`}>${flow.name}</a></h2>
      ${asked.value && html`<span class="small quiet">${plural(asked.value.count, "letter")}, ${bytes(asked.value.bytes)}${asked.value.dropped ? `, ${count(asked.value.dropped)} fell out` : ""}</span>`}
      <button class="small" disabled=${letters.length === 0} onClick=${() => replay({})}>Replay all</button>
      <button class="small bad" disabled=${letters.length === 0} onClick=${() => setSure(true)}>Drop all</button></header>
    <${Trouble} error=${asked.error} />
    ${letters.length === 0 ? html`<div class="empty">The box is empty.</div>` : html`<div class="scroll-x"><table><thead><tr><th>Taken</th><th>Why</th><th>Topic and payload</th><th><span class="unseen">Actions</span></th></tr></thead>
      <tbody>${letters.map(letter => html`<tr key=${letter.id}>
        <td class="nowrap quiet" title=${letter.at}>${since(letter.at)} ago</td>
        <td class="wrap-any"><${Sentence} text=${letter.reason} /></td>
        <td class="mono small">${letter.message && html`<div class="wrap-any">${letter.message.topic}</div><div class="quiet wrap-any">${payloadText(letter.message).slice(0, 140)}</div>`}</td>
        <td class="r"><div class="row"><button class="small" onClick=${() => setOpened(letter.id)}>Open</button><button class="small" onClick=${() => replay({ ids: [letter.id] })}>Replay</button></div></td></tr>`)}</tbody></table></div>`}
    ${one && html`<${Letter} letter=${one} onClose=${() => setOpened(null)} onReplay=${body => { setOpened(null); replay(body); }} onDrop=${() => { setOpened(null); drop([one.id]); }} />`}
    ${sure && html`<${Dialog} title=${`Drop all letters of ${flow.name}?`} onClose=${() => setSure(false)} actions=${html`<button class="main" onClick=${() => { setSure(false); drop([]); }}>Drop ${plural(asked.value.count, "letter")}</button>`}><p>The messages are gone then. This can't be undone.</p></${Dialog}>`}
  </section>`;
}

function Letter({ letter, onClose, onReplay, onDrop }) {
  const original = useMemo(() => JSON.stringify(letter.message, null, 2), [letter.id]);
  const [text, setText] = useState(original);
  const id = useId();
  let parsed = null, wrong = null;
  try { parsed = JSON.parse(text); } catch (error) { wrong = `This is no JSON: ${error.message}`; }
  const changed = text !== original;
  return html`<${Dialog} title="A dead letter" onClose=${onClose} actions=${html`<button class="bad" onClick=${onDrop}>Drop</button>
      <button class="main" disabled=${Boolean(wrong)} onClick=${() => onReplay(changed ? { ids: [letter.id], message: parsed } : { ids: [letter.id] })}>${changed ? "Replay as edited" : "Replay"}</button>`}>
    <div class="stack"><p class="notice bad"><${Sentence} text=${letter.reason} /></p>
      <p class="small quiet">Taken ${new Date(letter.at).toLocaleString("en-GB")}. What is replayed goes through the flow as it is now; it is removed from here once it is settled.</p>
      <${Field} id=${id} label="The message" said=${wrong}><textarea id=${id} class="mono" rows="16" spellcheck=${false} value=${text} onInput=${e => setText(e.target.value)}></textarea></${Field}></div>
  </${Dialog}>`;
}
