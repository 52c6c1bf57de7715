// Profiles: how many instances run the flows in them, and how those are.

import { html, useState, Chip, Empty, Field, Icon, Trouble, count, perSecond, plural, useAsked, useId } from "./parts.js";
import { useLive, mood, moodWord } from "./live.js";
import { flowLink } from "./overview.js";
import { ManifestPage } from "./manifest.js";
import { list } from "./resources.js";

const NEW = (name, namespace) => `apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowProfile
metadata:
  name: ${name}
  namespace: ${namespace}
spec:
  instanceCount: 1
`;

export function Profiles({ path }) {
  const { flows } = useLive();
  const asked = useAsked(() => list("DataflowProfile"), [path.join("/")]);
  if (path[0]) return html`<${ManifestPage} kind="DataflowProfile" path=${path} template=${NEW} base="profiles" title="Profile" />`;
  if (!asked.value || !flows) return html`<h1>Profiles</h1><${Trouble} error=${asked.error} />`;
  const written = asked.value.items;
  const unwritten = [...new Set(flows.map(f => `${f.namespace}/${f.profile}`))].filter(key => !written.some(p => `${p.namespace}/${p.name}` === key))
    .map(key => ({ namespace: key.split("/")[0], name: key.split("/")[1], implicit: true }));
  const all = [...written, ...unwritten].sort((a, b) => a.name.localeCompare(b.name));
  return html`<div class="head"><div class="grow"><h1>Profiles</h1><p class="sub">A profile runs the data flows in it, in one or more instances that share the work.</p></div>
      <div class="actions"><a class="button main" href="#/profiles/new"><${Icon} name="plus" size=${17} />New profile</a></div></div>
    ${all.length === 0 ? html`<section class="card"><${Empty} icon="profile" title="Only the default profile"><p>It exists without being written, and runs one instance of each flow.</p></${Empty}></section>` : html`<div class="stack">${all.map(profile => {
      const own = flows.filter(f => f.namespace === profile.namespace && f.profile === profile.name);
      const health = profile.status?.healthState;
      const moodOf = { Available: "good", Degraded: "warn", Unavailable: "bad" }[health?.status] ?? "off";
      return html`<section class="card" key=${`${profile.namespace}/${profile.name}`} aria-label=${profile.name}><header><h2>${profile.name}</h2>${health && html`<${Chip} mood=${moodOf}>${health.status}</${Chip}>`}
          <span class="small quiet">${plural(profile.manifest?.spec?.instanceCount ?? own[0]?.instanceCount ?? 1, "instance")} · ${plural(own.length, "data flow")}${profile.implicit ? " · exists without being written" : ""}</span>
          ${!profile.implicit && html`<a class="button small" href=${`#/profiles/${encodeURIComponent(profile.namespace)}/${encodeURIComponent(profile.name)}`}>Open</a>`}</header>
        ${own.length > 0 && html`<table><thead><tr><th>Data flow</th><th>Health</th><th class="r">Delivered/s</th><th class="r">In flight</th></tr></thead><tbody>${own.slice(0, 50).map(f => html`<tr key=${f.key}><td><a href=${flowLink(f)}>${f.name}</a></td><td><${Chip} mood=${mood(f)}>${moodWord(f)}</${Chip}></td><td class="r">${perSecond(f.rate.delivered)}</td><td class="r">${count(f.messages.inFlight)}</td></tr>`)}</tbody></table>`}
        ${own.length > 50 && html`<p class="body small quiet">and ${count(own.length - 50)} more</p>`}</section>`;
    })}</div>`}`;
}
