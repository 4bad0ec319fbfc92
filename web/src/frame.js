// The frame: rail wide or narrow (kept in a cookie, so that the server draws it right at once), the drawer on
// phones, menus that close, copying, printing.
const YEAR = 365 * 24 * 3600;

function toggleRail() {
  const shell = document.querySelector(".mk-shell");
  const narrow = shell.classList.toggle("mk-narrow");
  document.cookie = `rail=${narrow ? "narrow" : "wide"}; Path=/; Max-Age=${YEAR}; SameSite=Lax`;
  window.dispatchEvent(new Event("resize"));
}

function drawer(open) {
  document.body.classList.toggle("mk-drawer-open", open);
  for (const button of document.querySelectorAll("[data-act='drawer']")) {
    button.setAttribute("aria-expanded", String(open));
  }
}

const ACTS = {
  rail: toggleRail,
  drawer: () => drawer(!document.body.classList.contains("mk-drawer-open")),
  "drawer-close": () => drawer(false),
  print: () => window.print(),
  back: () => window.history.back(),
  dismiss: (element) => element.closest("[data-notice]")?.remove(),
  copy: (element) => {
    navigator.clipboard?.writeText(element.dataset.text ?? "").then(() => {
      const label = element.querySelector("[data-copied]") ?? element;
      const before = label.textContent;
      label.textContent = "已复制";
      setTimeout(() => (label.textContent = before), 1500);
    });
  },
};

export function setUpFrame() {
  document.addEventListener("click", (event) => {
    const element = event.target.closest("[data-act]");
    if (element && ACTS[element.dataset.act]) {
      ACTS[element.dataset.act](element);
    }
    // A menu closes when something else is clicked.
    for (const menu of document.querySelectorAll("details.mk-menu[open]")) {
      if (!menu.contains(event.target)) menu.removeAttribute("open");
    }
    // A whole row leads where its link leads, unless text was being selected.
    const row = event.target.closest("tr[data-href]");
    if (row && !event.target.closest("a, button, input, label, select, summary") && !String(getSelection())) {
      if (event.ctrlKey || event.metaKey) window.open(row.dataset.href, "_blank");
      else window.location.assign(row.dataset.href);
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      drawer(false);
      for (const menu of document.querySelectorAll("details.mk-menu[open]")) menu.removeAttribute("open");
    }
    // "/" goes to the search for a person, as on most desks.
    if (event.key === "/" && !event.target.closest("input, textarea, select, [contenteditable]")) {
      const box = document.querySelector(".mk-find input");
      if (box) {
        event.preventDefault();
        box.focus();
      }
    }
  });
}
