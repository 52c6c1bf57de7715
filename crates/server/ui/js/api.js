// Requests to the control API.

export class ApiError extends Error {
  constructor(status, body) {
    super(body?.error?.message ?? `the instance answered ${status}`);
    this.status = status;
    this.report = body?.report;
  }
}

export async function api(path, { method = "GET", json, text, headers = {}, signal } = {}) {
  const body = json === undefined ? text : JSON.stringify(json);
  const type = json === undefined ? {} : { "content-type": "application/json" };
  const answer = await fetch(`api/v1${path}`, { method, body, headers: { ...type, ...headers }, signal });
  const said = await answer.text();
  let read;
  try { read = said ? JSON.parse(said) : null; } catch { read = said; }
  if (answer.status === 401) dispatchEvent(new Event("token-wanted"));
  if (!answer.ok) throw new ApiError(answer.status, read);
  return read;
}

export const enc = encodeURIComponent;

// Server-sent events. `on` gets each event's data; returns what ends it.
export function events(path, on, onState = () => {}) {
  let source;
  const start = () => {
    source = new EventSource(`api/v1${path}`);
    source.onmessage = event => on(event.data);
    source.onopen = () => onState(true);
    source.onerror = () => onState(false);
  };
  // one that was refused is given up by the browser
  const again = () => { if (source.readyState === EventSource.CLOSED) start(); };
  start();
  addEventListener("signed-in", again);
  return () => { removeEventListener("signed-in", again); source.close(); };
}
