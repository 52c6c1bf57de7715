// Endpoints: where messages come from and go to.

import { html, Chip, Empty, Icon, Trouble, plural, useAsked } from "./parts.js";
import { enc } from "./api.js";
import { useLive } from "./live.js";
import { ManifestPage } from "./manifest.js";
import { list } from "./resources.js";

const NEW = (name, namespace) => `apiVersion: connectivity.iotoperations.azure.com/v1
kind: DataflowEndpoint
metadata:
  name: ${name}
  namespace: ${namespace}
spec:
  endpointType: Mqtt
  mqttSettings:
    host: ""
    authentication:
      method: Anonymous
      anonymousSettings: {}
    tls:
      mode: Enabled
`;

export function Endpoints({ path }) {
  const { flows } = useLive();
  const asked = useAsked(() => list("DataflowEndpoint"), [path.join("/")]);
  if (path[0]) return html`<${ManifestPage} kind="DataflowEndpoint" path=${path} template=${NEW} base="endpoints" title="Endpoint" />`;
  if (!asked.value || !flows) return html`<h1>Endpoints</h1><${Trouble} error=${asked.error} />`;
  const uses = (item, end) => flows.filter(f => f.namespace === item.namespace && f[end]?.endpoint === item.name);
  const rows = [...asked.value.items];
  if (!rows.some(r => r.name === "default")) rows.unshift({ name: "default", namespace: flows[0]?.namespace ?? "", implicit: true, manifest: { spec: { endpointType: "Mqtt" } } });
  return html`<div class="head"><div class="grow"><h1>Endpoints</h1><p class="sub">Where messages come from and go to, and how to log in there.</p></div>
      <div class="actions"><a class="button main" href="#/endpoints/new"><${Icon} name="plus" size=${17} />New endpoint</a></div></div>
    <section class="card"><div class="scroll-x"><table><thead><tr><th>Name</th><th>Type</th><th>Address</th><th>Logs in with</th><th>Used by</th></tr></thead><tbody>
      ${rows.map(item => {
        const spec = item.manifest?.spec ?? item.manifest?.properties ?? {};
        const settings = Object.entries(spec).find(([key]) => key.endsWith("Settings"))?.[1] ?? {};
        const ends = [...uses(item, "source").map(f => [f, "from"]), ...uses(item, "destination").map(f => [f, "to"])];
        const ill = ends.filter(([f, end]) => f.health.reasonCode?.includes(end === "from" ? "Source" : "Target"));
        return html`<tr key=${`${item.namespace}/${item.name}`}><td>${item.implicit ? html`<b>${item.name}</b><div class="quiet small">exists without being written</div>` : html`<a href=${`#/endpoints/${enc(item.namespace)}/${enc(item.name)}`}><b>${item.name}</b></a><div class="quiet small">${item.namespace}</div>`}</td>
          <td>${spec.endpointType}</td><td class="mono small wrap-any">${settings.host ?? (settings.persistentVolumeClaimRef ? `volume ${settings.persistentVolumeClaimRef}` : item.implicit || spec.endpointType === "Mqtt" ? "the local broker" : "")}</td>
          <td>${settings.authentication?.method ?? html`<span class="quiet">as it needs</span>`}</td>
          <td>${ends.length ? plural(ends.length, "flow end") : html`<span class="quiet">nobody</span>`}${ill.length > 0 && html`<div><${Chip} mood="bad">${plural(ill.length, "trouble")}</${Chip}></div>`}</td></tr>`;
      })}</tbody></table></div></section>`;
}
