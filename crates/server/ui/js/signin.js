// Asks for the token where the instance wants one, and trades it for a cookie that scripts can't read. What is being
// edited stays behind it, as a session may end in the middle of that.

import { html, useEffect, useRef, useState, Field } from "./parts.js";
import { api } from "./api.js";
import { live } from "./live.js";

export function SignIn() {
  const [wanted, setWanted] = useState(false);
  useEffect(() => {
    const want = () => setWanted(true);
    addEventListener("token-wanted", want);
    return () => removeEventListener("token-wanted", want);
  }, []);
  const done = () => {
    // nothing has been shown yet: everything is asked for anew
    if (!live.state.flows) return location.reload();
    setWanted(false);
    dispatchEvent(new Event("signed-in"));
    live.refresh();
  };
  return wanted && html`<${Form} onDone=${done} onClose=${() => setWanted(false)} />`;
}

export async function signOut() {
  await api("/session", { method: "DELETE" });
  location.reload();
}

function Form({ onDone, onClose }) {
  const ref = useRef();
  const [token, setToken] = useState("");
  const [said, setSaid] = useState(null);
  useEffect(() => { if (!ref.current.open) ref.current.showModal(); }, []);
  const submit = async event => {
    event.preventDefault();
    try {
      await api("/session", { method: "POST", json: { token } });
      onDone();
    } catch (error) {
      setSaid(error.message);
    }
  };
  // one that is left comes again with the next refusal
  return html`<dialog ref=${ref} aria-labelledby="sign-in-title" onClose=${onClose}>
    <header><h2 id="sign-in-title">Sign in</h2></header>
    <form id="sign-in" class="body" onSubmit=${submit}>
      <${Field} id="token" label="Token" said=${said} hint="What is in the file that the instance was given as --api-token-file.">
        <input id="token" type="password" autocomplete="current-password" autofocus required value=${token}
          aria-invalid=${said ? "true" : undefined} aria-describedby=${said ? "token-said" : undefined} onInput=${e => setToken(e.target.value)} />
      </${Field}>
    </form>
    <footer><button class="main" form="sign-in">Sign in</button></footer>
  </dialog>`;
}
