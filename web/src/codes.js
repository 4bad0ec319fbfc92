// Code fields: suggestions while somebody types a code, a name, pinyin or initials (`data-search` is where to ask).
const PAUSE = 120;

export function setUpCodes(root) {
  for (const field of root.querySelectorAll("input[data-search]:not([data-lively])")) {
    field.dataset.lively = "";
    enliven(field);
  }
}

function enliven(field) {
  const list = document.createElement("ul");
  list.className = "mk-suggest";
  list.setAttribute("role", "listbox");
  list.hidden = true;
  list.id = `${field.id || field.name}-${Math.random().toString(36).slice(2)}`;
  field.after(list);
  field.setAttribute("role", "combobox");
  field.setAttribute("aria-controls", list.id);
  field.setAttribute("aria-expanded", "false");
  let timer;
  let asked = 0;

  const show = (open) => {
    list.hidden = !open;
    field.setAttribute("aria-expanded", String(open));
  };
  const choose = (option) => {
    field.value = option.dataset.code;
    field.title = option.dataset.name;
    show(false);
    field.dispatchEvent(new Event("change", { bubbles: true }));
  };
  const ask = async () => {
    const text = field.value.trim();
    const mine = ++asked;
    if (!text) return show(false);
    const address = `${field.dataset.search}?active=1&limit=10&q=${encodeURIComponent(text)}`;
    const answer = await fetch(address, { headers: { Accept: "application/json" } }).catch(() => null);
    // A slower answer to what was typed before must not replace a newer one.
    if (!answer?.ok || mine !== asked) return;
    const { codes } = await answer.json();
    list.replaceChildren(...codes.map(option));
    show(codes.length > 0);
  };

  field.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(ask, PAUSE);
  });
  field.addEventListener("keydown", (event) => {
    if (list.hidden) return;
    const options = [...list.children];
    const at = options.findIndex((o) => o.getAttribute("aria-selected") === "true");
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      const next = (at + step + options.length) % options.length;
      options.forEach((o, i) => o.setAttribute("aria-selected", String(i === next)));
      options[next].scrollIntoView({ block: "nearest" });
    } else if (event.key === "Enter" && at >= 0) {
      event.preventDefault();
      choose(options[at]);
    } else if (event.key === "Escape") {
      show(false);
    }
  });
  list.addEventListener("mousedown", (event) => {
    const chosen = event.target.closest("li");
    if (!chosen) return;
    event.preventDefault();
    choose(chosen);
  });
  field.addEventListener("blur", () => show(false));
}

function option(code) {
  const item = document.createElement("li");
  item.setAttribute("role", "option");
  item.dataset.code = code.code;
  item.dataset.name = code.name;
  const strong = document.createElement("b");
  strong.textContent = code.code;
  item.append(strong, ` ${code.name}`);
  if (code.alias) {
    const other = document.createElement("small");
    other.className = "mk-muted";
    other.textContent = ` ${code.alias}`;
    item.append(other);
  }
  return item;
}
