// The focus goes on, when what had it goes out of the page, to what belongs to it; nothing scrolls for that.
(() => {
  let held; // the number of the turn that had the focus when something last came into the page

  document.addEventListener("htmx:before:swap", () => {
    const { activeElement } = document;
    if (activeElement !== document.body) held = activeElement?.closest("[data-turn]")?.dataset.turn;
  });
  addEventListener("pointerdown", () => { held = undefined; });

  // With an answer its Stop button ends. Who pressed it may want to ask again.
  document.addEventListener("corral:answered", ({ detail: { number, state } }) => {
    if (document.activeElement !== document.body) return;
    const turn = document.getElementById(`turn-${number}`);
    const again = state === "stopped" && turn?.querySelector("[data-ask] button");
    if (again) again.focus({ preventScroll: true });
    else if (held === number) turn?.focus({ preventScroll: true });
  });

  // A turn that comes anew, because LlamaCloud has finished it or because it asks for itself, takes the place of the old.
  document.addEventListener("htmx:after:swap", () => setTimeout(() => {
    const turn = held && document.activeElement === document.body && document.getElementById(`turn-${held}`);
    if (turn) (turn.querySelector("[data-ask] button") ?? turn).focus({ preventScroll: true });
  }));

  // A question that could not be taken, and no box to go on in: what is said instead gets the focus.
  document.addEventListener("htmx:after:swap", () => {
    if (document.activeElement === document.body) document.querySelector("#composer [data-focus]")?.focus();
  });
})();
