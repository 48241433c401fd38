// Asking the service, and what a passkey signs for it: one exchange for each thing that a person does.

// ---- asking the server ------------------------------------------------------------------------

export class Refusal extends Error {
  constructor(status, code, detail) {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

export async function post(path, data = {}) {
  let answer;
  try {
    answer = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify(data),
      cache: "no-store",
      redirect: "error",
    });
  } catch {
    throw new Refusal(0, "away", "The service cannot be reached. Nothing was decided. Try again.");
  }
  const told = await answer.json().catch(() => ({}));
  if (answer.status === 401 && !path.startsWith("/signin") && !path.startsWith("/invite")) {
    location.assign(`/signin?next=${encodeURIComponent(location.pathname)}`);
  }
  if (!answer.ok) {
    throw new Refusal(answer.status, told.code ?? "error", told.detail ?? told.title ?? "That did not work.");
  }
  return told;
}

// ---- passkeys ---------------------------------------------------------------------------------

// Browsers have had passkeys for longer than the JSON forms of WebAuthn (parse…FromJSON, toJSON), and
// some password managers replace navigator.credentials and give objects without them. So the forms are
// written here, for everybody: one way, which every test takes.

const encode = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");

const decode = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));

const described = (list = []) => list.map((each) => ({ ...each, id: decode(each.id) }));

const toCreate = (options) => ({
  ...options,
  challenge: decode(options.challenge),
  user: { ...options.user, id: decode(options.user.id) },
  excludeCredentials: described(options.excludeCredentials),
});

const toGet = (options) => ({
  ...options,
  challenge: decode(options.challenge),
  allowCredentials: described(options.allowCredentials),
});

function written(credential) {
  const { response } = credential;
  const parts = { clientDataJSON: encode(response.clientDataJSON) };
  for (const name of ["attestationObject", "authenticatorData", "signature", "userHandle"]) {
    // An empty user handle is an absent one: some password managers give it so.
    if (response[name]?.byteLength) parts[name] = encode(response[name]);
  }
  if (parts.attestationObject) delete parts.authenticatorData; // it is in there
  if (typeof response.getTransports === "function") parts.transports = response.getTransports();
  const id = encode(credential.rawId);
  return { id, rawId: id, type: credential.type, response: parts, clientExtensionResults: {} };
}

// A passkey signs 32 bytes, whatever they are for. What the service says they are for is checked here:
// they must be the digest of a document of the type that this page asked for, about what it shows.
async function checked({ statement, options }, typ, about = {}) {
  const told = JSON.parse(statement);
  const bytes = new TextEncoder().encode(`${told.typ}\0${statement}`);
  const digest = encode(await crypto.subtle.digest("SHA-256", bytes));
  const asked = Object.entries({ typ, ...about });
  if (digest !== options.challenge || asked.some(([name, value]) => told[name] !== value)) {
    throw new Refusal(0, "statement", "What was to be signed is not what this page shows. Nothing was signed.");
  }
  return options;
}

async function prompt(ask) {
  if (typeof PublicKeyCredential !== "function" || !navigator.credentials) {
    throw new Refusal(0, "browser", "This browser is too old for passkeys. Use a current one.");
  }
  try {
    return written(await ask());
  } catch (error) {
    if (error.name === "NotAllowedError" || error.name === "AbortError") {
      throw new Refusal(0, "cancelled", "The passkey was not used. Nothing has changed.");
    }
    if (error.name === "InvalidStateError") {
      throw new Refusal(0, "enrolled", "This device already holds a passkey of yours.");
    }
    throw new Refusal(0, "passkey", "The passkey could not be used here. Nothing has changed.");
  }
}

async function create(given) {
  const options = await checked(given, "assent/enrolment/1");
  return prompt(() => navigator.credentials.create({ publicKey: toCreate(options) }));
}

export async function get(given, typ, about) {
  const options = await checked(given, typ, about);
  return prompt(() => navigator.credentials.get({ publicKey: toGet(options) }));
}

const prove = (given, purpose) => get(given, "assent/proof/1", { purpose });

export async function enrol(path) {
  const given = await post(`${path}/begin`);
  const credential = await create(given);
  const { next } = await post(`${path}/finish`, { ceremony: given.ceremony, credential });
  location.assign(next);
}

export async function signIn(path, next) {
  const given = await post(`${path}/begin`);
  const credential = await get(given, "assent/sign-in/1", { purpose: "sign-in", origin: location.origin });
  return (await post(`${path}/finish`, { ceremony: given.ceremony, credential, next })).next;
}

// What a stolen session must not be able to do: a passkey answers first.
export async function withPasskey(path, purpose) {
  const given = await post(`${path}/begin`);
  const credential = await prove(given, purpose);
  location.assign((await post(`${path}/finish`, { ceremony: given.ceremony, credential })).next);
}

// A further passkey: one that is held answers first, then the new one is made.
export async function further(path) {
  const held = await post(`${path}/prove`);
  const answer = { ceremony: held.ceremony, credential: await prove(held, "add-passkey") };
  const given = await post(`${path}/begin`, answer);
  await post(`${path}/finish`, { ceremony: given.ceremony, credential: await create(given) });
  location.reload();
}

// A chat account: a passkey answers first, then there is a code to type in the chat.
export async function link(path) {
  const given = await post(`${path}/begin`);
  const credential = await prove(given, "link-account");
  const { code } = await post(`${path}/code`, { ceremony: given.ceremony, credential });
  document.getElementById("link-code").textContent = `Within ten minutes, type in Slack: /assent link ${code}`;
}
