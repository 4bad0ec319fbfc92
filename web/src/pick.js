// Fields with data-pick: what is typed (name, pinyin initials, code) is looked up there, a choice writes the code into
// the field and its name below it. Answers are `[{code, name}]` or `{codes: [{code, name, alias}]}`. Without the script
// the field takes codes and exact names.
export function setUpPicks(root) {
  for (const input of root.querySelectorAll("input[data-pick]:not([data-lively])")) {
    input.dataset.lively = "";
    setUp(input);
  }
}

function setUp(input) {
  const list = document.createElement("ul");
  list.className = "mk-pick";
  list.id = `pick-${Math.random().toString(36).slice(2)}`;
  list.hidden = true;
  list.setAttribute("role", "listbox");
  input.setAttribute("role", "combobox");
  input.setAttribute("aria-controls", list.id);
  input.setAttribute("aria-expanded", "false");
  const line = input.closest(".mk-field-line");
  if (line) line.append(list);
  else input.after(list);
  let wait = 0;
  let asked = 0;
  let at = -1;

  const show = (open) => {
    list.hidden = !open;
    input.setAttribute("aria-expanded", String(open));
  };
  const mark = (next) => {
    const items = [...list.children];
    if (items.length === 0) return;
    at = (next + items.length) % items.length;
    items.forEach((item, index) => item.setAttribute("aria-selected", String(index === at)));
    items[at].scrollIntoView({ block: "nearest" });
  };
  const choose = (item) => {
    input.value = item.dataset.code;
    const field = input.closest(".mk-field");
    if (field) {
      let said = field.querySelector("small");
      if (!said) {
        said = document.createElement("small");
        field.append(said);
      }
      said.textContent = `当前：${item.dataset.name}`;
    } else {
      input.title = item.dataset.name;
    }
    show(false);
    input.dispatchEvent(new Event("change", { bubbles: true }));
  };
  const look = async () => {
    const turn = ++asked;
    const url = new URL(input.dataset.pick, window.location.href);
    url.searchParams.set("q", input.value.trim());
    const answer = await fetch(url, { headers: { Accept: "application/json" } }).catch(() => null);
    // A slower answer to what was typed before must not replace a newer one.
    if (!answer?.ok || turn !== asked) return;
    const said = await answer.json();
    const found = Array.isArray(said) ? said : said.codes;
    at = -1;
    list.replaceChildren(
      ...found.map(({ code, name, alias }) => {
        const item = document.createElement("li");
        item.setAttribute("role", "option");
        Object.assign(item.dataset, { code, name });
        const small = document.createElement("small");
        small.textContent = alias ? `${code} ${alias}` : code;
        item.append(name, small);
        // Before the field loses the focus.
        item.addEventListener("mousedown", (event) => {
          event.preventDefault();
          choose(item);
        });
        return item;
      }),
    );
    show(found.length > 0 && document.activeElement === input);
  };
  input.addEventListener("input", () => {
    clearTimeout(wait);
    wait = setTimeout(look, 120);
  });
  input.addEventListener("focus", look);
  input.addEventListener("blur", () => show(false));
  input.addEventListener("keydown", (event) => {
    if (list.hidden) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      mark(at + (event.key === "ArrowDown" ? 1 : -1));
    } else if (event.key === "Enter" && at >= 0) {
      event.preventDefault();
      choose(list.children[at]);
    } else if (event.key === "Escape") {
      show(false);
    }
  });
}
