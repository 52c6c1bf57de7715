// The frame around every page: navigation, theme, routes.

import { html, render, useEffect, useRef, useState, Icon, Toasts } from "./parts.js";
import { useLive } from "./live.js";
import { Overview } from "./overview.js";
import { SignIn, signOut } from "./signin.js";

// The overview comes with this; the other pages come when they are wanted, or when there is nothing else to do.
const PAGES = [
  ["", "Overview", "overview", async () => Overview],
  ["endpoints", "Endpoints", "endpoint", async () => (await import("./endpoints.js")).Endpoints],
  ["secrets", "Secrets", "secret", async () => (await import("./secrets.js")).Secrets],
  ["profiles", "Profiles", "profile", async () => (await import("./profiles.js")).Profiles],
  ["schemas", "Schemas", "schema", async () => (await import("./schemas.js")).Schemas],
  ["state", "State store", "state", async () => (await import("./state.js")).StateStore],
  ["letters", "Dead letters", "letter", async () => (await import("./letters.js")).Letters],
  ["broker", "Broker", "broker", async () => (await import("./broker.js")).BrokerPage],
];
const loadFlow = async () => (await import("./flow.js")).FlowPage;
const loaded = new Map([[PAGES[0][3], Overview]]);

function usePage(load) {
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    if (loaded.has(load)) return;
    let timer;
    const again = () => setTurn(n => n + 1);
    // where it does not come, the instance does not answer, and that is said at the top
    load().then(Page => { loaded.set(load, Page); again(); }, () => { timer = setTimeout(again, 1000); });
    return () => clearTimeout(timer);
  }, [load, turn]);
  return loaded.get(load);
}

const atRest = window.requestIdleCallback ?? (run => setTimeout(run, 500));

// ---- theme ----

const dark = matchMedia("(prefers-color-scheme: dark)");
// where storage is not to be had, the choice lasts as long as the page
const chosen = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
function useTheme() {
  const [choice, setChoice] = useState(chosen());
  const [system, setSystem] = useState(dark.matches);
  useEffect(() => {
    const follow = () => setSystem(dark.matches);
    dark.addEventListener("change", follow);
    return () => dark.removeEventListener("change", follow);
  }, []);
  const isDark = choice ? choice === "dark" : system;
  document.documentElement.dataset.theme = isDark ? "dark" : "light";
  const toggle = () => {
    const next = isDark ? "light" : "dark";
    try { localStorage.setItem("theme", next); } catch { /* see above */ }
    setChoice(next);
  };
  return [isDark, toggle];
}

// ---- routes ----

function route() {
  return location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
}

function App() {
  const [path, setPath] = useState(route());
  const [isDark, toggle] = useTheme();
  const { instance, flows, total, lost } = useLive();
  const main = useRef();
  useEffect(() => {
    const follow = () => {
      setPath(before => {
        const now = route();
        // another page starts at its top, for readers and for the keyboard
        if (now[0] !== before[0]) { scrollTo(0, 0); main.current?.focus({ preventScroll: true }); }
        return now;
      });
    };
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  const [first, ...rest] = path;
  const isFlow = first === "flow" || first === "new";
  const page = PAGES.find(([id]) => id === first) ?? PAGES[0];
  const Page = usePage(isFlow ? loadFlow : page[3]);
  useEffect(() => {
    document.title = `${first === "flow" ? rest[1] : first === "new" ? "New data flow" : page[1]} · tidegate`;
  }, [path.join("/")]);
  return html`<div class="shell">
    <a class="skip" href="#main" onClick=${e => { e.preventDefault(); main.current.focus(); }}>Skip to the page</a>
    <nav class="nav" aria-label="Main">
      <a class="brand" href="#/" aria-label="tidegate, overview"><svg viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="8" fill="#124b58" /><path
        d="M5 13c3.7 0 3.7-3.5 7.3-3.500S16 13 19.7 13 23.3 9.5 27 9.500M5 22.500c3.7 0 3.7-3.5 7.3-3.500s3.7 3.5 7.4 3.5 3.6-3.5 7.3-3.5" fill="none" stroke="#6fd3cd" stroke-width="2.6" stroke-linecap="round" /></svg><span>tidegate</span></a>
      ${PAGES.map(([id, name, icon]) => html`<a key=${id} class="item" href=${`#/${id}`} aria-current=${!isFlow && page[0] === id || isFlow && !id ? "page" : undefined}>
        <${Icon} name=${icon} /><span>${name}</span>
        ${id === "letters" && total?.letters > 0 && html`<span class="count">${total.letters}</span>`}
      </a>`)}
      <div class="foot">
        <div class=${`beat ${lost ? "lost" : ""}`}><i></i><span class="word">${lost ? "No answer" : flows ? "Live" : "Connecting"}${instance && html`<span> · ${instance.version}</span>`}</span></div>
        <button class="theme" onClick=${toggle} aria-label=${isDark ? "Light theme" : "Dark theme"}><${Icon} name=${isDark ? "sun" : "moon"} size=${18} /><span class="word">${isDark ? "Light" : "Dark"}</span></button>
        ${instance?.wantsToken && html`<button class="theme" onClick=${signOut} aria-label="Sign out"><${Icon} name="out" size=${18} /><span class="word">Sign out</span></button>`}
      </div>
    </nav>
    <main id="main" ref=${main} tabindex="-1">
      ${lost && html`<div class="lost-bar" role="alert">The instance does not answer: ${lost}. What you see is from before; it goes on by itself.</div>`}
      ${Page && html`<${Page} key=${isFlow ? path.join("/") : first} path=${rest} isNew=${first === "new"} />`}
    </main>
    <${Toasts} />
    <${SignIn} />
  </div>`;
}

render(html`<${App} />`, document.getElementById("app"));
atRest(() => [loadFlow, ...PAGES.map(([, , , load]) => load)].forEach(load => load().catch(() => {})));
