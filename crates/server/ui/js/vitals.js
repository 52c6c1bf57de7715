// How a data flow fares beside its rates: what waits and since when, how full is what holds it, how long a message takes.

import { html, useEffect, useState, Meter, age, bytes, count, took } from "./parts.js";
import { api, enc } from "./api.js";

// Latencies are those of the last few looks together.
const LOOK_EVERY = 2000, LOOKS_MAX = 6;

// At what rate something fills is a guess; this far ahead it says nothing.
const SOON = 7 * 86_400;
const fullIn = seconds => seconds !== null && seconds !== undefined && seconds < SOON ? `, at its end in ${age(seconds)}` : "";

export function Vitals({ flow, broker }) {
  const { whole, write } = useLatencies(flow);
  const { messages, spool, lag } = flow;
  const log = flow.source?.address === "aio-broker" && broker?.log;
  const logFill = log && Math.max(log.bytes / log.bytesMax, log.liveBytes / log.liveBytesMax);
  return html`<dl class="vitals">
    ${lag !== null && lag !== undefined && html`<${Vital} name="Waiting at the source" value=${count(lag)} unit="messages"
      under=${flow.lagAgeSeconds > 0 ? `the first since ${age(flow.lagAgeSeconds)}` : log ? "" : "nothing is late"}>
      ${log && html`<${Meter} value=${logFill} label="Log of the local broker" under=${percent => `the broker's log is ${percent} full${fullIn(log.fullInSeconds)}`} />`}</${Vital}>`}
    ${spool && html`<${Vital} name="In the spool" value=${count(spool.messages)} unit="messages" under=${spool.oldestAgeSeconds > 0 ? `the first since ${age(spool.oldestAgeSeconds)}` : ""}>
      <${Meter} value=${spool.bytes / spool.bytesMax} label="Spool" under=${() => `${bytes(spool.bytes)} of ${bytes(spool.bytesMax)}${fullIn(spool.fullInSeconds)}`} /></${Vital}>`}
    <${Vital} name="In flight" value=${count(messages.inFlight)} unit="messages" under=${messages.retried ? `${count(messages.retried)} written again` : "taken over, not settled"} />
    ${whole && html`<${Vital} name="From receipt to delivery" value=${took(whole.typical)} under=${`99 of 100 within ${took(whole.slow)}, ${whole.when}`} />`}
    ${write && html`<${Vital} name="One write" value=${took(write.typical)} under=${`99 of 100 within ${took(write.slow)}, ${write.when}`} />`}
  </dl>`;
}

const Vital = ({ name, value, unit, under, children }) => html`<div class="vital"><dt>${name}</dt>
  <dd><span class="value">${value}${unit && html`<small>${unit}</small>`}</span>${under && html`<span class="under">${under}</span>`}${children}</dd></div>`;

function useLatencies(flow) {
  const [found, setFound] = useState({});
  const running = flow.instances.length > 0;
  useEffect(() => {
    if (!running) return setFound({});
    const looks = [];
    let timer, ended = false;
    const look = async () => {
      // that the instance does not answer is said elsewhere
      const answer = document.hidden ? null : await api(`/metrics?dataflow=${enc(flow.name)}`).catch(() => null);
      if (ended) return;
      if (answer) {
        looks.push(answer.metrics);
        if (looks.length > LOOKS_MAX) looks.shift();
        setFound({ whole: latency(looks, "aio_dataflow_processing_latency"), write: latency(looks, "aio_dataflow_upload_latency") });
      }
      timer = setTimeout(look, LOOK_EVERY);
    };
    look();
    return () => { ended = true; clearTimeout(timer); };
  }, [flow.key, running]);
  return found;
}

// The middle and the slow end of a histogram, of late or, if nothing came of late, since the start; null if nothing ever came.
function latency(looks, name) {
  const of = metrics => (metrics.find(m => m.name === name)?.samples ?? []).find(s => s.labels.success !== "false")?.histogram;
  const last = of(looks.at(-1)), first = of(looks[0]);
  if (!last?.count) return null;
  const fresh = first && last.count > first.count;
  const before = fresh ? first : { count: 0, buckets: [] };
  const bounds = last.buckets.map(({ le, count }, i) => [le, count - (before.buckets[i]?.count ?? 0)]);
  const total = last.count - before.count;
  return { typical: quantile(bounds, total, 0.5), slow: quantile(bounds, total, 0.99), when: fresh ? "lately" : "since the start" };
}

// As Prometheus does it: evenly spread within a bucket.
function quantile(bounds, total, share) {
  const wanted = share * total;
  let [from, below] = [0, 0];
  for (const [to, count] of bounds) {
    if (count >= wanted) return from + (to - from) * (wanted - below) / (count - below);
    [from, below] = [to, count];
  }
  return from;
}
