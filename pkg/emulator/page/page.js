// The page of the emulator: the chain of each service account, and decisions as they come. Whatever
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

function link(text, href) {
  const a = el("a", "", text);
  a.href = href;
  return a;
}

const list = values => el("ul", "", ...values.map(v => el("li", "", v)));
const time = t => t ? new Date(t).toLocaleString() : "";
const values = v => v === null ? "absent" : v.length === 1 ? v[0] : v.join(", ");

// inert is a text that looks like what it is: characters that are not seen, or turn
// the direction of others, are written as JSON escapes them.
const inert = s => s.replace(/[\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
  c => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
const pretty = doc => inert(JSON.stringify(doc, null, 2));

// copyable is a text to be pasted elsewhere.
function copyable(title, text) {
  const pre = el("pre", "", text);
  const button = el("button", "", "Copy");
  button.type = "button";
  button.setAttribute("aria-label", "Copy the " + title.toLowerCase());
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch { // browsers allow it to https and localhost only
      getSelection().selectAllChildren(pre);
      button.textContent = "Selected";
    }
  });
  return el("div", "copyable", el("div", "", el("span", "dim", title), button), pre);
}

// remedy is what would allow what was denied.
function remedy(r) {
  if (!r) return null;
  const additions = r.additions || [];
  return el("details", "remedy", el("summary", "", additions.length ? "What would allow it" : "Why no Allow helps"), el("p", "", r.text),
    ...additions.map(a => el("div", "addition",
      el("p", "", el("strong", "", a.type), a.to ? ` of ${a.to}` : ""), a.note ? el("p", "warn", a.note) : null,
      copyable("Statement", pretty(a.statement)), a.command ? copyable("Command", a.command) : null)));
}

function check(c) {
  const what = c.element === "Condition" ? `${c.operator} ${c.key}` : c.element;
  return el("span", "", el("strong", "", what), `: expected ${values(c.expected || [])}, was ${values(c.actual)}`,
    el("span", "dim", ` (${c.statement.policy}, statement ${c.statement.sid || c.statement.index})`), c.hint ? ` ${c.hint}` : "");
}

const fetched = f => `${f.url}: ${f.error || f.status}${f.inside ? " (in this S3)" : ""}, ${f.millis} ms`;

// same is what equal decisions have in common.
const same = e => JSON.stringify([e.decision, e.step, e.code, e.service, e.operation, e.action, e.resource, e.caller, e.issuer, e.subject,
  e.audience, e.reason, e.warnings]);

// eventItem is a decision, or a run of equal ones, of which it is the latest.
function eventItem({ event: e, count, first }) {
  const clock = t => new Date(t).toLocaleTimeString();
  const kind = e.step === "warning" ? "warning" : e.decision === "wouldDeny" ? "would deny" : e.decision;
  const s = e.statement;
  const item = el("li", e.decision === "wouldDeny" ? "unenforced" : kind, el("details", "",
    el("summary", "",
      el("span", "head",
        el("span", "verdict", kind),
        el("span", "action", e.action),
        el("span", "dim", e.subject || e.caller),
        count > 1 ? el("span", "count", `${count} times`) : null,
        el("span", "dim", count > 1 ? `${clock(first)} to ${clock(e.time)}` : clock(e.time))),
      el("p", "reason", e.reason),
      ...(e.warnings || []).map(w => el("p", "reason warn", w))),
    facts([
      [count > 1 ? "First time" : "", count > 1 ? time(first) : ""], [count > 1 ? "Last time" : "Time", time(e.time)], ["Request", e.requestId], ["Operation", `${e.service} ${e.operation}`], ["Caller", e.caller],
      ["Account", e.account], ["Account of the resource", e.resourceAccount],
      ["Access key", e.accessKeyId], ["From", e.sourceIp], ["Resource", e.resource], ["Step", e.step], ["Answer", e.code],
      ["Issuer", e.issuer], ["Key", e.kid], ["Pod", e.pod], ["Subject", e.subject], ["Audience", e.audience],
      ["Session", e.session ? `${e.session.arn}, until ${time(e.session.expires)}` : ""],
      ["Statement", s ? `${s.type} ${s.policy}, statement ${s.sid || s.index}` : ""],
      ["Stood in the way", (e.checks || []).map(check)], ["Fetched", (e.fetches || []).map(fetched)],
    ]), remedy(e.remedy)));
  item.run = { key: same(e), event: e, count, first };
  return item;
}

// fold adds decisions, oldest first, to the list: equal ones in a row become one.
function fold(events, list) {
  const runs = list.firstChild ? [list.firstChild.run] : [];
  const old = runs[0];
  for (const e of events) {
    const last = runs.at(-1);
    if (last && last.key === same(e)) runs[runs.length - 1] = { ...last, event: e, count: last.count + 1 };
    else runs.push({ key: same(e), event: e, count: 1, first: e.time });
  }
  for (const run of runs) {
    if (run === old) continue;
    const item = eventItem(run);
    if (run === runs[0] && old) {
      item.firstChild.open = list.firstChild.firstChild.open;
      list.firstChild.replaceWith(item);
    } else list.prepend(item);
  }
}

// Decisions: asked for with a wait, so that they are there as they come.
const maxShown = 200;
const form = byID("filter");
let round = 0; // of the filter: answers to an older one are dropped

async function follow() {
  const mine = ++round;
  const data = new FormData(form);
  let after = null; // the latest decision that was asked for; null begins anew, with what the emulator has
  byID("events").replaceChildren();
  byID("no-events").hidden = false;
  while (mine === round) {
    if (form.elements.pause.checked) {
      await new Promise(done => setTimeout(done, 300));
      continue;
    }
    const begin = after === null;
    const query = new URLSearchParams({ after: after ?? 0, limit: begin ? 1000 : 0, wait: begin ? "0s" : "25s" });
    for (const name of ["caller", "account", "action", "decision"]) if (data.get(name)) query.set(name, data.get(name));
    try {
      const answer = await fetch("events?" + query);
      if (!answer.ok) throw new Error((await answer.json()).error);
      const { events, last } = await answer.json();
      if (mine !== round) return;
      connected(true);
      if (!begin && last < after) { // another process, whose decisions are numbered from 1
        after = null;
        continue;
      }
      after = last;
      const all = byID("events");
      if (begin) {
        all.replaceChildren();
        chainSoon();
      }
      fold(events, all);
      while (all.children.length > maxShown) all.lastChild.remove();
      byID("no-events").hidden = all.children.length > 0;
      if (events.length) chainSoon();
    } catch (err) {
      after = null; // it may be another process that answers next
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
  const d = el("details", "", el("summary", "", title), el("pre", "", pretty(doc)));
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

// The picture of a chain. A link has its kind, its state in a word, and its mark
// besides its colour.
const linkNames = { key: "Signing key", documents: "Documents", provider: "Provider", cluster: "Cluster", role: "Role", account: "Service account", pod: "Pod",
  decision: "Last decision" };
const linkStates = { good: "in order", broken: "broken", doubtful: "in doubt", unknown: "not known", denied: "denied" };
const icons = {
  key: "M8 8.5a3.5 3.5 0 1 0 0 7a3.5 3.5 0 1 0 0-7zM11.5 12H20M17 12v3M20 12v2.5",
  documents: "M7 4h7l4 4v12H7zM14 4v4h4M10 13h5M10 16h5",
  provider: "M12 3l7 3v5c0 5-3 8-7 10c-4-2-7-5-7-10V6zM9 12l2.2 2.2L15.5 10",
  cluster: "M12 3l8 4.5-8 4.5-8-4.5zM4 12l8 4.5 8-4.5M4 16.5l8 4.5 8-4.5",
  role: "M4 6h16v12H4zM9 9a1.8 1.8 0 1 0 0 3.6a1.8 1.8 0 1 0 0-3.6zM6.3 16c.6-2.3 4.8-2.3 5.4 0M14 10.5h3.5M14 13.5h3.5",
  account: "M12 4.5a3.5 3.5 0 1 0 0 7a3.5 3.5 0 1 0 0-7zM5 20c.8-7 13.2-7 14 0",
  pod: "M12 3l8 4.5v9L12 21l-8-4.5v-9zM4 7.5l8 4.5 8-4.5M12 12v9",
  decision: "M6 21V4h12l-2.5 4 2.5 4H6",
};
const marks = { good: "M-3.5 0l2.5 2.5 4.5-5", broken: "M-3-3l6 6M3-3l-6 6", doubtful: "M0-4v4.5M0 3v.5", unknown: "M-2.5 0h5", denied: "M-3-3l6 6M3-3l-6 6" };

function svg(name, attributes, ...children) {
  const e = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  e.append(...children);
  return e;
}

function drawing(link) {
  return svg("svg", { viewBox: "0 0 48 48", class: "node", "aria-hidden": "true" },
    svg("circle", { cx: 24, cy: 24, r: 20, class: "ring" }),
    svg("path", { d: icons[link.kind], transform: "translate(12 12)", class: "icon" }),
    svg("circle", { cx: 39, cy: 9, r: 8, class: "badge" }),
    svg("path", { d: marks[link.state], transform: "translate(39 9)", class: "mark" }));
}

// miniature is the chain in a line, for one that is folded.
function miniature(links) {
  return svg("svg", { viewBox: `0 0 ${links.length * 16} 16`, class: "miniature", "aria-hidden": "true" },
    svg("path", { d: `M8 8H${links.length * 16 - 8}`, class: "line" }),
    ...links.map((l, i) => svg("g", { class: l.state, transform: `translate(${i * 16 + 8} 8)` },
      svg("circle", { r: 6.5, class: "badge" }), svg("path", { d: marks[l.state], class: "mark", transform: "scale(.8)" }))));
}

const found = l => (l.found || []).length ? values(l.found) : "nothing";

function linkItem(l) {
  return el("li", l.state, drawing(l), el("div", "", el("strong", "", linkNames[l.kind]), el("span", "state", linkStates[l.state]),
    el("span", "value", l.value)));
}

// inWords is the chain as somebody hears it who does not see the picture.
function inWords(c) {
  const l = c.links.find(l => l.state === "broken");
  return `Chain of ${c.name} with role ${c.role}: ${c.state}` + (!l ? "" : ` at ${linkNames[l.kind]}: ${l.problem}`);
}

// toggled are the chains that somebody has opened or closed.
const toggled = new Map();
const chainKey = c => JSON.stringify([c.issuer, c.subject, c.role]);

function chainItem(c, open) {
  const picture = el("ol", "links", ...c.links.map(linkItem));
  picture.setAttribute("aria-label", inWords(c));
  const broken = c.links.filter(l => l.state === "broken");
  const doubts = c.links.filter(l => l.state === "doubtful");
  const d = c.decision;
  const item = el("details", "chain " + c.state,
    el("summary", "", el("span", "head", el("span", "verdict", c.state), el("h3", "", c.name),
      el("span", "dim", c.role.slice(c.role.lastIndexOf("/") + 1)), miniature(c.links))),
    picture,
    ...broken.map(l => el("div", "break", el("p", "", el("strong", "", `Broken: ${linkNames[l.kind].toLowerCase()}`)),
      l.expected || l.found ? facts([["Expected", values(l.expected || [])], ["Found", found(l)]]) : null, el("p", "reason", l.problem))),
    ...doubts.map(l => el("p", "reason warn", `${linkNames[l.kind]}: ${l.problem}`)),
    d ? remedy(d.remedy) : null,
    el("details", "more", el("summary", "", "Details"),
      facts([["Role", c.role], ["Subject", c.subject], ["Issuer", c.issuer], ["Decided", d ? time(d.time) : ""],
        ...c.links.map(l => [linkNames[l.kind], l.details || []])])));
  item.dataset.key = chainKey(c);
  item.open = toggled.has(item.dataset.key) ? toggled.get(item.dataset.key) : open;
  item.firstChild.addEventListener("click", () => toggled.set(item.dataset.key, !item.open));
  return item;
}

const maxChains = 20; // that are shown unless somebody asks for all
let allChains = false;
let drawnChains = "";
function drawChains(c) {
  const text = JSON.stringify([c.chains, c.chainsLeft, allChains]);
  if (text === drawnChains) return;
  drawnChains = text;
  const shown = allChains ? c.chains : c.chains.slice(0, maxChains);
  draw("chains", shown.map((chain, i) => chainItem(chain, c.chains.length <= 3 || i < 3 && chain.state === "broken")),
    "No role trusts a service account, and none has come.");
  const more = byID("more-chains");
  const hidden = c.chains.length - shown.length;
  more.hidden = hidden + c.chainsLeft === 0;
  more.replaceChildren();
  if (hidden) {
    const button = el("button", "", `Show ${hidden} more`);
    button.type = "button";
    button.addEventListener("click", () => { allChains = true; drawChains(c); });
    more.append(button);
  }
  if (c.chainsLeft) more.append(` ${c.chainsLeft} more are not listed.`);
}

async function drawChain() {
  let c;
  try {
    c = await (await fetch("chain")).json();
  } catch (err) {
    return connected(false, err);
  }
  drawChains(c);
  byID("of-account").hidden = !c.accounts;
  byID("account").textContent = c.accounts
    ? `Accounts ${c.accounts.join(", ")}, partition ${c.partition}` : `Account ${c.account}, partition ${c.partition}`;
  draw("providers", c.providers.map(p => card(p.arn, facts([
    ["Client ids", p.clientIds || []], ["Thumbprints", p.thumbprints || []],
    ["Keys", p.fetched ? (p.keys || []).map(k => `${k.type} ${k.kid}`) : "not fetched yet: that happens when the first token comes"],
    ["Fetched", p.fetched ? time(p.fetched) : ""], ["From", (p.fetches || []).map(fetched)],
    ["Problems", (p.problems || []).map(w => el("span", "warn", w))],
    ["Tags", (p.tags || []).map(t => `${t.Key} = ${t.Value}`)],
  ]), p.document ? json("Discovery document", p.document) : null)), "There are no OIDC providers: no token of any issuer is accepted.");
  draw("roles", c.roles.map(r => card(r.arn, facts([
    ["Managed policies", r.attached || []], ["Boundary", r.boundary], ["Last used", time(r.used)],
    ["Least policy", r.used ? ["diff", "json", "terraform"].map(f => link(f, `policy?form=${f}&role=${encodeURIComponent(r.arn)}`)) : []],
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
