// Counts the ticked sources, names them in the panel, and holds the others back once the limit is reached.
(() => {
  const form = document.querySelector(".create");
  const count = form?.querySelector("[data-count]");
  const chosen = form?.querySelector("[data-chosen]");
  if (!count) return;

  const words = (ticked, limit) => {
    if (ticked < limit) return " chosen";
    return " chosen. That is the most a session can hold: untick one to choose another.";
  };

  const update = () => {
    const picker = form.querySelector(".picker");
    const boxes = [...picker.querySelectorAll('[name="index_ids"]')];
    const ticked = boxes.filter((box) => box.checked);
    const limit = Number(picker.dataset.limit);
    const full = ticked.length >= limit;
    const number = document.createElement("strong");
    number.textContent = `${ticked.length} of ${limit}`;
    count.replaceChildren(number, words(ticked.length, limit));
    chosen.replaceChildren(...ticked.map((box) => {
      const item = document.createElement("li");
      const name = document.createElement("bdi");
      name.textContent = box.closest(".card").querySelector(".card-name").textContent;
      item.append(name);
      return item;
    }));
    const reason = picker.querySelector("[data-full]");
    if (reason) reason.hidden = !full;
    for (const box of boxes) if (!box.checked && box.disabled !== full) box.disabled = full;
    return `${count.textContent.trim()}`;
  };

  // What was wrong with the choice is said no longer once it is another one; whatever else is wrong stays.
  const forgive = () => {
    document.getElementById("id_index_ids_error")?.remove();
    const summary = document.querySelector(".error-summary:has([href='#id_index_ids'])");
    summary?.querySelector("[href='#id_index_ids']").closest("li").remove();
    if (!summary || summary.querySelector("li")) return;
    summary.remove();
    document.title = document.title.replace(/^Problem: /, "");
  };

  form.addEventListener("change", (event) => {
    if (event.target.name !== "index_ids") return;
    forgive();
    document.dispatchEvent(new CustomEvent("corral:announce", { detail: update() }));
  });
  document.addEventListener("htmx:after:swap", update);
  addEventListener("pageshow", update);
  update();
})();
