// What the instance says of itself, asked for again and again, with the rates that follow from it.

import { useEffect, useState } from "../vendor/preact-htm.js";
import { api } from "./api.js";

// Samples of the last minute or so, for sparklines.
const SAMPLES_MAX = 60;

const COUNTED = ["accepted", "delivered", "filtered", "deadLettered", "expired", "bytesDelivered"];

class Live {
  state = { instance: null, flows: null, byKey: new Map(), broker: null, total: null, lost: null, at: 0 };
  #watchers = new Set();
  #histories = new Map();
  #timer = null;
  #busy = false;

  watch(watcher) {
    this.#watchers.add(watcher);
    if (this.#watchers.size === 1) this.#tick();
    return () => {
      this.#watchers.delete(watcher);
      if (this.#watchers.size === 0) clearTimeout(this.#timer);
    };
  }

  // Asks at once, after something was changed.
  refresh() { return this.#tick(); }

  async #tick() {
    clearTimeout(this.#timer);
    if (this.#busy) return;
    this.#busy = true;
    try {
      if (!document.hidden || !this.state.flows) await this.#ask();
    } catch (error) {
      // one that wants its token does answer
      this.state = { ...this.state, lost: error.status === 401 ? null : error.message };
    } finally {
      this.#busy = false;
    }
    this.#watchers.forEach(watcher => watcher(this.state));
    clearTimeout(this.#timer);
    const many = (this.state.flows?.length ?? 0) > 200;
    if (this.#watchers.size) this.#timer = setTimeout(() => this.#tick(), many ? 2000 : 1000);
  }

  async #ask() {
    const { instance, broker, dataflows } = await api("/status");
    const at = performance.now();
    const total = { key: "", messages: { inFlight: 0 }, lag: 0, letters: 0 };
    for (const name of COUNTED) total.messages[name] = 0;
    for (const flow of dataflows) {
      flow.key = `${flow.namespace}/${flow.name}`;
      for (const name of [...COUNTED, "inFlight"]) total.messages[name] += flow.messages[name];
      total.lag += flow.lag ?? 0;
      // in the box, if there is one; what was replayed or dropped is no worry any more
      flow.letters = flow.deadLetters?.count ?? flow.messages.deadLettered;
      total.letters += flow.letters;
    }
    for (const one of [...dataflows, total]) this.#sample(one, at);
    for (const flow of dataflows) flow.otherNamespace = flow.namespace !== instance.namespace;
    const known = new Set(dataflows.map(flow => flow.key));
    for (const key of this.#histories.keys()) if (key && !known.has(key)) this.#histories.delete(key);
    this.state = { instance, flows: dataflows, byKey: new Map(dataflows.map(f => [f.key, f])), broker, total, lost: null, at };
  }

  #sample(one, at) {
    let history = this.#histories.get(one.key);
    if (!history) this.#histories.set(one.key, history = { last: null, rates: [], into: [] });
    const { last } = history;
    one.rate = Object.fromEntries(COUNTED.map(name => [name, 0]));
    if (last) {
      const seconds = (at - last.at) / 1000;
      // books that went back are those of a flow that started anew
      for (const name of COUNTED) one.rate[name] = Math.max(0, one.messages[name] - last.messages[name]) / seconds;
      history.rates.push(one.rate.delivered);
      history.into.push(one.rate.accepted);
      if (history.rates.length > SAMPLES_MAX) { history.rates.shift(); history.into.shift(); }
      // the figure that is read is steadier than the line
      for (const name of COUNTED) one.rate[name] = history.even?.[name] === undefined || seconds > 3 ? one.rate[name]
        : history.even[name] + (one.rate[name] - history.even[name]) * 0.5;
      history.even = { ...one.rate };
    }
    history.last = { at, messages: { ...one.messages } };
    one.spark = history.rates;
    one.sparkIn = history.into;
  }
}

export const live = new Live();

export function useLive() {
  const [state, setState] = useState(live.state);
  useEffect(() => live.watch(setState), []);
  return state;
}

// How a flow is, in one word of four.
export function mood(flow) {
  if (flow.state === "disabled") return "off";
  if (flow.state === "not-run") return "bad";
  return { Available: "good", Degraded: "warn", Unavailable: "bad" }[flow.health.status] ?? "off";
}

export function moodWord(flow) {
  if (flow.state === "disabled") return "Disabled";
  if (flow.state === "not-run") return "Not run";
  return flow.health.status === "Unknown" ? "Starting" : flow.health.status;
}
