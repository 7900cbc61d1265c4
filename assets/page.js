// @ts-check
/* liveops: comforts of a page that liveops.js keeps live. It adds to what is there, and asks the server for nothing; without it
   everything works all the same. */
(() => {
  "use strict";

  /** Starts, and looks again whenever something changed. */
  function start() {
    localize();
    new MutationObserver(localize).observe(document.body, { childList: true, characterData: true, subtree: true });
  }

  /** Shows times, which come in UTC, as local ones. */
  function localize() {
    for (const time of /** @type {NodeListOf<HTMLTimeElement>} */ (document.querySelectorAll(".liveop-meta time, .liveop-row time, .liveop-line time"))) {
      const at = new Date(time.dateTime);
      if (!+at) continue;
      const local = new Date(+at - at.getTimezoneOffset() * 60_000).toISOString();
      const words = time.className ? local.slice(11, 19) : local.slice(0, 16).replace("T", " ");
      if (time.textContent !== words) time.textContent = words;
    }
  }

  start();
})();
