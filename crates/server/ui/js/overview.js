// Everything at a glance: troubles first, then every flow.

import { html, useEffect, useLayoutEffect, useMemo, useRef, useState, Chip, Empty, Icon, Sentence, Spark, age, bytes, count, perSecond, plural, since } from "./parts.js";
import { mood, moodWord, useLive } from "./live.js";

const ROW_HEIGHT = 58;
const MOODS = ["bad", "warn", "off", "good"];

const COLUMNS = {
  name: (a, b) => a.key.localeCompare(b.key),
  rate: (a, b) => a.rate.delivered - b.rate.delivered,
  lag: (a, b) => (a.lag ?? -1) - (b.lag ?? -1),
  flight: (a, b) => a.messages.inFlight - b.messages.inFlight,
  dead: (a, b) => a.letters - b.letters,
  health: (a, b) => MOODS.indexOf(mood(b)) - MOODS.indexOf(mood(a)),
};

export const flowLink = flow => `#/flow/${encodeURIComponent(flow.namespace)}/${encodeURIComponent(flow.name)}`;

export function Overview() {
  const { instance, flows, total, broker } = useLive();
  if (!flows) return html`<h1>Overview</h1>`;
  const troubled = flows.filter(flow => ["bad", "warn"].includes(mood(flow)));
  const running = flows.filter(flow => mood(flow) === "good").length;
  return html`
    <div class="head">
      <div class="grow"><h1>Overview</h1>
        <p class="sub">${flows.length === 0 ? "No data flows yet" : troubled.length === 0
          ? `${plural(flows.length, "data flow")}, ${running === flows.length ? "all well" : `${running} running`}`
          : `${count(troubled.length)} of ${plural(flows.length, "data flow")} ${troubled.length === 1 ? "needs" : "need"} attention`}<span class="quiet">${` · up for ${age(instance.uptimeSeconds)}${instance.instanceCount ? ` · instance ${instance.instanceIndex} of ${instance.instanceCount}` : ""}${instance.readOnly ? " · runs files" : ""}`}</span></p>
      </div>
      <div class="actions"><a class="button main" href="#/new"><${Icon} name="plus" size=${17} />New data flow</a></div>
    </div>
    <div class="stack">
      <div class="tiles">
        <${Tile} label="Delivered" value=${perSecond(total.rate.delivered)} unit="messages/s" under=${`${bytes(Math.round(total.rate.bytesDelivered))}/s · ${count(total.messages.delivered)} in all`} spark=${total.spark} />
        <${Tile} label="Taken in" value=${perSecond(total.rate.accepted)} unit="messages/s" under=${`${count(total.messages.accepted)} in all · ${count(total.messages.filtered)} filtered`} spark=${total.sparkIn} />
        <${Tile} label="Waiting" value=${count(total.lag + total.messages.inFlight)} unit="messages" under=${`${count(total.messages.inFlight)} in flight${total.lag ? ` · ${count(total.lag)} at sources` : ""}`} />
        <${Tile} label="Dead letters" value=${count(total.letters)} unit=${total.letters === 1 ? "message" : "messages"} under=${total.letters ? html`<a href="#/letters">Read them</a>` : "all could be processed"} />
        ${broker && html`<${Tile} label="Local broker" value=${count(broker.connections)} unit=${broker.connections === 1 ? "client" : "clients"} under=${`${count(broker.queuedMessages)} queued · ${plural(broker.sessions, "session")}`} />`}
      </div>
      ${troubled.length > 0 && html`<section class="card" aria-labelledby="troubles"><header><h2 id="troubles">Needs attention</h2></header>
        ${troubled.slice(0, 8).map(flow => html`<div class="trouble" key=${flow.key}>
          <div class="stack-s"><a href=${flowLink(flow)}><b>${flow.name}</b></a></div>
          <div><${Chip} mood=${mood(flow)}>${moodWord(flow)}</${Chip}> <span class="quiet small">${flow.state === "running" || flow.health.status !== "Unknown" ? `for ${since(flow.health.lastTransitionTime)}` : ""}</span>
            <div class="wrap-any"><${Sentence} text=${flow.health.message} /></div></div>
          <div class="small quiet mono">${flow.health.reasonCode}</div>
        </div>`)}
        ${troubled.length > 8 && html`<div class="trouble"><span class="quiet">and ${count(troubled.length - 8)} more in the table below</span></div>`}
      </section>`}
      ${flows.length === 0 ? html`<section class="card"><${Empty} title="Nothing moves yet">
          <p>A data flow takes messages from a source, changes them if you want, and hands them to a destination. Nothing is acknowledged before the destination has it.</p>
          <a class="button main" href="#/new">Build the first data flow</a></${Empty}></section>`
        : html`<${Flows} flows=${flows} />`}
    </div>`;
}

const Tile = ({ label, value, unit, under, spark }) => html`<div class="card tile">
  <div class="label">${label}</div>
  <div class="value">${value}<small>${unit}</small></div>
  <div class="under">${under}</div>
  ${spark && html`<${Spark} values=${spark} width=${74} height=${26} />`}
</div>`;

function Flows({ flows }) {
  const [words, setWords] = useState("");
  const [sort, setSort] = useState(["health", false]);
  const shown = useMemo(() => {
    const parts = words.toLowerCase().split(/\s+/).filter(Boolean);
    const text = flow => [flow.key, flow.profile, moodWord(flow), flow.source?.type, flow.destination?.type, flow.source?.endpoint, ...flow.source?.dataSources ?? [], flow.destination?.endpoint, flow.destination?.dataDestination].join(" ").toLowerCase();
    const found = parts.length ? flows.filter(flow => { const t = text(flow); return parts.every(p => t.includes(p)); }) : [...flows];
    const [column, up] = sort;
    found.sort((a, b) => (up ? 1 : -1) * COLUMNS[column](a, b) || COLUMNS.name(a, b));
    if (column === "health" && !up) found.sort((a, b) => MOODS.indexOf(mood(a)) - MOODS.indexOf(mood(b)) || COLUMNS.name(a, b));
    return found;
  }, [flows, words, sort]);
  const head = (id, name, className = "") => html`<div role="columnheader" class=${className} aria-sort=${sort[0] === id ? sort[1] ? "ascending" : "descending" : "none"}>
    <button onClick=${() => setSort(([before, up]) => [id, before === id ? !up : id === "name"])}>${name}</button></div>`;
  return html`<section class="card" aria-labelledby="flows">
    <header><h2 id="flows">Data flows</h2>
      <label class="row"><span class="unseen">Find data flows</span><input type="search" placeholder="Find by name, topic, endpoint, health" size="34" value=${words} onInput=${e => setWords(e.target.value)} /></label>
    </header>
    <div class="vt" role="table" aria-label="Data flows" aria-rowcount=${shown.length + 1}>
      <div role="rowgroup"><div class="vrow vhead" role="row" aria-rowindex="1">
        ${head("name", "Name")}<div role="columnheader" class="c-route">From and to</div>${head("rate", "Delivered/s", "r")}
        <div role="columnheader" class="c-spark">Last minute</div>${head("lag", "Lag", "r c-flight")}${head("flight", "In flight", "r c-flight")}${head("dead", "Dead letters", "r c-dead")}${head("health", "Health")}
      </div></div>
      <${Virtual} rows=${shown} render=${row} />
      ${shown.length === 0 && html`<div class="empty">No data flow fits “${words}”.</div>`}
    </div>
  </section>`;
}

// From what to what; the profile if it is another than most have, and the namespace if flows are in several.
const about = flow => [flow.source && `${flow.source.type} to ${flow.destination.type}`, flow.profile !== "default" && flow.profile, flow.otherNamespace && flow.namespace].filter(Boolean).join(" · ");

const row = flow => html`
  <div role="cell" class="cut"><a class="name" href=${flowLink(flow)}>${flow.name}</a><div class="route cut">${about(flow)}</div></div>
  <div role="cell" class="route mono c-route">${flow.source ? html`<div class="cut" title=${flow.source.dataSources.join(", ")}>${flow.source.dataSources.join(", ")}</div><div class="cut" title=${flow.destination.dataDestination}>→ ${flow.destination.dataDestination}</div>` : "could not be read"}</div>
  <div role="cell" class="r">${perSecond(flow.rate.delivered)}</div>
  <div role="cell" class="c-spark"><${Spark} values=${flow.spark} /></div>
  <div role="cell" class="r c-flight" title=${flow.lag === null ? "not known of this source" : ""}>${flow.lag === null ? "–" : count(flow.lag)}</div>
  <div role="cell" class="r c-flight">${count(flow.messages.inFlight)}${flow.spool?.oldestAgeSeconds > 1 && html`<div class="route">${flow.spool.oldestAgeSeconds} s old</div>`}</div>
  <div role="cell" class="r c-dead">${count(flow.letters)}</div>
  <div role="cell"><${Chip} mood=${mood(flow)}>${moodWord(flow)}</${Chip}></div>`;

// Only the rows that can be seen are in the page; it scrolls as if all were.
function Virtual({ rows, render }) {
  const ref = useRef();
  const [[from, to], setRange] = useState([0, 30]);
  useLayoutEffect(() => {
    const measure = () => {
      const top = -ref.current.getBoundingClientRect().top;
      const first = Math.max(0, Math.floor(top / ROW_HEIGHT) - 8);
      const last = Math.ceil((top + innerHeight) / ROW_HEIGHT) + 8;
      setRange(before => before[0] === first && before[1] === last ? before : [first, last]);
    };
    measure();
    addEventListener("scroll", measure, { passive: true });
    addEventListener("resize", measure);
    return () => { removeEventListener("scroll", measure); removeEventListener("resize", measure); };
  }, [rows.length]);
  return html`<div class="space" role="rowgroup" ref=${ref} style=${{ height: `${rows.length * ROW_HEIGHT}px` }}>
    ${rows.slice(from, to).map((flow, i) => html`<div class="vrow" role="row" key=${flow.key} aria-rowindex=${from + i + 2} style=${{ top: `${(from + i) * ROW_HEIGHT}px` }}>${render(flow)}</div>`)}
  </div>`;
}
