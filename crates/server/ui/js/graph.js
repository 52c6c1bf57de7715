// The way through a data flow as a picture: five stages, and what goes between them now.

import { html, count, perSecond } from "./parts.js";

const HEIGHT = 100, TOP = 16, LEFT = 4;
// On a tablet everything is nearer together, so that letters are no smaller than they must be.
const sizes = () => innerWidth < 1000 ? [150, 52, 15] : [172, 68, 18];
export const STAGES = ["source", "enrich", "filter", "map", "destination"];

const GLYPHS = {
  source: "M3 8h8M8 4l4 4-4 4M14 3v10", enrich: "M8 3v10M3 8h10", filter: "M2 3h12l-4.5 5.500V14L6.5 12V8.500z",
  map: "M3 4h4c3 0 3 8 6 8M3 12h4c3 0 3-8 6-8", destination: "M2 3v10M5 8h9M11 5l3 3-3 3",
};

const cut = (text, max) => text.length > max ? `${text.slice(0, max - 1)}…` : text;
const rulesWord = (n, one) => n === 1 ? `1 ${one}` : `${n} ${one}s`;

// What each stage shows: kind, title, detail, and whether it does anything.
function stages(flow, endpoints) {
  const typeOf = name => endpoints?.find(e => e.name === name)?.type ?? (name === "default" ? "Mqtt" : "");
  const sources = (Array.isArray(flow.source.dataSources) ? flow.source.dataSources : []).map(String);
  // a rule that changes something says more than one that passes on
  const outputs = flow.map.map(rule => rule.output).filter(output => output && output !== "*").map(String);
  return {
    source: { title: flow.source.endpointRef ?? "no endpoint", type: typeOf(flow.source.endpointRef), detail: sources.length > 1 ? `${cut(sources[0], 15)} +${sources.length - 1}` : sources[0] ?? "no topic yet", busy: true },
    enrich: { title: flow.datasets.length ? rulesWord(flow.datasets.length, "dataset") : "Nothing added", detail: flow.datasets.map(d => String(d.key ?? "")).join(", "), busy: flow.datasets.length > 0 },
    filter: { title: flow.filter.length ? rulesWord(flow.filter.length, "rule") : "All messages", detail: String(flow.filter[0]?.expression ?? ""), busy: flow.filter.length > 0 },
    map: { title: flow.map.length ? rulesWord(flow.map.length, "rule") : "As it is", detail: outputs.length > 1 ? `${cut(outputs[0], 14)} +${outputs.length - 1}` : outputs[0] ?? "", busy: flow.map.length > 0 },
    destination: { title: flow.destination.endpointRef ?? "no endpoint", type: typeOf(flow.destination.endpointRef), detail: String(flow.destination.dataDestination || "no topic yet"), busy: true },
  };
}

const NAMES = { source: "Source", enrich: "Enrich", filter: "Filter", map: "Map", destination: "Destination" };

export function Graph({ flow, endpoints, live, selected, onSelect, troubled = {}, words }) {
  const shown = stages(flow, endpoints);
  const [wide, gap, letters] = sizes();
  // the filter in words, where there is room
  const [, where] = words?.length === 1 && /^drops messages where (.*)/.exec(words[0]) || [];
  if (where) Object.assign(shown.filter, { title: "Drops where", detail: where });
  const m = live?.messages, r = live?.rate;
  const passed = m && m.accepted - m.filtered - m.inFlight;
  const edges = m ? [
    [r.accepted, m.accepted], [r.accepted, m.accepted],
    [Math.max(0, r.accepted - r.filtered), Math.max(0, passed)], [r.delivered, m.delivered],
  ] : [null, null, null, null];
  const x = i => LEFT + i * (wide + gap);
  const middle = TOP + HEIGHT / 2;
  const width = x(4) + wide + LEFT, height = TOP + HEIGHT + (m ? 62 : 16);
  const key = event => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    event.currentTarget.dispatchEvent(new MouseEvent("click", { bubbles: true }));
  };
  const drop = (i, name, n, rate, href) => {
    const at = x(i) + wide / 2, from = TOP + HEIGHT;
    const text = html`<text class="rate" x=${at + 10} y=${from + 30}>${count(n)} ${name}</text>${rate > 0 && html`<text class="total" x=${at + 10} y=${from + 47}>${perSecond(rate)}/s now</text>`}`;
    return html`<path class=${`edge ${n && href ? "dead" : n ? "" : "off"}`} d=${`M${at},${from} v42`} marker-end="url(#tip)" />
      ${href && n ? html`<a href=${href}>${text}</a>` : text}`;
  };
  return html`<div class="canvas"><svg viewBox=${`0 0 ${width} ${height}`} role="group" aria-label="The way of a message through the flow">
    <defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" orient="auto"><path d="M0 0l8 4-8 4z" /></marker></defs>
    ${edges.map((edge, i) => {
      const d = `M${x(i) + wide},${middle} h${gap - 2}`;
      const on = edge?.[0] > 0;
      return html`<g key=${`e${i}`} data-edge-to=${STAGES[i + 1]}><path class=${`edge ${on ? "live" : ""}`} d=${d} marker-end="url(#tip)" />${on && html`<path class="edge flow" d=${d} />`}
        ${edge && html`<text class="rate" text-anchor="middle" x=${x(i) + wide + gap / 2} y=${middle - 12}>${perSecond(edge[0])}/s</text>
          <text class="total" text-anchor="middle" x=${x(i) + wide + gap / 2} y=${middle + 21}>${count(edge[1])}</text>`}</g>`;
    })}
    ${m && html`<g>${drop(2, "filtered", m.filtered, r.filtered)}${drop(3, "dead letters", m.deadLettered, r.deadLettered, `#/letters/${encodeURIComponent(live.namespace)}/${encodeURIComponent(live.name)}`)}</g>`}
    ${STAGES.map((id, i) => {
      const s = shown[id];
      return html`<g key=${id} class=${`stage ${s.busy ? "" : "idle"} ${troubled[id] ? "err" : ""}`} data-stage=${id} role="button" tabindex="0" aria-pressed=${String(selected === id)}
        onClick=${() => onSelect(id)} onKeyDown=${key}>
        <rect class="box" x=${x(i)} y=${TOP} width=${wide} height=${HEIGHT} rx="12" />
        <path class="glyph" transform=${`translate(${x(i) + 14},${TOP + 14})`} d=${GLYPHS[id]} />
        <text class="kind" x=${x(i) + 38} y=${TOP + 27}>${[{ source: "From", destination: "To" }[id] ?? NAMES[id], troubled[id] ? "· has errors" : s.type].filter(Boolean).join(" ")}</text>
        <text class="title" x=${x(i) + 14} y=${TOP + 57}>${cut(s.title, letters)}</text>
        <text class="detail" x=${x(i) + 14} y=${TOP + 80}>${cut(s.detail, letters)}</text>
      </g>`;
    })}
  </svg></div>`;
}
