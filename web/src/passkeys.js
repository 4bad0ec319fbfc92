// Passkeys: the browser's part of signing in, proving again who one is, and adding one. The server sends challenges and
// checks what comes back; here bytes only change their form.
const decode = (text) =>
  Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (letter) => letter.charCodeAt(0));
const encode = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer ?? [])))
    .replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

async function post(path, body) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/json" },
    body: JSON.stringify(body),
  });
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    const failure = new Error(told.error?.message ?? "没有完成，请稍后重试。");
    failure.stepUp = told.error?.step_up;
    throw failure;
  }
  return told;
}

function told(error) {
  if (error.name === "NotAllowedError" || error.name === "AbortError") return "已取消，或等待超时。可以再试一次。";
  if (error.name === "InvalidStateError") return "这台设备已经添加过通行密钥。";
  return error.message;
}

async function use(path, next) {
  const begun = await post(`${path}/begin`, {});
  const used = await navigator.credentials.get({
    publicKey: {
      challenge: decode(begun.challenge),
      rpId: begun.rpId,
      userVerification: "required",
      timeout: 120000,
    },
  });
  return post(path, {
    id: encode(used.rawId),
    client: encode(used.response.clientDataJSON),
    authenticator: encode(used.response.authenticatorData),
    signature: encode(used.response.signature),
    user: encode(used.response.userHandle),
    next,
  });
}

async function add(path, name) {
  const begun = await post(`${path}/begin`, {});
  const made = await navigator.credentials.create({
    publicKey: {
      challenge: decode(begun.challenge),
      rp: begun.rp,
      user: { ...begun.user, id: decode(begun.user.id) },
      pubKeyCredParams: begun.algorithms.map((alg) => ({ type: "public-key", alg })),
      excludeCredentials: begun.exclude.map((id) => ({ type: "public-key", id: decode(id) })),
      authenticatorSelection: { residentKey: "required", userVerification: "required" },
      attestation: "none",
      timeout: 120000,
    },
  });
  return post(path, {
    name,
    client: encode(made.response.clientDataJSON),
    attestation: encode(made.response.attestationObject),
  });
}

// Runs one ceremony at a time; a problem is said beside its button.
function guarded(element, button, work) {
  const problem = element.querySelector("[data-passkey-problem]");
  return async (event) => {
    event.preventDefault();
    problem.textContent = "";
    button.disabled = true;
    try {
      await work();
    } catch (error) {
      if (error.stepUp) location.assign(`${error.stepUp}?back=${encodeURIComponent(location.pathname)}`);
      else problem.textContent = told(error);
    } finally {
      button.disabled = false;
    }
  };
}

export function setUpPasskeys(root) {
  if (!window.PublicKeyCredential) return;
  for (const door of root.querySelectorAll("[data-passkey][hidden]")) {
    const button = door.querySelector("button");
    door.hidden = false;
    button.addEventListener("click", guarded(door, button, async () => {
      const answer = await use(door.dataset.passkey, door.dataset.next ?? "");
      const form = door.dataset.then && document.getElementById(door.dataset.then);
      if (!form) return location.assign(answer.to);
      // A form is waiting to be sent on: the proof is given, so its own fields need not be.
      for (const field of form.querySelectorAll("input:not([type=hidden])")) field.disabled = true;
      form.submit();
    }));
  }
  for (const form of root.querySelectorAll("[data-passkey-new][hidden]")) {
    const button = form.querySelector("button");
    form.hidden = false;
    form.addEventListener("submit", guarded(form, button, async () => {
      const answer = await add(form.dataset.passkeyNew, form.elements.name.value);
      location.assign(answer.to);
      location.reload();
    }));
  }
}
