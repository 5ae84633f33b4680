// The sources of the next question: the first is named in the folded line, all are counted, and once the limit is
// reached the others are held back.
(() => {
  const update = () => {
    const picker = document.querySelector("[data-composer-sources]");
    if (!picker) return "";
    const boxes = [...picker.querySelectorAll('[name="index_ids"]')];
    const ticked = boxes.filter((box) => box.checked);
    const limit = Number(picker.dataset.limit);
    const full = ticked.length >= limit;
    const count = `${ticked.length} of ${limit} chosen`;
    const names = picker.querySelector("[data-chosen-names]");
    names.textContent = ticked.length > 1 ? ` and ${ticked.length - 1} more` : ticked.length ? "" : "none chosen yet";
    if (ticked.length) {
      const name = document.createElement("bdi");
      name.textContent = ticked[0].closest("label").querySelector(".card-name").textContent;
      names.prepend(name);
    }
    picker.querySelector("[data-count]").textContent = count;
    for (const box of boxes) if (!box.checked && box.disabled !== full) box.disabled = full;
    boxes[0]?.setCustomValidity(ticked.length ? "" : "Choose at least one source for this question.");
    return `${count}${full ? ". That is the most one question can have." : ""}`;
  };

  document.addEventListener("change", ({ target }) => {
    if (target.name !== "index_ids" || !target.closest("[data-composer-sources]")) return;
    document.dispatchEvent(new CustomEvent("corral:announce", { detail: update() }));
  });
  // A folded picker could not show what is missing.
  document.addEventListener("invalid", ({ target }) => {
    const picker = target.closest?.("[data-composer-sources]");
    if (picker) picker.open = true;
  }, true);
  document.addEventListener("corral:asked", () => {
    const picker = document.querySelector("[data-composer-sources]");
    if (picker) picker.open = false;
  });
  document.addEventListener("htmx:after:swap", update);
  addEventListener("pageshow", update);
  update();
})();
