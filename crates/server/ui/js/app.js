// The frame around every page: navigation, theme, routes.

import { html, render, useEffect, useRef, useState, Icon, Toasts } from "./parts.js";
import { useLive } from "./live.js";
import { Overview } from "./overview.js";
import { FlowPage } from "./flow.js";
import { Endpoints } from "./endpoints.js";
import { Profiles } from "./profiles.js";
import { Schemas } from "./schemas.js";
import { StateStore } from "./state.js";
import { Letters } from "./letters.js";
import { Secrets } from "./secrets.js";
import { BrokerPage } from "./broker.js";

const PAGES = [
  ["", "Overview", "overview", Overview],
  ["endpoints", "Endpoints", "endpoint", Endpoints],
  ["secrets", "Secrets", "secret", Secrets],
  ["profiles", "Profiles", "profile", Profiles],
  ["schemas", "Schemas", "schema", Schemas],
  ["state", "State store", "state", StateStore],
  ["letters", "Dead letters", "letter", Letters],
  ["broker", "Broker", "broker", BrokerPage],
];

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
  const Page = isFlow ? FlowPage : page[3];
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
      </div>
    </nav>
    <main id="main" ref=${main} tabindex="-1">
      ${lost && html`<div class="lost-bar" role="alert">The instance does not answer: ${lost}. What you see is from before; it goes on by itself.</div>`}
      <${Page} key=${isFlow ? path.join("/") : first} path=${rest} isNew=${first === "new"} />
    </main>
    <${Toasts} />
  </div>`;
}

render(html`<${App} />`, document.getElementById("app"));
