// @ts-check
/* liveops: comforts of a page that liveops.js keeps live. It adds to what is there, and asks the server for nothing; without it
   everything works all the same. */
(() => {
  "use strict";

  const QUIET_AFTER = 40; // seconds

  /** Starts, and looks again whenever something changed. */
  function start() {
    localize();
    document.addEventListener("keydown", ({ key, target }) => key === "End" && target instanceof HTMLElement && toEnd(target));
    document.addEventListener("click", spareRestart, true);
    followOperations();
    followList();
    helpForms();
    new MutationObserver(localize).observe(document.body, { childList: true, characterData: true, subtree: true });
  }

  /** @type {WeakMap<Element, string>} what was shown already: a long log has many times */
  const localized = new WeakMap();

  /** Shows times, which come in UTC, as local ones. */
  function localize() {
    for (const time of /** @type {NodeListOf<HTMLTimeElement>} */ (document.querySelectorAll(".liveop-meta time, .liveop-line time"))) {
      if (localized.get(time) === time.dateTime + time.textContent) continue;
      const at = new Date(time.dateTime);
      if (!+at) continue;
      const local = new Date(+at - at.getTimezoneOffset() * 60_000).toISOString();
      const words = time.className ? local.slice(11, 19) : local.slice(0, 16).replace("T", " ");
      if (time.textContent !== words) time.textContent = words;
      localized.set(time, time.dateTime + words);
    }
  }

  /** Follows a log again, which a busy one would outrun.
   * @param {HTMLElement} log */
  function toEnd(log) {
    if (!log.matches(".liveop-log-lines")) return;
    log.scrollTop = log.scrollHeight;
    log.dataset.end = `${log.scrollTop}`;
  }

  /** The second click on Cancel is not for the button in its place.
   * @param {MouseEvent} event */
  function spareRestart(event) {
    if (event.detail > 1 && event.target instanceof Element && event.target.closest('[data-liveop-command="restart"]')) event.preventDefault();
  }

  // An operation's page

  /** What is known of one container.
   * @typedef {object} Known
   * @property {string} attempt @property {string} given the container's own figure
   * @property {number} elapsed seconds, at the moment `at` of this page's own time @property {number} at
   * @property {number} news when something was last heard @property {boolean} paused @property {boolean} refused
   * @property {number} seen the newest line that was in sight */

  /** @type {WeakMap<HTMLElement, Known>} */
  const known = new WeakMap();
  /** @type {Set<string>} the containers whose end is to be told; a tab keeps them over a reload */
  const wanted = new Set((recall(() => sessionStorage, "liveops-notify") ?? "").split(" ").filter(Boolean));

  /** Begins with the operations' containers. */
  function followOperations() {
    const each = () => operations().forEach(look);
    const watched = ["data-liveop-state", "data-liveop-paused", "data-kind", "data-wrap", "data-attempt", "data-elapsed", "hidden", "aria-pressed"];
    new MutationObserver(each).observe(document.body, { childList: true, characterData: true, subtree: true, attributeFilter: watched });
    each();
    setInterval(() => document.hidden || each(), 250);
    document.addEventListener("scroll", ({ target }) => target instanceof Element && target.matches(".liveop-log-lines") && each(), true);
    document.addEventListener("click", onClick);
    for (const name of ["liveop:fragment", "liveop:state"]) {
      document.addEventListener(name, ({ target }) => { if (target instanceof HTMLElement) of(target).news = performance.now(); });
    }
    document.addEventListener("liveop:end", ({ target }) => target instanceof HTMLElement && target.matches(".liveop") && ended(target));
  }

  /** The containers of operations. */
  function operations() {
    return [.../** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('.liveop[id^="op-"]'))];
  }

  /** What is known of a container.
   * @param {HTMLElement} root @returns {Known} */
  function of(root) {
    const now = performance.now();
    const fresh = { attempt: "", given: "", elapsed: 0, at: now, news: now, paused: false, refused: false, seen: 0 };
    return known.get(root) ?? (known.set(root, fresh), fresh);
  }

  /** Brings all that is said here up to date.
   * @param {HTMLElement} root */
  function look(root) {
    tick(root);
    tellQuiet(root);
    lookAtLog(root);
    for (const button of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll(".liveop-copy"))) set(button, "hidden", false);
    lookAtNotify(root);
    drawIcon(root);
  }

  /** Lets the times go on between the server's figures, which need nobody's clock; none goes back.
   * @param {HTMLElement} root */
  function tick(root) {
    const [facts, is, given] = [part(root, "progress"), of(root), root.dataset.liveopElapsed ?? ""];
    if (!facts?.dataset.elapsed) return;
    const figure = Number(facts.dataset.elapsed);
    const attempt = facts.dataset.attempt ?? "";
    const least = given === is.given ? figure : Math.max(figure, Number(given));
    if (attempt !== is.attempt || least > elapsed(is)) Object.assign(is, { attempt, elapsed: least, at: performance.now() });
    is.given = given;
    const now = elapsed(is);
    write(facts.querySelector(".liveop-elapsed"), duration(now));
    // Without news from the server there is no telling.
    if (line(root)?.dataset.kind !== "lost") {
      write(facts.querySelector(".liveop-left"), duration(Math.max(1, Number(facts.dataset.left) + figure - now)));
    }
    for (const stage of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll(".liveop-stage[data-began]"))) {
      write(stage.querySelector(".liveop-stage-time"), duration(now - Number(stage.dataset.began)));
    }
  }

  /** How long an attempt runs.
   * @param {Known} is */
  function elapsed(is) {
    return is.elapsed + (performance.now() - is.at) / 1000;
  }

  // The list, and the catalogue's latest operations

  /** @type {Set<string>} the rows that were seen */
  const seen = new Set();
  /** @type {Set<string>} the new rows that wait, so that nothing jumps where somebody points at */
  const held = new Set();

  let touching = false; // a finger leaves its :hover behind

  /** Begins with the list's rows and with times that tell how long ago something was. */
  function followList() {
    if (!document.querySelector(".site-list, .site-kinds")) return;
    for (const row of rows()) seen.add(row.id);
    const observer = new MutationObserver(lookAtList);
    observer.observe(document.body, { childList: true, characterData: true, subtree: true, attributeFilter: ["hidden", "data-liveop-since"] });
    lookAtList();
    setInterval(() => document.hidden || lookAtList(), 1000);
    document.addEventListener("pointerover", ({ pointerType }) => { touching = pointerType === "touch"; });
    for (const name of ["pointerout", "focusout"]) document.addEventListener(name, () => held.size && setTimeout(lookAtList));
    document.addEventListener("click", ({ target }) => target instanceof HTMLElement && target.matches(".site-news") && showHeld(target));
  }

  /** The rows of the list.
   * @returns {HTMLElement[]} */
  function rows() {
    return [...document.querySelectorAll("#operations-rows > .liveop-row")].filter((row) => row instanceof HTMLElement);
  }

  /** Brings the list up to date: what is new waits or comes in, and times go on. */
  function lookAtList() {
    const busy = isBusy();
    if (!busy) held.clear();
    for (const row of rows()) {
      if (!seen.has(row.id) && busy) held.add(row.id);
      seen.add(row.id);
      hide(row, held.has(row.id));
    }
    tellHeld(rows().filter((row) => row.hidden).length);
    tellTimes();
  }

  /** Whether somebody points at the list, or goes through it by keyboard. */
  function isBusy() {
    const table = document.querySelector(".site-table");
    return !!table && ((!touching && table.matches(":hover")) || !!table.querySelector(":focus-visible"));
  }

  /** Says how many rows wait.
   * @param {number} count */
  function tellHeld(count) {
    const button = document.querySelector(".site-news");
    if (!(button instanceof HTMLElement)) return;
    const words = count ? `${count} new ${count > 1 ? "operations" : "operation"}` : "";
    if (count && button.hidden) write(document.getElementById("liveop-status"), words);
    hide(button, !count);
    write(button, words);
  }

  /** Lets the rows in that wait.
   * @param {HTMLElement} button */
  function showHeld(button) {
    const focused = button === document.activeElement;
    held.clear();
    lookAtList();
    if (focused) rows()[0]?.querySelector("a")?.focus();
  }

  /** Says how long ago operations began, and how long those take that run. */
  function tellTimes() {
    const now = Date.now();
    for (const time of /** @type {NodeListOf<HTMLTimeElement>} */ (document.querySelectorAll(".liveop-row-when time, .site-last time"))) {
      const at = new Date(time.dateTime);
      if (!+at) continue;
      const [date, clock] = new Date(+at - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 19).split("T");
      const title = `${date} ${clock}`;
      if (time.title !== title) time.title = title;
      let second = time.querySelector("small");
      if (!second && time.closest(".liveop-row")) time.append((second = document.createElement("small")));
      write(second, ` ${clock.slice(0, 5)}`);
      const first = time.firstChild;
      const words = ago((now - +at) / 1000) ?? date;
      if (first && first.nodeValue !== words) first.nodeValue = words;
    }
    for (const took of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-liveop-since]"))) {
      write(took, duration(Math.max(0, (now - +new Date(took.dataset.liveopSince ?? "")) / 1000)));
    }
  }

  /** How long ago something was that was so many seconds ago; nothing after a day.
   * @param {number} seconds */
  function ago(seconds) {
    if (seconds < 2) return "just now";
    if (seconds < 60) return `${Math.floor(seconds)} s ago`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
    return seconds < 86_400 ? `${Math.floor(seconds / 3600)} h ago` : undefined;
  }

  // Forms and menus

  /** Refuses files that the server would refuse, and closes menus that somebody turned away from. */
  function helpForms() {
    document.addEventListener("change", ({ target }) => {
      if (!(target instanceof HTMLInputElement) || !target.dataset.liveopMaxBytes) return;
      const most = Number(target.dataset.liveopMaxBytes);
      const large = [...(target.files ?? [])].find(({ size }) => size > most);
      const words = large && `“${large.name}” is larger than the ${target.dataset.liveopMax} that are taken here. Choose a smaller file.`;
      target.setCustomValidity(words ?? "");
      target.ariaInvalid = words ? "true" : null;
      target.reportValidity();
    });
    document.addEventListener("click", ({ target }) => closeMenus(target));
    document.addEventListener("keydown", ({ key, target }) => {
      if (key !== "Escape") return;
      const menu = target instanceof Element ? target.closest(".site-menu[open]") : null;
      closeMenus(null);
      menu?.querySelector("summary")?.focus();
    });
  }

  /** Closes the menus that something is not in.
   * @param {EventTarget | null} inside */
  function closeMenus(inside) {
    for (const menu of document.querySelectorAll(".site-menu[open]")) {
      if (!(inside instanceof Node && menu.contains(inside))) menu.removeAttribute("open");
    }
  }

  // Small things

  /** Seconds as the server writes them.
   * @param {number} seconds */
  function duration(seconds) {
    const s = Math.floor(seconds);
    if (s < 1) return "under 1 s";
    if (s < 60) return `${s} s`;
    if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
    if (s < 86_400) return `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
    return `${Math.floor(s / 86_400)} d ${Math.floor(s / 3600) % 24} h`;
  }

  /** Says that a silent operation is not a lost connection.
   * @param {HTMLElement} root */
  function tellQuiet(root) {
    const silent = Math.floor((performance.now() - of(root).news) / 10_000) * 10;
    const quiet = silent >= QUIET_AFTER && line(root)?.dataset.kind === "live" && root.dataset.liveopState !== "waiting";
    write(root.querySelector(".liveop-note"), quiet ? `No news for ${duration(silent)}, still connected. ${told(root)}`.trim() : told(root));
  }

  /** What became of the wish to be told the end.
   * @param {HTMLElement} root */
  function told(root) {
    if (wanted.has(root.id)) return "Keep this tab open: it tells you at the end.";
    return of(root).refused ? "This browser does not allow notifications from here." : "";
  }

  // The log

  /** Shows what the log can do, and what came while its reader looked elsewhere.
   * @param {HTMLElement} root */
  function lookAtLog(root) {
    const [log, jump, is] = [part(root, "log-lines"), find(root, ".liveop-jump"), of(root)];
    if (!log) return;
    set(root.dataset, "liveopPaused", is.paused ? "" : undefined);
    const isOff = recall(() => localStorage, "liveops-wrap") === "off";
    if (log.parentElement) set(log.parentElement.dataset, "wrap", isOff ? "off" : undefined);
    const follows = !is.paused && isAtEnd(log);
    const newest = Number(log.lastElementChild?.id.split("-").pop() ?? 0);
    if (follows || newest < is.seen) is.seen = newest;
    const over = isOver(root);
    write(jump, newest > is.seen ? `Jump to latest, ${(newest - is.seen).toLocaleString("en")} new` : "Jump to latest");
    if (jump) set(jump, "hidden", over || follows);
    const [pause, wrap] = [find(root, ".liveop-pause"), find(root, ".liveop-wrap")];
    write(pause, follows ? "Pause" : "Follow");
    if (pause) set(pause, "hidden", over);
    if (wrap) set(wrap, "hidden", false);
    if (wrap) set(wrap, "ariaPressed", `${!isOff}`);
  }

  /** Whether the reader sees the log's end; a resize moves it without anybody's wish.
   * @param {HTMLElement} log */
  function isAtEnd(log) {
    return log.dataset.end === `${log.scrollTop}` || log.scrollHeight - log.scrollTop - log.clientHeight < 12;
  }

  /** Follows the log again.
   * @param {HTMLElement} root */
  function followLog(root) {
    of(root).paused = false;
    const log = part(root, "log-lines");
    if (log) log.scrollTop = log.scrollHeight;
  }

  // What is pressed

  /** @param {MouseEvent} event */
  function onClick({ target }) {
    const button = target instanceof Element ? target.closest("button") : null;
    const root = button?.closest(".liveop");
    if (!button || !(root instanceof HTMLElement)) return;
    const [log, is] = [part(root, "log-lines"), of(root)];
    if (button.matches(".liveop-jump")) {
      followLog(root);
      log?.focus({ preventScroll: true });
    } else if (button.matches(".liveop-pause")) {
      if (is.paused || (log && !isAtEnd(log))) followLog(root);
      else is.paused = true;
    } else if (button.matches(".liveop-wrap")) {
      const follows = log && isAtEnd(log) && !is.paused;
      const off = button.ariaPressed === "true";
      recall(() => localStorage, "liveops-wrap", off ? "off" : "on");
      lookAtLog(root);
      if (follows) followLog(root);
    } else if (button.matches(".liveop-copy")) copy(button, log);
    else if (button.matches(".liveop-notify")) notify(root);
    look(root);
  }

  /** Copies what a button is for: its own text, or the log's lines.
   * @param {HTMLButtonElement} button @param {HTMLElement | null} log */
  async function copy(button, log) {
    const own = button.dataset.copy;
    const shown = own === undefined ? log : button.parentElement?.querySelector("code");
    const lines = [...(log?.children ?? [])].map((line) => [...line.querySelectorAll("time, bdi")].map((piece) => piece.textContent).join(" "));
    let words = "Copied";
    try {
      await navigator.clipboard.writeText(own ?? lines.join("\n"));
    } catch {
      // Not allowed, or the page did not come by https: what is selected can be copied all the same.
      if (shown) getSelection()?.selectAllChildren(shown);
      words = "Selected";
    }
    write(button, words);
    say(words === "Copied" ? "Copied" : "Selected, to be copied by the keyboard");
    setTimeout(() => write(button, "Copy"), 2_000);
  }

  // The end, where nobody looks

  /** Offers to tell the end, where the browser can.
   * @param {HTMLElement} root */
  function lookAtNotify(root) {
    const button = find(root, ".liveop-notify");
    if (!button) return;
    const wants = wanted.has(root.id);
    const isOffered = "Notification" in window && (wants || Notification.permission !== "denied");
    // It does not vanish under the finger that pressed it.
    set(button, "hidden", !isOffered && document.activeElement !== button);
    set(button, "ariaPressed", `${wants}`);
  }

  /** Asks the browser for leave, the first time; or takes the wish back.
   * @param {HTMLElement} root */
  async function notify(root) {
    if (!wanted.delete(root.id)) {
      of(root).refused = (await Notification.requestPermission()) !== "granted";
      if (!of(root).refused) wanted.add(root.id);
    }
    say(told(root));
    keepWanted();
    look(root);
  }

  /** Keeps whose end is to be told. */
  function keepWanted() {
    recall(() => sessionStorage, "liveops-notify", [...wanted].join(" "));
  }

  /** Tells the end; of a chain that of its last.
   * @param {HTMLElement} root */
  function ended(root) {
    if (!wanted.delete(root.id)) return;
    const next = root.dataset.liveopNext?.match(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/);
    if (next) wanted.add(`op-${next[0]}`);
    keepWanted();
    if (next) return;
    const [title, word, outcome] = [".liveop-title", ".liveop-word", ".liveop-outcome-title"].map((name) => find(root, name)?.textContent?.trim() ?? "");
    try {
      const body = outcome && outcome !== word ? `${word}. ${outcome}` : word;
      const shown = new Notification(title, { body, tag: root.id, icon: icon(root) });
      shown.onclick = () => {
        window.focus();
        shown.close();
      };
    } catch {
      // Some telephones only let service workers do it.
    }
  }

  // The tab's icon

  /** Draws the state into the tab's icon, where the page offers its own for that and is about one operation.
   * @param {HTMLElement} root */
  function drawIcon(root) {
    const link = document.querySelector("link[data-liveop-icon]");
    if (!(link instanceof HTMLLinkElement) || operations().length !== 1) return;
    const href = icon(root);
    if (link.getAttribute("href") !== href) link.setAttribute("href", href);
  }

  /** @type {Record<string, [string, string]>} colour and sign of the states that are not of a percent */
  const ICONS = {
    succeeded: ["#1a7742", "m4.5 8.5 2.5 2.5 4.5-5.5"], failed: ["#b3261e", "m5.2 5.2 5.6 5.6m0-5.6-5.6 5.6"],
    cancelled: ["#566070", "M5.5 5.5h5v5h-5z"], interrupted: ["#855700", "M8 4v5m0 2v1"],
  };

  /** The icon of a state, as an address.
   * @param {HTMLElement} root */
  function icon(root) {
    const [colour, sign] = ICONS[root.dataset.liveopState ?? ""] ?? [];
    const bar = part(root, "progress")?.querySelector("progress[value]");
    const done = bar instanceof HTMLProgressElement ? Math.floor(bar.position * 100) : 0;
    const drawn = sign
      ? `<circle cx="8" cy="8" r="8" fill="${colour}"/><path d="${sign}" fill="none" stroke="#fff" stroke-width="2" stroke-linecap="round"/>`
      : `<circle cx="8" cy="8" r="6" fill="#fff" stroke="#b9c4d6" stroke-width="4"/><circle cx="8" cy="8" r="6" fill="none" stroke="#2b5bd0" stroke-width="4" pathLength="100" stroke-dasharray="${done} 100" transform="rotate(-90 8 8)"/>`;
    return `data:image/svg+xml,${encodeURIComponent(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">${drawn}</svg>`)}`;
  }

  // Small things

  /** One of a container's regions.
   * @param {HTMLElement} root @param {string} name */
  function part(root, name) {
    return document.getElementById(`${root.id}-${name}`);
  }

  /** @param {HTMLElement} root @param {string} css @returns {HTMLElement | null} */
  function find(root, css) {
    return root.querySelector(css);
  }

  /** The line about the connection, which is not this script's.
   * @param {HTMLElement} root */
  function line(root) {
    return find(root, ".liveop-connection");
  }

  /** Whether a container's operation is over.
   * @param {HTMLElement} root */
  function isOver(root) {
    return !root.dataset.liveopToken;
  }

  /** Sets what is not set yet: whatever is written is observed.
   * @param {any} on @param {string} name @param {unknown} value */
  function set(on, name, value) {
    if (on[name] === value) return;
    if (value === undefined) delete on[name];
    else on[name] = value;
  }

  /** Hides or shows an element, where it is not so yet: whatever is written is observed.
   * @param {HTMLElement} element @param {boolean} hidden */
  function hide(element, hidden) {
    if (element.hidden !== hidden) element.hidden = hidden;
  }

  /** Writes a text that is not there yet.
   * @param {Element | null} element @param {string} words */
  function write(element, words) {
    if (element && element.textContent !== words) element.textContent = words;
  }

  /** Tells a screen reader.
   * @param {string} words */
  function say(words) {
    write(document.getElementById("liveop-status"), words);
  }

  /** What a browser keeps under a name, or keeps from now on; some keep nothing.
   * @param {() => Storage} storage @param {string} name @param {string} [value] */
  function recall(storage, name, value) {
    try {
      if (value !== undefined) storage().setItem(name, value);
      return storage().getItem(name);
    } catch {
      return null;
    }
  }

  start();
})();
