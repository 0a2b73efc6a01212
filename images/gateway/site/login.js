"use strict";
// Logs in with the password that was typed, or with the one after # in the address: browsers do not send that part to servers.

/** Where to go after the login: never to another origin, whatever the link says. */
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
  // A header cannot contain other characters, and a cluster's password has none.
  const password = document.getElementById("password").value.replace(/[^\x21-\x7e]/g, "");
  logIn(password).catch(failed);
});

// If there is a hub, show the link to its own login.
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
// If the browser already shows this page, opening the link changes only the part after #.
addEventListener("hashchange", logInByLink);
