// The script of every page: htmx, the rail, the phone drawer, forms and lists. Charts are fetched when a page has one.
import htmx from "htmx.org";
import { setUpFrame } from "./frame.js";
import { carryOn, setUpForms } from "./forms.js";
import { setUpKeys } from "./keys.js";
import { setUpPasskeys } from "./passkeys.js";
import { setUpPicks } from "./pick.js";

window.htmx = htmx;

function enliven(root) {
  setUpForms(root);
  setUpPicks(root);
  setUpPasskeys(root);
  if (root.querySelector("[data-chart]")) {
    import("./charts.js").then((charts) => charts.draw(root));
  }
}

function start() {
  setUpFrame();
  setUpKeys();
  enliven(document);
  carryOn();
  document.addEventListener("htmx:after:swap", () => enliven(document));
}

if (document.readyState === "loading") {
  document.addEventListener("DOMContentLoaded", start);
} else {
  start();
}
