"use strict";
// What the pages do beyond plain links and forms: they work without it.

// Confirm what cannot be taken back.
document.addEventListener("submit", (event) => {
  const asked = event.submitter && event.submitter.dataset.confirm;
  if (asked && !window.confirm(asked)) event.preventDefault();
});

// One box for all boxes of its table.
document.addEventListener("change", (event) => {
  if (!event.target.matches("[data-all]")) return;
  for (const box of event.target.closest("table").querySelectorAll("tbody input[type=checkbox]")) {
    box.checked = event.target.checked;
  }
});

// A page with data-live reads itself again every so many seconds, and puts in what changed. Not while somebody is typing,
// has ticked a box or opened something, and not in a hidden tab.
function busy(main) {
  const focused = document.activeElement;
  return document.hidden || (focused && main.contains(focused) && focused.matches("input, textarea, select")) ||
    main.querySelector("input[type=checkbox]:checked, details[open]") !== null;
}

async function refresh() {
  const main = document.getElementById("main");
  const seconds = Number(main.dataset.live || 0);
  if (!seconds) return;
  if (!busy(main)) {
    try {
      const answer = await fetch(location.href, { credentials: "same-origin", redirect: "error" });
      if (answer.ok) {
        const next = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("main");
        if (next && !busy(main) && next.innerHTML !== main.innerHTML) {
          const scrolled = window.scrollY;
          main.innerHTML = next.innerHTML;
          window.scrollTo(0, scrolled);
        }
        if (next && !next.dataset.live) delete main.dataset.live;
      }
    } catch (error) {
      console.warn("the page could not be read again", error);
    }
  }
  window.setTimeout(refresh, seconds * 1000);
}
window.setTimeout(refresh, 1000 * Number((document.getElementById("main") || { dataset: {} }).dataset.live || 0) || 5000);
