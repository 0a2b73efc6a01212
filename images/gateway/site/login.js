"use strict";
// Logs in by the password that is typed, or that stands after # in the address: browsers send that part to nobody.

/** Where to go then: below this address alone, whatever the link says. */
function target() {
  if (location.pathname !== "/login") return location.href.split("#")[0];
  const to = new URL(new URLSearchParams(location.search).get("to") ?? "/", location.origin);
  return to.origin === location.origin ? to.href : "/";
}

async function logIn(password) {
  const answer = await fetch("/session", { method: "POST", headers: { Authorization: `Bearer ${password}` } });
  if (answer.ok) location.replace(target());
  else document.getElementById("said").textContent = (await answer.text()) || `The gateway answers ${answer.status}.`;
}

const failed = () => {
  document.getElementById("said").textContent = "The gateway does not answer.";
};

document.getElementById("login").addEventListener("submit", (event) => {
  event.preventDefault();
  // A header holds no other characters, and no password of a cluster does.
  const password = document.getElementById("password").value.replace(/[^\x21-\x7e]/g, "");
  logIn(password).catch(failed);
});

// Where there is a hub, its users are led to its own login.
fetch("/hub", { method: "HEAD", redirect: "manual" }).then(
  ({ type }) => {
    document.getElementById("hub").hidden = type !== "opaqueredirect";
  },
  () => {},
);

function logInByLink() {
  const given = location.pathname === "/login" ? location.hash.slice(1) : "";
  if (!/^[\x21-\x7e]+$/.test(given)) return;
  history.replaceState(null, "", location.pathname + location.search);
  logIn(given).catch(failed);
}

logInByLink();
// To a browser that shows this page already, the link is another place in it.
addEventListener("hashchange", logInByLink);
