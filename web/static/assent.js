// What the pages need from a script: clocks, showing changes without a reload, and what buttons do.
//
// No library, nothing from a third party: a decision is signed on this page. Text never becomes
// markup here: regions are swapped as parsed documents from our own origin, in which everything
// that somebody else wrote was escaped by the server, and the Content-Security-Policy lets no
// script run but this file and the passkeys.js that it imports.

import { Refusal, enrol, further, get, link, post, signIn, withPasskey } from "./passkeys.js";

const body = document.body;
const skew = Number(body.dataset.now) * 1000 - Date.now(); // the server's clock decides
const byId = (id) => document.getElementById(id);
let signing = false; // while a passkey prompt is open, what it is about stays put

// ---- clocks -----------------------------------------------------------------------------------

const hours = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const days = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

function localTimes(root) {
  for (const time of root.querySelectorAll("time[data-form]")) {
    const at = new Date(time.dateTime);
    const today = at.toDateString() === new Date(Date.now() + skew).toDateString();
    time.textContent = today ? hours.format(at) : `${days.format(at)}, ${hours.format(at)}`;
  }
}

function left(seconds) {
  if (seconds <= 0) return "Time is up";
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const two = (n) => String(n).padStart(2, "0");
  return h ? `${h} h ${two(m)} min left` : `${m}:${two(s)} left`;
}

const asked = new Set(); // each deadline is asked about once
function tick() {
  const now = Math.floor((Date.now() + skew) / 1000);
  for (const clock of document.querySelectorAll("[data-until]")) {
    const until = Number(clock.dataset.until);
    const text = left(until - now);
    if (clock.textContent !== text) clock.textContent = text;
    if (now > until && !asked.has(until)) {
      asked.add(until);
      refresh();
    }
  }
}

// ---- changes without a reload -----------------------------------------------------------------

const sources = new Map(); // region id -> the markup it was made from, untouched by clocks and folds
const regions = (root) => root.querySelectorAll("[data-swap]");
let said = byId("main").dataset.announce;

function swap(next) {
  const focused = document.activeElement;
  const open = new Map([...document.querySelectorAll("details[id]")].map((fold) => [fold.id, fold.open]));
  const shown = [...document.querySelectorAll("form[id]")].find((form) => !form.hidden)?.id;
  const error = shown && byId(shown).querySelector(".error")?.textContent;
  const typed = new Map([...document.querySelectorAll("textarea[id]")].map((field) => [field.id, field]));
  const from = focused?.selectionStart;
  const to = focused?.selectionEnd;

  const wanted = [...regions(next)];
  const fresh = wanted.map((region) => region.id);
  for (const region of wanted) {
    const markup = region.outerHTML;
    const old = byId(region.id);
    if (sources.get(region.id) === markup) continue;
    sources.set(region.id, markup);
    if (old) old.replaceWith(document.adoptNode(region));
    else place(document.adoptNode(region), fresh);
  }
  for (const old of regions(document)) if (!fresh.includes(old.id)) old.remove();

  for (const [id, was] of open) if (byId(id) && was) byId(id).open = true;
  for (const [id, field] of typed) if (byId(id)) byId(id).value = field.value;
  if (shown && byId(shown)) {
    choose(shown);
    byId(shown).querySelector(".error").textContent = error;
  }
  if (focused?.id && !focused.isConnected && byId(focused.id)) {
    byId(focused.id).focus({ preventScroll: true });
    if (typeof from === "number") byId(focused.id).setSelectionRange(from, to);
  } else if (focused && focused !== body && !focused.isConnected) {
    byId("main").focus({ preventScroll: true }); // what had the focus is gone: stay on the page
  }
  document.title = next.title;
  localTimes(document);
  tick();
  announce(next.getElementById("main").dataset.announce);
  look();
}

// A region that was not there before goes in after the one that precedes it in the new page.
function place(region, order) {
  const before = order.slice(0, order.indexOf(region.id)).reverse().map(byId).find(Boolean);
  if (before) before.after(region);
  else byId("main").prepend(region);
}

function announce(text, trouble = false) {
  if (trouble) {
    byId("notice").textContent = text;
    byId("notice").hidden = false;
  } else if (text && text !== said) {
    said = text;
    byId("spoken").textContent = text;
  }
}

// A page as a parsed document. XMLHttpRequest can do what fetch cannot: no text is turned into markup
// by this script, so Trusted Types forbids it to try.
const load = (path) =>
  new Promise((resolve, reject) => {
    const ask = new XMLHttpRequest();
    ask.open("GET", path);
    ask.responseType = "document";
    ask.timeout = 15000;
    ask.setRequestHeader("Accept", "text/html");
    ask.onload = () => resolve({ status: ask.status, url: ask.responseURL, page: ask.response });
    ask.onerror = ask.ontimeout = reject;
    ask.send();
  });

let fetching = null;
let again = false;
async function refresh() {
  if (fetching || signing) {
    again = true;
    return fetching;
  }
  fetching = (async () => {
    try {
      const { status, url, page } = await load(location.pathname);
      if (new URL(url).pathname !== location.pathname) return location.assign(url); // signed out
      if (status === 404 || status === 403) return location.reload();
      if (status !== 200 || !page?.querySelector("[data-swap]")) throw new Error(String(status));
      byId("notice").hidden = true;
      swap(page);
    } catch {
      announce("Not up to date: the service cannot be reached. Trying again.", true);
      setTimeout(refresh, 5000);
    }
  })();
  await fetching;
  fetching = null;
  if (again && !signing) {
    again = false;
    await refresh();
  }
}

// The service is told when a request is first on the screen, and counts from then on: the page as
// it is after the given time has Approve enabled.
let looking = false;
async function look() {
  const path = byId("decision")?.dataset.seen;
  if (!path || looking || document.visibilityState !== "visible") return;
  looking = true;
  try {
    const { wait } = await post(path);
    if (wait) await new Promise((done) => setTimeout(done, wait * 1000 + 100));
    looking = false;
    await refresh();
  } catch (error) {
    looking = false;
    if (!(error instanceof Refusal)) throw error;
    announce(error.message, true);
  }
}

// Events say only that something changed; what changed is fetched as the page itself. When the
// stream drops (a proxy, a phone asleep) the page asks every few seconds until it is back.
function listen(path) {
  let polling = null;
  let source = null;
  const connect = () => {
    source = new EventSource(path);
    source.addEventListener("changed", refresh);
    source.addEventListener("open", () => {
      clearInterval(polling);
      polling = null;
      refresh(); // what happened while nobody listened
    });
    source.addEventListener("error", () => {
      polling ??= setInterval(() => {
        if (document.visibilityState !== "visible") return;
        refresh();
        if (source.readyState === EventSource.CLOSED) connect();
      }, 3000);
    });
  };
  connect();
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => event.persisted && location.reload());
  document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && refresh());
}

// ---- what buttons do --------------------------------------------------------------------------

// The bar stands still at the bottom: what is in it is in sight, and the page need not move for it.
function focusInBar(field) {
  field.focus({ preventScroll: getComputedStyle(byId("decision")).position === "sticky" });
}

function choose(id) {
  for (const each of ["choose", "form-deny", "form-approve"]) {
    if (byId(each)) byId(each).hidden = each !== id;
  }
}

const acts = {
  "choose-deny"() {
    choose("form-deny");
    focusInBar(byId("reason"));
  },
  "choose-approve"(button) {
    if (button.getAttribute("aria-disabled") === "true") {
      if (byId("show-all")) byId("show-all").focus();
      else byId("spoken").textContent = byId("look").textContent;
      return;
    }
    choose("form-approve");
    focusInBar(byId("form-approve").querySelector("[data-act=back]"));
  },
  back(button) {
    const which = button.form.dataset.decide;
    choose("choose");
    focusInBar(byId(which));
  },
  async "open-whole"() {
    await post(`${location.pathname}/opened`);
    byId("payload").open = true;
    await refresh();
    byId("payload").open = true;
    byId("exactly-h").scrollIntoView();
    byId("payload-text").focus({ preventScroll: true });
  },
  async "sign-out"() {
    await post("/signout");
    location.assign("/signin");
  },
};

async function decide(form) {
  const path = `${form.dataset.path}/decide`;
  const decision = form.dataset.decide;
  const given = await post(`${path}/begin`, { decision });
  const request = form.dataset.path.split("/").pop();
  const credential = await get(given, "assent/decision/1", { decision, request, call_hash: form.dataset.call });
  const reason = form.elements.reason?.value ?? "";
  await post(`${path}/finish`, { ceremony: given.ceremony, credential, reason });
  await refresh();
  byId("main").focus({ preventScroll: true });
  scrollTo({ top: 0 });
}

// Whatever a press leads to, it leads to it once, and what went wrong is said beside the button.
async function run(button, errors, work) {
  if (signing) return;
  signing = true;
  button?.setAttribute("aria-busy", "true");
  if (errors) errors.textContent = "";
  try {
    await work();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    signing = false;
    if (errors?.isConnected) errors.textContent = error.message;
    else announce(error.message, true);
    if (error.status === 409 || error.status === 404 || error.status === 410) await refresh();
  } finally {
    signing = false;
    button?.removeAttribute("aria-busy");
    if (again) refresh();
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-act]");
  if (button) run(button, button.form?.querySelector(".error"), () => acts[button.dataset.act](button));
});

document.addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.target;
  const { decide: decision, enrol: invitation, signin, next, further: more, link: chat, unlink, revoke } = form.dataset;
  const work = async () => {
    if (decision) await decide(form);
    else if (invitation) await enrol(invitation);
    else if (signin) location.assign((await signIn(signin, next)) + location.hash); // a link's part of the page
    else if (more) await further(more);
    else if (chat) await link(chat);
    else if (unlink) await withPasskey(unlink, "unlink-account");
    else if (revoke) await withPasskey(revoke, "revoke-passkey");
  };
  run(form.querySelector("[type=submit]"), form.querySelector(".error"), work);
});

for (const region of regions(document)) sources.set(region.id, region.outerHTML);
localTimes(document);
tick();
setInterval(tick, 1000);
look();
document.addEventListener("visibilitychange", look);
if (body.dataset.live) listen(body.dataset.live);
