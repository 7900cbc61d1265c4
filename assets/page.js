// @ts-check
/* liveops: comforts of a page that liveops.js keeps live. It adds to what is there, and asks the server for nothing; without it
   everything works all the same. */
(() => {
  "use strict";

  /** Starts, and looks again whenever something changed. */
  function start() {
    localize();
    followList();
    helpForms();
    new MutationObserver(localize).observe(document.body, { childList: true, characterData: true, subtree: true });
  }

  /** Shows times, which come in UTC, as local ones. */
  function localize() {
    for (const time of /** @type {NodeListOf<HTMLTimeElement>} */ (document.querySelectorAll(".liveop-meta time, .liveop-line time"))) {
      const at = new Date(time.dateTime);
      if (!+at) continue;
      const local = new Date(+at - at.getTimezoneOffset() * 60_000).toISOString();
      const words = time.className ? local.slice(11, 19) : local.slice(0, 16).replace("T", " ");
      if (time.textContent !== words) time.textContent = words;
    }
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
    if (count && button.hidden) write(document.getElementById("liveop-announcer"), words);
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

  start();
})();
