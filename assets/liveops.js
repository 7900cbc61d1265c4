// @ts-check
/* liveops: keeps the live containers of a page live (docs: protocol). */
(() => {
  "use strict";

  const DEAD_AFTER = 40_000; // the server pings at least every 15 s
  const FIRST_BYTES = 10_000; // a silent stream was swallowed
  const GIVE_UP = 3; // streams in a row that said nothing
  const SAY_LOST_AFTER = 3_000;
  const POLL = 5_000;
  const SELDOM = 15_000;
  const LOT = 250; // new log lines that one frame has time for

  /** @type {Map<Element, Live>} the containers that this page follows */
  const lives = new Map();
  const multiplexed = /^h[23]/.test(/** @type {any} */ (performance.getEntriesByType("navigation")[0])?.nextHopProtocol);
  const restingTitle = document.title;

  /** Starts. */
  function start() {
    look();
    new MutationObserver(look).observe(document, { childList: true, subtree: true });
    document.addEventListener("submit", onSubmit);
    document.addEventListener("visibilitychange", () => each((live) => live.resume()));
    addEventListener("pagehide", () => each((live) => live.rest()));
    for (const name of ["pageshow", "focus"]) addEventListener(name, () => each((live) => live.source || live.resume()));
    addEventListener("offline", () => each((live) => live.missed(0)));
    addEventListener("online", () => each((live) => live.resume()));
  }

  /** Follows what is new, and leaves what is gone. */
  function look() {
    each((live) => live.gone());
    const news = containers(document).filter((root) => !lives.has(root)).map((root) => new Live(root));
    if (news[0]) Object.keys(unsaid).forEach(listen);
    for (const live of news) live.begin();
  }

  /** The containers of a page. */
  function containers(page) {
    return [...page.querySelectorAll("[data-liveop-channel]")];
  }

  /** For every container. */
  function each(action) {
    for (const live of [...lives.values()]) action(live);
  }

  /** One container and its stream. */
  class Live {
    cursor = "";
    misses = 1; // streams since one that said something
    polls = 0; // pages that failed in a row
    crowd = new BroadcastChannel("liveops"); // the streams of all windows
    newer = new Set();
    place = 1; // its name among them
    said = ""; // about the connection
    next = "";
    /** @type {(() => unknown)[]} */
    todo = []; // what the stream said since the last frame
    frame = 0;
    /** @type {EventSource | null} */
    source = null;
    timer = 0;
    watchdog = 0;
    lostTimer = 0;
    attempt = 0; // outdates late answers
    loading = -1; // the attempt that fetches the page; the stream waits for it
    spoken = { state: "", stage: "", quarter: 0 };

    /** Takes a container up. */
    constructor(root, seen = false) {
      lives.set(root, this);
      this.root = root;
      this.data = root.dataset;
      this.done = !this.data.liveopToken;
      this.seen = seen || !this.done;
      this.isList = !root.id.startsWith("op-");
      this.behind = !!root.querySelector("[data-liveop-known-only]"); // the stream brings a part
      this.crowd.onmessage = ({ data }) => this.share(data);
    }

    /** Begins to follow. */
    begin() {
      toEnd(this.part("log-lines"));
      if (this.done && !this.seen) this.spoken.state = this.data.liveopState ?? "";
      this.tell();
      if (!this.done) this.resume();
      else if (this.seen) this.leave();
    }

    // Connecting

    /** Goes on after a rest. */
    resume() {
      this.paint(true);
      if (this.done || this.gone()) return;
      this.rest();
      if (document.hidden) return this.isList || this.later(SELDOM, () => this.load());
      if (fresh(this.data.liveopToken)) this.open();
      if (!this.source || this.misses >= GIVE_UP) this.load();
    }

    /** Whether the page took the container away; then this is over. */
    gone() {
      if (this.root.isConnected) return false;
      this.done = true;
      this.rest();
      this.crowd.close();
      return lives.delete(this.root);
    }

    /** Closes the stream. */
    rest() {
      this.paint(true);
      this.attempt++;
      this.source?.close();
      this.source = null;
      this.crowd.postMessage(-this.place);
      clearTimeout(this.timer);
      clearTimeout(this.watchdog);
    }

    /** Gives way to newer streams: with HTTP/1.1 all windows share six connections. */
    share(place) {
      place < 0 ? this.newer.delete(-place) : this.newer.add(place);
      if (!this.source || this.newer.size < (document.hasFocus() ? 5 : 3) || multiplexed) return;
      this.misses = GIVE_UP;
      this.rest();
      this.load();
    }

    /** Does one thing later, and no other. */
    later(delay, action) {
      clearTimeout(this.timer);
      this.timer = setTimeout(action, delay);
    }

    /** Opens the stream at the cursor. */
    open() {
      const { liveopStream, liveopToken = "", liveopChannel = "" } = this.data;
      const query = new URLSearchParams({ token: liveopToken, channel: liveopChannel, last_event_id: this.cursor });
      const source = (this.source = new EventSource(`${liveopStream}?${query}`));
      const on = (name, action) => source.addEventListener(name, (event) => {
        if (this.gone()) return;
        this.misses = 0;
        this.say("Live", "live");
        this.watch(DEAD_AFTER);
        const data = JSON.parse(event.data);
        this.todo.push(() => {
          if (event.lastEventId) this.cursor = event.lastEventId;
          return action(data);
        });
        this.todo.length > 200 ? this.paint() : this.soon(); // frames may not come
        if (name !== "end") return;
        source.close();
        this.source = null;
      });
      if (this.isList) {
        if (this.behind) source.onopen = () => this.load();
        this.behind = true;
      }
      on("ping", () => {});
      on("fragment", (envelope) => this.apply(envelope));
      on("state", (data) => this.enter(data.state));
      on("chain", (data) => { this.next = data.url; });
      on("end", (data) => this.end(data));
      source.onerror = () => this.missed();
      this.newer.clear();
      this.crowd.postMessage((this.place = Math.random()));
      this.watch(FIRST_BYTES);
    }

    /** Holds the stream for dead if it stays silent. */
    watch(patience) {
      clearTimeout(this.watchdog);
      this.watchdog = setTimeout(() => this.missed(), patience);
    }

    /** The stream failed: opens it once more, else asks the page. */
    missed(patience) {
      if (!this.source) return;
      const spoke = !this.misses++;
      const again = spoke && this.source.readyState < 2 && fresh(this.data.liveopToken);
      this.rest();
      this.losing(patience);
      this.later(spoke ? backOff(1) : 0, () => (again ? this.open() : this.load()));
    }

    /** Fetches the page, and goes on by what it says. */
    async load() {
      this.paint(true);
      const attempt = (this.loading = ++this.attempt);
      const page = await fetchPage(this.data.liveopPage ?? location.href);
      if (attempt !== this.attempt || this.done || this.gone()) return;
      this.loading = -1;
      this.soon();
      if (page === "signed out") return this.signedOut();
      if (page === "gone") return this.stop("This can’t be shown any more.", "Reload the page");
      const copy = page?.getElementById(this.root.id);
      if (!copy) {
        this.misses = Math.min(this.misses, GIVE_UP - 1);
        this.losing();
        return this.later(document.hidden ? SELDOM : backOff(++this.polls), () => this.load());
      }
      this.polls = 0;
      this.todo.unshift(() => this.take(copy));
      this.paint(true);
      if (this.source) return;
      if (!this.data.liveopToken) return this.todo[0] ? this.todo.push(() => this.end({})) : this.end({}); // it is over
      if (document.hidden) return this.later(SELDOM, () => this.load());
      if (this.misses < GIVE_UP || ++this.misses % 12 === 0) return this.open();
      this.say("No live updates just now: fetched every few seconds.", "fetched");
      this.later(POLL, () => this.load());
    }

    // What the stream says

    /** Paints with the next frame. */
    soon() {
      this.frame ||= requestAnimationFrame(() => this.paint());
    }

    /** Does one frame's share of what is to do, or all; focus and scroll stay. */
    paint(all) {
      cancelAnimationFrame(this.frame);
      this.frame = 0;
      if (!this.todo[0] || (this.loading === this.attempt && !all)) return;
      room = all ? Infinity : LOT;
      const keep = holdScroll(this.part("log-lines"));
      const focused = this.root.contains(document.activeElement);
      while (this.todo[0] && room > 0) {
        try {
          this.todo.shift()?.();
        } catch (error) {
          reportError(error);
        }
      }
      if (focused && !this.root.contains(document.activeElement)) focus(this.root.querySelector("h1"));
      keep(this.part("log-lines"), Number(this.data.liveopLogTail) || 200);
      this.tell();
      if (this.todo[0]) this.soon();
    }

    /** Applies a fragment for this container, or what a frame has time for; its HTML may be parsed already. */
    apply({ id, swap, html }) {
      const target = document.getElementById(id);
      if (!target || !this.root.contains(target) || !this.owns(id)) return;
      const content = html.nodeType ? html : parse(html);
      if (html.length > 100_000) {
        room -= LOT;
        return this.todo.unshift(() => this.apply({ id, swap, html: content }));
      }
      if (target === this.part("log-lines")) this.cut(swap === "outer" ? content.firstElementChild : content, target);
      if (swap === "outer") replace(target, content);
      else if (swap === "inner") morphChildren(target, content);
      else if (swap === "append" || swap === "prepend") add(target, content, swap);
      this.emit("liveop:fragment", { id, swap });
    }

    /** Cuts off the lines that a frame has no time for, in lots; a log that they replace keeps those that come again. */
    cut(lines, log) {
      const all = [...(lines?.children ?? [])];
      if (lines?.id) {
        if (!log.children[all[0]?.id]) log.replaceChildren();
        for (const line of [...log.children]) if (!lines.children[line.id]) line.remove();
      }
      while (all[room]) {
        const html = parse("");
        html.append(...all.splice(-1 - ((all.length - room - 1) % LOT)));
        this.todo.unshift(() => this.apply({ id: log.id, swap: "append", html }));
        lines.more = true;
      }
      room -= all.length;
    }

    /** Whether fragments may touch that id. */
    owns(id) {
      return this.isList ? /^op-.*-row$|^operations-rows$/.test(id) : id.startsWith(this.root.id + "-");
    }

    /** Enters a state. */
    enter(state) {
      this.data.liveopState = state;
      this.tell();
      this.emit("liveop:state", { operation: this.root.id.slice(3), state });
    }

    /** The last thing said about the operation. */
    end({ state = "", redirect = "" }) {
      this.rest();
      this.done = true;
      if (state) this.data.liveopState = state;
      if (redirect) this.data.liveopRedirect = redirect;
      if (this.next) this.data.liveopNext = this.next;
      delete this.data.liveopToken;
      this.say("");
      this.tell();
      const { liveopState, liveopPage, liveopRedirect = null } = this.data;
      this.emit("liveop:end", { operation: this.root.id.slice(3), state: liveopState, url: liveopPage, redirect: liveopRedirect });
      this.leave();
    }

    /** Goes where the ended operation leads, once. */
    leave() {
      const { liveopNext, liveopRedirect } = this.data;
      if (liveopNext) this.follow(liveopNext, 1);
      else if (liveopRedirect) {
        const url = new URL(liveopRedirect, location.href);
        if (/^https?:$/.test(url.protocol)) location.assign(url);
      }
    }

    /** Puts the next operation's container in this one's place. */
    async follow(address, tries) {
      const url = new URL(address, location.href);
      if (url.origin !== location.origin) return;
      const page = await fetchPage(url.href);
      if (page === "signed out") return this.signedOut();
      if (!page || (page === "gone" && tries < 6)) {
        this.losing();
        return this.later(backOff(tries), () => this.follow(address, tries + 1));
      }
      this.say("");
      if (page === "gone") return;
      const next = containers(page).find((root) => pathOf(root.dataset.liveopPage) === url.pathname);
      if (!next) return;
      if (location.pathname === pathOf(this.data.liveopPage)) history.replaceState(history.state, "", url);
      const focused = this.root.contains(document.activeElement);
      this.root.replaceWith(next);
      this.gone();
      if (focused) focus(next.querySelector("h1") ?? next);
      new Live(next, true).begin();
    }

    /** Takes over a newer copy of the container, and keeps the older lines of its log. */
    take(copy) {
      const before = this.data.liveopState;
      const lines = copy.querySelector(`[id="${this.root.id}-log-lines"]`);
      const attempt = (of) => of.querySelector("[data-attempt]")?.dataset.attempt;
      let older = attempt(copy) === attempt(this.root) && document.getElementById(lines?.firstElementChild?.id);
      while (older && (older = /** @type {any} */ (older.previousElementSibling))) lines.prepend(older.cloneNode(true));
      if (!document.hidden) room = LOT;
      this.cut(lines, this.part("log-lines"));
      morph(this.root, copy);
      const now = this.data.liveopState ?? "";
      if (now !== before) this.enter(now);
    }

    // What the page says

    /** One of the regions. */
    part(name) {
      return document.getElementById(`${this.root.id}-${name}`);
    }

    /** Updates the tab's title and says milestones. */
    tell() {
      if (this.isList) return;
      const { root, spoken } = this;
      const state = this.data.liveopState ?? "";
      const name = text(root.querySelector(".liveop-title")) || restingTitle;
      const percent = Math.floor((this.part("progress")?.querySelector("progress")?.position ?? -1) * 100 + 1e-6);
      const sign = state !== "running" ? text(root.querySelector(".liveop-badge")) : percent < 0 ? "" : `${percent} %`;
      const title = sign ? `${sign} · ${name}` : name;
      if (lives.size < 2 && document.title !== title) document.title = title;
      const stage = text(this.part("stages")?.querySelector('[aria-current="step"] bdi'));
      const quarter = Math.floor(percent / 25);
      if (state !== spoken.state) {
        announce(() => {
          const word = text(root.querySelector(".liveop-word"));
          const detail = text(root.querySelector(".liveop-outcome-title"));
          return `${name}: ${word}${detail && detail !== word ? `. ${detail}` : ""}`;
        }, ["failed", "interrupted"].includes(state) ? "alert" : "status");
      } else if (state.endsWith("ing")) {
        if (stage && stage !== spoken.stage) announce(() => stage);
        if (quarter > spoken.quarter && quarter < 4) announce(() => `${quarter * 25} %`);
      }
      this.spoken = { state, stage, quarter: Math.max(quarter, spoken.quarter) };
    }

    /** Says, after a while, that live updates are lost. */
    losing(patience = SAY_LOST_AFTER) {
      this.lostTimer ||= setTimeout(() => {
        this.lostTimer = 0;
        if (!document.hidden) this.say("Connection lost, trying again…", "lost");
      }, patience);
    }

    /** Gives up until somebody signs in. */
    signedOut() {
      this.data.liveopToken = "-"; // the page of the next session has another one
      this.stop("You are signed out.", "Sign in and come back");
    }

    /** Gives up for good, with a link that helps. */
    stop(words, link) {
      this.rest();
      this.say(words, "lost", link);
    }

    /** Writes the line about the connection, with a link where there is something to do. */
    say(words, kind, link) {
      clearTimeout(this.lostTimer);
      this.lostTimer = 0;
      if (words === this.said) return;
      if (kind !== "live") words && announce(() => words, link === undefined ? "status" : "alert");
      else if (this.said) announce(() => "Live again.");
      this.said = words;
      let line = this.root.querySelector(".liveop-connection");
      if (!line) {
        line = document.createElement("div");
        line.className = "liveop-connection";
        this.root.append(line);
      }
      line.hidden = !words;
      line.dataset.kind = kind ?? "";
      line.textContent = words;
      if (link) {
        const anchor = document.createElement("a");
        anchor.href = this.data.liveopPage ?? location.href;
        anchor.textContent = link;
        line.append(" ", anchor);
      }
    }

    /** Tells the page around it. */
    emit(name, detail) {
      this.root.dispatchEvent(new CustomEvent(name, { bubbles: true, detail }));
    }

    /** Asks the server to cancel; the stream tells the outcome. */
    async cancel(form, url) {
      const button = form.querySelector("button");
      if (!button || button.ariaDisabled) return;
      const label = button.textContent;
      button.ariaDisabled = "true";
      button.textContent = "Cancelling…";
      const body = new URLSearchParams(/** @type {any} */ (new FormData(form)));
      const answer = await ask(url, { method: "POST", body }).catch(() => null);
      if (answer?.ok) return;
      button.ariaDisabled = null;
      button.textContent = label;
      if (answer) return form.submit();
      this.say("Not cancelled: the server can’t be reached.", "lost", "");
    }
  }

  // Forms

  /** Sends the cancel form by itself; fills the CSRF field of the others. */
  function onSubmit(event) {
    const form = event.target;
    if (!form.matches?.('form[method="post" i]')) return;
    const url = new URL(event.submitter?.getAttribute("formaction") ?? form.getAttribute("action") ?? "", location.href);
    if (url.origin !== location.origin) return;
    const field = form.querySelector('input[name="csrf_token"]');
    if (field && !field.value) field.value = csrf()?.content ?? "";
    const live = lives.get(form.closest("[data-liveop-channel]"));
    if (!live || form.dataset.liveopCommand !== "cancel") return;
    event.preventDefault();
    live.cancel(form, url);
  }

  /** The page's CSRF token. */
  function csrf(from = /** @type {any} */ (document)) {
    return from.querySelector('meta[name="liveops-csrf"]');
  }

  // Talking to the server

  /** Sends a request as this script. */
  function ask(url, more) {
    return fetch(url, {
      headers: { "X-Liveops": "1" }, cache: "no-store", redirect: "manual", signal: AbortSignal.timeout(SELDOM), ...more,
    });
  }

  /** Fetches a page and takes over its CSRF token; null means: not now. */
  async function fetchPage(url) {
    try {
      const answer = await ask(url);
      if (answer.status === 401 || answer.type === "opaqueredirect") return "signed out";
      if ([403, 404, 410].includes(answer.status)) return "gone";
      if (!answer.ok) return null;
      const page = parse(await answer.text());
      csrf()?.replaceWith(csrf(page) ?? csrf() ?? "");
      return page;
    } catch {
      return null;
    }
  }

  /** Whether the token has not expired yet. */
  function fresh(token) {
    try {
      const payload = token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/");
      return JSON.parse(atob(payload)).exp * 1000 > Date.now() + 1000;
    } catch {
      return false;
    }
  }

  /** The path of an address. */
  function pathOf(address) {
    return new URL(address ?? "", location.href).pathname;
  }

  /** How long to wait before try n. */
  function backOff(n) {
    return Math.min(SELDOM, 500 * 2 ** n) * (0.5 + Math.random() / 2);
  }

  // Changing the page

  const policy = /** @type {any} */ (window).trustedTypes?.createPolicy("liveops", { createHTML: (html) => html });

  /** Makes nodes of HTML; a lone <tr> survives. */
  function parse(html) {
    const template = document.createElement("template");
    template.innerHTML = policy ? policy.createHTML(html) : html;
    return template.content;
  }

  /** Puts content in an element's place. */
  function replace(target, content) {
    const only = content.childElementCount === 1 ? content.firstElementChild : null;
    if (only && idOf(only) === idOf(target)) morph(target, only);
    else target.replaceWith(content);
  }

  /** Adds content; what is there already is replaced in its place. */
  function add(target, content, swap) {
    for (const element of [...content.children]) {
      const id = idOf(element);
      const old = id && document.getElementById(id);
      if (!old) continue;
      element.remove();
      if (target !== old && target.contains(old)) morph(old, element);
    }
    if (!target.hasAttribute("data-liveop-known-only")) target[swap](content);
  }

  let room = 0; // for lines in this frame

  /** @type {WeakMap<Element, boolean>} whether the server had a <details> open; until that changes the reader's hand counts */
  const opened = new WeakMap();

  /** Makes an element equal to another one, and keeps the nodes that stay. */
  function morph(from, to) {
    if (!(from instanceof Element && to instanceof Element)) {
      if (from.nodeValue !== to.nodeValue) from.nodeValue = to.nodeValue;
      return;
    }
    if (from.classList.contains("liveop-connection")) return; // the shim's own
    if (from.nodeName !== to.nodeName) return from.replaceWith(to);
    if (from instanceof HTMLDetailsElement) {
      const served = to.hasAttribute("open");
      if ((opened.get(from) ?? served) === served) to.toggleAttribute("open", from.open);
      opened.set(from, served);
    }
    for (const name of from.getAttributeNames()) if (!to.hasAttribute(name)) from.removeAttribute(name);
    for (const name of to.getAttributeNames()) {
      const value = to.getAttribute(name) ?? "";
      if (from.getAttribute(name) !== value) from.setAttribute(name, value);
    }
    morphChildren(from, to);
  }

  /** Makes an element's children equal to another one's. */
  function morphChildren(from, to) {
    let at = from.firstChild;
    for (const next of [...to.childNodes]) {
      const match = twin(from, at, next);
      if (!match) {
        from.insertBefore(next, at);
        continue;
      }
      while (at && at !== match) at = drop(at);
      at = match.nextSibling;
      morph(match, next);
    }
    while (at && !to.more) at = drop(at);
  }

  /** The child, from `at` on, that is to become a node like this. */
  function twin(parent, at, next) {
    const id = idOf(next);
    if (id && document.getElementById(id)?.parentNode !== parent) return null;
    while (at && (at.nodeName !== next.nodeName || idOf(at) !== id)) at = id === undefined ? null : at.nextSibling;
    return at;
  }

  /** An element's id, whatever a form calls its fields. */
  function idOf(node) {
    return node.nodeType === 1 ? node.getAttribute("id") ?? "" : undefined;
  }

  /** Removes a node and gives the next. */
  function drop(node) {
    const next = node.nextSibling;
    node.remove();
    return next;
  }

  /** Goes to the log's end, which a resize moves. */
  function toEnd(log) {
    if (!log) return;
    log.scrollTop = log.scrollHeight;
    log.dataset.end = `${log.scrollTop}`;
  }

  /** Notes where a log is scrolled to; gives what trims and restores it. */
  function holdScroll(log) {
    const atEnd = !log || (!log.closest("[data-liveop-paused]") && (log.dataset.end === `${log.scrollTop}` || log.scrollHeight - log.scrollTop - log.clientHeight < 12));
    const edge = log ? top(log) - 12 : 0;
    const line = !atEnd && [...log.children].find((line) => top(line) > edge);
    const at = line ? top(line) : 0;
    return (now, tail) => {
      if (!now) return;
      for (const line of [...now.children].slice(0, -Math.max(tail, atEnd ? 0 : 2000))) line.remove();
      if (atEnd) toEnd(now);
      else if (line) now.scrollTop = line.isConnected ? now.scrollTop + top(line) - at : 0;
    };
  }

  /** Where an element begins on the screen. */
  function top(element) {
    return element.getBoundingClientRect().top;
  }

  /** Moves the focus, and nothing else. */
  function focus(element) {
    if (!element) return;
    if (element.tabIndex < 0) element.tabIndex = -1;
    element.focus({ preventScroll: true });
  }

  /** The text in an element. */
  function text(element) {
    return element?.textContent?.trim() ?? "";
  }

  // Milestones

  /** @type {Record<string, (() => string)[]>} what is to be said when its turn comes, and what at once */
  const unsaid = { status: [], alert: [] };

  /** Makes an element that screen readers listen to. */
  function listen(role) {
    const element = document.getElementById(`liveop-${role}`) ?? document.createElement("div");
    element.id = `liveop-${role}`;
    element.className = "liveop-unseen";
    element.setAttribute("role", role);
    document.body.append(element);
  }

  /** Says it once the fragments are here. */
  function announce(words, role = "status") {
    if (unsaid[role].push(words) > 1) return;
    setTimeout(() => {
      const said = unsaid[role].splice(0).map((words) => words());
      const element = document.getElementById(`liveop-${role}`);
      if (element) element.textContent = [...new Set(said)].join(". ").replaceAll("..", ".");
    }, 150);
  }

  start();
})();
