// Opens one-time links in a window of their own and follows what becomes of them. The page works
// without any of this; the script fetches the same page again and takes the parts that changed.
"use strict";

const REGIONS = ["follow-head", "details", "members", "identifiers", "told"];
const WINDOW_CLOSED = "Your bank’s window is closed, and you were not finished there. You can go on where you like.";
const gateway = document.body.dataset.gateway;
const byId = (id) => document.getElementById(id);

/** The member on show; a loop that follows another one stops by itself. */
let followed = null;
/** The window that was opened for it, while this page has one. */
let popup = null;
/** Ends the pause between two questions early. */
let wake = () => {};

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("[data-opens]")) return;
  event.preventDefault();
  // At once, while the browser still knows that a person clicked; the address comes later. The
  // window keeps its opener, because it says through it how things ended.
  const opened = window.open("about:blank", "_blank", "popup,width=480,height=760");
  connect(form, opened);
});

async function connect(form, opened) {
  const button = form.querySelector("button");
  button.disabled = true;
  byId("blocked").hidden = true;
  byId("heard").hidden = true;
  try {
    const response = await fetch(form.action, {
      method: "POST",
      headers: { Accept: "application/json" },
      body: new URLSearchParams(new FormData(form)),
    });
    const body = await response.json();
    if (!response.ok) throw new Error(body.error.message);
    complain("");
    // Another window for the same connection takes the place of this one.
    popup?.close();
    popup = opened;
    if (opened && !opened.closed) {
      opened.location.replace(body.oauth_window_uri);
    } else {
      byId("open-link").href = body.oauth_window_uri;
      byId("blocked").hidden = false;
    }
    history.replaceState(null, "", `/?member=${encodeURIComponent(body.member_guid)}`);
    follow(body.member_guid);
  } catch (error) {
    opened?.close();
    complain(error.message);
  } finally {
    button.disabled = false;
  }
}

byId("open-link").addEventListener("click", () => {
  byId("blocked").hidden = true;
});

/** Asks every second how the member is, one question at a time, for as long as it is on show. */
async function follow(member) {
  followed = member;
  wake();
  let known = "";
  while (followed === member) {
    // Before the question: a window that closes itself has told the gateway everything by then.
    const closed = popup?.closed ?? false;
    try {
      const response = await fetch(`/api/state/${encodeURIComponent(member)}`);
      const text = await response.text();
      if (followed !== member) return;
      if (response.ok && text !== known) {
        // The status comes last: who sees it finds the parts that go with it.
        await refresh();
        known = text;
      }
      if (response.ok) show(JSON.parse(text), closed);
    } catch {
      // The server is away; the next question may find it.
    }
    await pause(1000);
  }
}

function pause(milliseconds) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    wake = () => {
      clearTimeout(timer);
      resolve();
    };
  });
}

function show(state, closed) {
  const status = byId("status");
  const left = closed && state.connection_status === "PENDING" && state.auth_status === 1;
  const words = left ? WINDOW_CLOSED : state.summary;
  status.dataset.status = state.connection_status;
  status.dataset.authStatus = state.auth_status ?? "";
  status.dataset.errorReason = state.error_reason ?? "";
  status.dataset.tone = state.tone;
  status.toggleAttribute("data-closed", left);
  if (status.textContent !== words) status.textContent = words;
  const card = byId("follow");
  if (card.hidden) {
    byId("welcome").hidden = true;
    card.hidden = false;
    card.scrollIntoView({ block: "nearest" });
  }
}

/** Takes the parts that changed from a fresh copy of the page. */
async function refresh() {
  const response = await fetch(location.pathname + location.search);
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  document.title = fresh.title;
  for (const id of REGIONS) {
    const [here, there] = [byId(id), fresh.getElementById(id)];
    if (there && here.innerHTML !== there.innerHTML) {
      here.replaceChildren(...document.adoptNode(there).childNodes);
    }
  }
}

function complain(text) {
  const trouble = byId("trouble");
  trouble.textContent = text;
  trouble.hidden = text === "";
}

/** The handles that were sent: the window says each as long as it waits. */
const confirmed = new Set();

/** The person who looks at this page is signed in here: its server says so, if the person wants it to. */
function confirm({ member_guid, completion }) {
  if (!byId("confirm")?.checked || confirmed.has(completion)) return;
  confirmed.add(completion);
  fetch(`/members/${encodeURIComponent(member_guid)}/confirm`, {
    method: "POST",
    body: new URLSearchParams({ completion }),
  }).then(wake, () => confirmed.delete(completion));
}

// The window says that it is done. That is only a reason to ask at once: what is shown comes from
// the app's own server.
window.addEventListener("message", (event) => {
  if (event.origin !== gateway) return;
  const { mx, type, metadata } = Object(event.data);
  if (mx !== true || typeof Object(metadata).member_guid !== "string") return;
  if (type === "oauthComplete/pending") confirm(metadata);
  if (type !== "oauthComplete/success" && type !== "oauthComplete/error") return;
  const heard = byId("heard");
  heard.dataset.type = type;
  heard.dataset.memberGuid = metadata.member_guid;
  heard.dataset.errorReason = metadata.error_reason ?? "";
  heard.textContent = `The window said: ${type}${metadata.error_reason ? ` (${metadata.error_reason})` : ""}.`;
  heard.hidden = false;
  wake();
});

// A developer's view stays open from page to page.
const developer = byId("developer");
developer.open = sessionStorage.getItem("developer") === "open";
developer.addEventListener("toggle", () => {
  sessionStorage.setItem("developer", developer.open ? "open" : "closed");
});

if (document.body.dataset.member) follow(document.body.dataset.member);
