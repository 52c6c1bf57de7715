// A manifest that is being worked on: the text is the truth, and edits from forms change it where they must and leave the
// rest, comments too, as it was written.

import { parseDocument, isMap, isSeq } from "../vendor/yaml.js";
import { merge } from "./lines.js";

export function parse(text) {
  const doc = parseDocument(text, { keepSourceTokens: false, prettyErrors: false, uniqueKeys: false });
  return { doc, ok: doc.errors.length === 0 && isMap(doc.contents) };
}

// A text with one more edit. `change` gets the document. Lines that the edit does not concern stay as they were written,
// where the library would set them otherwise.
export function edit(text, change) {
  const { doc, ok } = parse(text);
  if (!ok) return text;
  const form = { lineWidth: 0, flowCollectionPadding: /\{ \S/.test(text), indentSeq: /^(\s*)\S.*:\n\1  +- /m.test(text) };
  const before = doc.toString(form);
  change(doc);
  const after = doc.toString(form);
  const merged = merge(before, text, after);
  // lines of different makes may not fit together
  return same(parse(merged), doc) ? merged : after;
}

const same = ({ doc, ok }, wanted) => ok && JSON.stringify(doc.toJS()) === JSON.stringify(wanted.toJS());

// Kubernetes manifests have a `spec`, ARM resources `properties`, bodies of the CLI neither.
export const rootOf = doc => doc.has("spec") ? ["spec"] : doc.has("properties") ? ["properties"] : [];

export function set(text, path, value) {
  return replace(text, path, value) ?? edit(text, doc => {
    const at = [...rootOf(doc), ...path];
    if (value === undefined) prune(doc, at);
    else {
      // a mapping must be there before something can be put into it
      for (let i = 1; i < at.length; i++) {
        const here = doc.getIn(at.slice(0, i), true);
        if (!isMap(here) && !isSeq(here)) doc.setIn(at.slice(0, i), doc.createNode(typeof at[i] === "number" ? [] : {}));
        // what was empty could only be written in braces
        else if (here.items.length === 0) here.flow = false;
      }
      const old = doc.getIn(at, true);
      const node = doc.createNode(value);
      for (const kept of ["comment", "commentBefore", "spaceBefore"]) if (old?.[kept]) node[kept] = old[kept];
      if (isSeq(node) || isMap(node)) node.flow = old?.items?.length > 0 && old.flow;
      doc.setIn(at, node);
    }
  });
}

// A value in place of another, if both are of one line; nothing around it moves. A text that was quoted stays quoted.
function replace(text, path, value) {
  const { doc, ok } = parse(text);
  if (!ok || value === undefined || typeof value === "object") return null;
  const at = [...rootOf(doc), ...path];
  const old = doc.getIn(at, true);
  if (!old?.range || isMap(old) || isSeq(old) || text.slice(old.range[0], old.range[1]).includes("\n")) return null;
  const { range: [from, to], value: was, type } = old;
  doc.setIn(at, value);
  const forms = [String(value), `'${String(value).replace(/'/g, "''")}'`, JSON.stringify(value)];
  if (was && type === "QUOTE_SINGLE") forms.unshift(forms[1]);
  if (was && type === "QUOTE_DOUBLE") forms.unshift(forms[2]);
  return forms.map(form => text.slice(0, from) + form + text.slice(to)).find(next => same(parse(next), doc)) ?? null;
}

// Takes it out, and what is empty without it.
function prune(doc, at) {
  doc.deleteIn(at);
  for (let i = at.length - 1; i > 2; i--) {
    const parent = doc.getIn(at.slice(0, i), true);
    if (!(isMap(parent) || isSeq(parent)) || parent.items.length > 0) return;
    doc.deleteIn(at.slice(0, i));
  }
}

export function move(text, path, from, to) {
  return edit(text, doc => {
    const list = doc.getIn([...rootOf(doc), ...path], true);
    if (!isSeq(list) || to < 0 || to >= list.items.length) return;
    const [item] = list.items.splice(from, 1);
    list.items.splice(to, 0, item);
  });
}

const TYPES = { Source: "source", BuiltInTransformation: "transform", Destination: "destination" };

// A data flow as the canvas sees it; `at` is the path of each part. Wrong parts are left empty: `check` tells of them.
export function readFlow(text) {
  const { doc, ok } = parse(text);
  if (!ok) return null;
  const all = doc.toJS({ maxAliasCount: 100 });
  const root = rootOf(doc).reduce((v, k) => v?.[k], all) ?? {};
  const operations = Array.isArray(root.operations) ? root.operations : [];
  const flow = { name: all.metadata?.name ?? all.name ?? "", namespace: all.metadata?.namespace, root, source: {}, transform: {}, destination: {}, at: {} };
  operations.forEach((operation, i) => {
    const part = Object.entries(TYPES).find(([type]) => type.toLowerCase() === String(operation?.operationType).toLowerCase())?.[1];
    if (!part || flow.at[part]) return;
    const key = { source: "sourceSettings", transform: "builtInTransformationSettings", destination: "destinationSettings" }[part];
    flow.at[part] = ["operations", i, key];
    if (isObject(operation[key])) flow[part] = operation[key];
  });
  const list = v => Array.isArray(v) ? v.filter(isObject) : [];
  flow.datasets = list(flow.transform.datasets);
  flow.filter = list(flow.transform.filter);
  flow.map = list(flow.transform.map);
  return flow;
}

const isObject = v => v !== null && typeof v === "object" && !Array.isArray(v);

// Gives the flow a transformation to put something into.
export function withTransform(text) {
  const flow = readFlow(text);
  if (!flow || flow.at.transform) return text;
  return edit(text, doc => {
    const path = [...rootOf(doc), "operations"];
    const operations = doc.getIn(path, true);
    if (!isSeq(operations)) return;
    const at = flow.at.destination ? flow.at.destination[1] : operations.items.length;
    operations.items.splice(at, 0, doc.createNode({ operationType: "BuiltInTransformation", builtInTransformationSettings: {} }));
  });
}

export const NEW_FLOW = (name, namespace) => `apiVersion: connectivity.iotoperations.azure.com/v1
kind: Dataflow
metadata:
  name: ${name}
  namespace: ${namespace}
spec:
  profileRef: default
  mode: Enabled
  operations:
    - operationType: Source
      sourceSettings:
        endpointRef: default
        dataSources: []
    - operationType: Destination
      destinationSettings:
        endpointRef: default
        dataDestination: ""
`;
