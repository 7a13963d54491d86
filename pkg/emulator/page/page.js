// The page of the emulator: decisions as they come, and the chain. Whatever
// comes from a client is put in as text, never as HTML.
"use strict";

const byID = id => document.getElementById(id);

// el makes an element of a class with children, which are nodes or texts.
function el(name, className, ...children) {
  const e = document.createElement(name);
  if (className) e.className = className;
  e.append(...children.filter(c => c !== null && c !== undefined && c !== ""));
  return e;
}

// facts makes a list of names and values, without those that are empty.
function facts(pairs) {
  const dl = el("dl");
  for (const [name, value] of pairs) {
    if (value === undefined || value === null || value === "" || (Array.isArray(value) && value.length === 0)) continue;
    dl.append(el("dt", "", name), el("dd", "", Array.isArray(value) ? list(value) : value));
  }
  return dl;
}

const list = values => el("ul", "", ...values.map(v => el("li", "", v)));
const time = t => t ? new Date(t).toLocaleString() : "";
const values = v => v === null ? "absent" : v.length === 1 ? v[0] : v.join(", ");

function check(c) {
  const what = c.element === "Condition" ? `${c.operator} ${c.key}` : c.element;
  return el("span", "", el("strong", "", what), `: expected ${values(c.expected || [])}, was ${values(c.actual)}`,
    el("span", "dim", ` (${c.statement.policy}, statement ${c.statement.sid || c.statement.index})`), c.hint ? ` ${c.hint}` : "");
}

const fetched = f => `${f.url}: ${f.error || f.status}${f.inside ? " (in this S3)" : ""}, ${f.millis} ms`;

function eventItem(e) {
  const kind = e.step === "warning" ? "warning" : e.decision;
  const s = e.statement;
  return el("li", kind, el("details", "",
    el("summary", "",
      el("span", "head",
        el("span", "verdict", kind),
        el("span", "action", e.action),
        el("span", "dim", e.subject || e.caller),
        el("time", "dim", new Date(e.time).toLocaleTimeString())),
      el("p", "reason", e.reason),
      ...(e.warnings || []).map(w => el("p", "reason warn", w))),
    facts([
      ["Time", time(e.time)], ["Request", e.requestId], ["Operation", `${e.service} ${e.operation}`], ["Caller", e.caller],
      ["Access key", e.accessKeyId], ["From", e.sourceIp], ["Resource", e.resource], ["Step", e.step], ["Answer", e.code],
      ["Issuer", e.issuer], ["Subject", e.subject], ["Audience", e.audience],
      ["Session", e.session ? `${e.session.arn}, until ${time(e.session.expires)}` : ""],
      ["Statement", s ? `${s.type} ${s.policy}, statement ${s.sid || s.index}` : ""],
      ["Stood in the way", (e.checks || []).map(check)], ["Fetched", (e.fetches || []).map(fetched)],
    ])));
}

// Decisions: asked for with a wait, so that they are there as they come.
const maxShown = 200;
const form = byID("filter");
let round = 0; // of the filter: answers to an older one are dropped

async function follow() {
  const mine = ++round;
  const data = new FormData(form);
  let after = 0;
  byID("events").replaceChildren();
  byID("no-events").hidden = false;
  while (mine === round) {
    if (form.elements.pause.checked) {
      await new Promise(done => setTimeout(done, 300));
      continue;
    }
    const query = new URLSearchParams({ after, limit: maxShown, wait: after ? "25s" : "0s" });
    for (const name of ["caller", "action", "decision"]) if (data.get(name)) query.set(name, data.get(name));
    try {
      const answer = await fetch("events?" + query);
      if (!answer.ok) throw new Error((await answer.json()).error);
      const { events, last } = await answer.json();
      if (mine !== round) return;
      connected(true);
      after = Math.max(after, last, 1);
      const all = byID("events");
      for (const e of events) all.prepend(eventItem(e));
      while (all.children.length > maxShown) all.lastChild.remove();
      byID("no-events").hidden = all.children.length > 0;
      if (events.length) chainSoon();
    } catch (err) {
      connected(false, err);
      await new Promise(done => setTimeout(done, 2000));
    }
  }
}

function connected(ok, err) {
  const p = byID("connection");
  p.className = ok ? "" : "lost";
  p.textContent = ok ? "" : `No answer from the emulator (${err.message}); trying again.`;
}

// The chain, drawn anew after decisions, with what was open left open.
let chainTimer;
function chainSoon() {
  clearTimeout(chainTimer);
  chainTimer = setTimeout(drawChain, 200);
}

function json(title, doc) {
  const d = el("details", "", el("summary", "", title), el("pre", "", JSON.stringify(doc, null, 2)));
  return d;
}

function draw(id, items, none) {
  const open = new Set([...byID(id).querySelectorAll("details[open]")].map(d => d.dataset.key));
  byID(id).replaceChildren(...(items.length ? items : [el("p", "dim", none)]));
  for (const card of byID(id).children) {
    for (const d of card.querySelectorAll("details")) {
      d.dataset.key = card.dataset.key + " " + d.querySelector("summary").textContent;
      d.open = open.has(d.dataset.key);
    }
  }
}

function card(key, ...children) {
  const c = el("article", "card", el("h3", "", key), ...children);
  c.dataset.key = key;
  return c;
}

async function drawChain() {
  let c;
  try {
    c = await (await fetch("chain")).json();
  } catch (err) {
    return connected(false, err);
  }
  byID("account").textContent = `Account ${c.account}, partition ${c.partition}`;
  draw("providers", c.providers.map(p => card(p.arn, facts([
    ["Client ids", p.clientIds || []], ["Thumbprints", p.thumbprints || []],
    ["Keys", p.fetched ? (p.keys || []).map(k => `${k.type} ${k.kid}`) : "not fetched yet: that happens when the first token comes"],
    ["Fetched", p.fetched ? time(p.fetched) : ""], ["From", (p.fetches || []).map(fetched)],
    ["Problems", (p.problems || []).map(w => el("span", "warn", w))],
    ["Tags", (p.tags || []).map(t => `${t.Key} = ${t.Value}`)],
  ]), p.document ? json("Discovery document", p.document) : null)), "There are no OIDC providers: no token of any issuer is accepted.");
  draw("roles", c.roles.map(r => card(r.arn, facts([
    ["Managed policies", r.attached || []], ["Boundary", r.boundary], ["Last used", time(r.used)],
    ["Mind", (r.warnings || []).map(w => el("span", "warn", w))],
  ]), json("Trust policy", r.trust), ...(r.inline || []).map(p => json("Inline policy " + p.name, p.document)))),
    "There are no roles.");
  draw("sessions", c.sessions.map(s => card(s.arn, facts([
    ["For", s.subject], ["By", s.operation], ["Access key", s.accessKeyId], ["Issued", time(s.issued)], ["Until", time(s.expires)],
  ]))), "No session is known. The emulator does not keep sessions; these are those that its recent decisions tell of.");
}

let typing;
form.addEventListener("input", e => {
  if (e.target.name === "pause") return;
  clearTimeout(typing);
  typing = setTimeout(follow, 250);
});
form.addEventListener("submit", e => e.preventDefault());
follow();
drawChain();
