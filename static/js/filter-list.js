// Narrows the checklist while a person types; every word must occur in a card's name or description.
(() => {
  const fold = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLocaleLowerCase();
  const texts = new WeakMap();
  const textOf = (card) => {
    if (!texts.has(card)) texts.set(card, fold(card.querySelector(".card-text").textContent));
    return texts.get(card);
  };

  const narrow = (input) => {
    const picker = input.closest(".picker");
    const list = picker.querySelector("[data-filter-list]");
    if (!list) return;
    const words = fold(input.value).split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const card of list.children) {
      card.hidden = !words.every((word) => textOf(card).includes(word));
      if (!card.hidden) shown += 1;
    }
    list.hidden = shown === 0;
    picker.querySelector("[data-filter-none]").hidden = shown > 0;
    const detail = `${shown} source${shown === 1 ? "" : "s"} shown`;
    document.dispatchEvent(new CustomEvent("corral:announce", { detail }));
  };

  const take = () => document.querySelectorAll("[data-show]").forEach((button) => button.remove());
  document.addEventListener("htmx:after:swap", take);
  take();
  for (const input of document.querySelectorAll("[data-filter]")) {
    if (input.value !== input.defaultValue) narrow(input); // typed before this script came
  }
  document.addEventListener("input", (event) => {
    if (event.target.matches("[data-filter]")) narrow(event.target);
  });
  // The list is already narrowed: Enter need not reload the page and lose the ticks.
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.matches("[data-filter]")) event.preventDefault();
  });
})();
