// The sources of the next question: names them in the folded line and holds the others back once the limit is reached.
(() => {
  const update = () => {
    const picker = document.querySelector("[data-composer-sources]");
    if (!picker) return "";
    const boxes = [...picker.querySelectorAll('[name="index_ids"]')];
    const ticked = boxes.filter((box) => box.checked);
    const limit = Number(picker.dataset.limit);
    const full = ticked.length >= limit;
    const names = ticked.flatMap((box, place) => {
      const name = document.createElement("bdi");
      name.textContent = box.closest("label").querySelector(".card-name").textContent;
      return place ? [", ", name] : [name];
    });
    picker.querySelector("[data-chosen-names]").replaceChildren(...(names.length ? names : ["none chosen yet"]));
    for (const box of boxes) if (!box.checked && box.disabled !== full) box.disabled = full;
    boxes[0]?.setCustomValidity(ticked.length ? "" : "Choose at least one source for this question.");
    return `${ticked.length} of ${limit} chosen${full ? ". That is the most one question can have." : ""}`;
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
  document.addEventListener("htmx:after:swap", update);
  addEventListener("pageshow", update);
  update();
})();
