// Shows the "create it anyway" tick as soon as a source that can't be relied on is chosen, and names it.
(() => {
  const form = document.querySelector(".create");
  const confirm = form?.querySelector("[data-confirm-not-ready]");
  if (!confirm) return;
  const tick = confirm.querySelector("input");
  const names = confirm.querySelector("[data-confirm-names]");

  const update = () => {
    const boxes = [...form.querySelectorAll("[data-not-ready]:checked")];
    confirm.hidden = boxes.length === 0;
    if (confirm.hidden) tick.checked = false;
    names.replaceChildren(...boxes.flatMap((box, place) => {
      const name = document.createElement("bdi");
      name.textContent = box.closest(".card").querySelector(".card-name").textContent;
      return place ? [", ", name] : [name];
    }));
  };

  form.addEventListener("change", (event) => {
    if (event.target.name === "index_ids") update();
  });
  document.addEventListener("htmx:after:swap", update);
  addEventListener("pageshow", update);
  update();
})();
