// Forms: filters that apply when chosen, a send button that cannot be pressed twice, a question before what cannot
// be undone, a file's name beside its field.
export function setUpForms(root) {
  for (const field of root.querySelectorAll("input[type=password]:not([data-lively])")) {
    field.dataset.lively = "";
    addShow(field);
  }
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

// A button that shows what was typed into a password field, for who types with one finger on a telephone.
function addShow(field) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "mk-show";
  button.setAttribute("aria-controls", field.id);
  const set = (shown) => {
    field.type = shown ? "text" : "password";
    button.textContent = shown ? "隐藏" : "显示";
    button.setAttribute("aria-label", shown ? "隐藏密码" : "显示密码");
    button.setAttribute("aria-pressed", String(shown));
  };
  button.addEventListener("click", () => {
    set(field.type === "password");
    field.focus();
  });
  // What is sent, and kept by the browser, is a password again.
  field.form?.addEventListener("submit", () => set(false));
  const box = document.createElement("div");
  box.className = "mk-typed";
  const focused = document.activeElement === field;
  field.replaceWith(box);
  box.append(field, button);
  set(false);
  if (focused) field.focus();
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
