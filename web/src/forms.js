// Forms: filters that apply when chosen, a send button that cannot be pressed twice, a question before what cannot
// be undone, a file's name beside its field.
export function setUpForms(root) {
  for (const form of root.querySelectorAll("form:not([data-lively])")) {
    form.dataset.lively = "";
    if (form.hasAttribute("data-autosubmit")) {
      form.addEventListener("change", (event) => {
        if (event.target.matches("select, input[type=date], input[type=checkbox]")) form.requestSubmit();
      });
      // Empty fields do not belong in the address.
      form.addEventListener("submit", () => {
        for (const field of form.querySelectorAll("input, select")) {
          if (field.value === "") field.disabled = true;
        }
      });
    }
    form.addEventListener("submit", (event) => {
      if (form.dataset.confirm && !window.confirm(form.dataset.confirm)) {
        event.preventDefault();
        return;
      }
      if (form.method === "post" && !form.hasAttribute("hx-post")) {
        // After the event, so that the button's own value is still sent.
        setTimeout(() => {
          for (const button of form.querySelectorAll("button[type=submit]")) button.disabled = true;
        });
      }
    });
  }
}

// A form that only carries on what was begun sends itself, once: not again when the browser comes back to it.
export function carryOn() {
  const form = document.querySelector("form[data-go]");
  const came = performance.getEntriesByType("navigation")[0]?.type;
  if (form && came !== "back_forward") form.requestSubmit();
}

// Coming back by the browser's arrow must not find dead fields and buttons.
window.addEventListener("pageshow", () => {
  for (const element of document.querySelectorAll("form [disabled]:not([data-disabled])")) {
    element.disabled = false;
  }
});
