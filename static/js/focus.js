// The focus goes on, when what had it goes out of the page, to what belongs to it.
(() => {
  let held; // the number of the turn that had the focus when something last came into the page

  document.addEventListener("htmx:before:swap", () => {
    const { activeElement } = document;
    if (activeElement !== document.body) held = activeElement?.closest("[data-turn]")?.dataset.turn;
  });
  addEventListener("pointerdown", () => { held = undefined; });

  // Never to "Ask again": a second Enter would ask, and be billed.
  const goOn = () => {
    const turn = held && document.activeElement === document.body && document.getElementById(`turn-${held}`);
    if (turn) (turn.querySelector("[data-stopped]") ?? turn).focus({ preventScroll: true });
  };

  // With an answer its Stop button ends.
  document.addEventListener("corral:answered", ({ detail: { number } }) => {
    goOn();
    document.activeElement.closest(`#turn-${number} [data-stopped]`)?.scrollIntoView({ block: "nearest" });
  });

  // A turn that comes anew takes the place of the old.
  document.addEventListener("htmx:after:swap", () => setTimeout(goOn));

  // A question that could not be taken, and no box to go on in: what is said instead gets the focus.
  document.addEventListener("htmx:after:swap", () => {
    if (document.activeElement === document.body) document.querySelector("#composer [data-focus]")?.focus();
  });
})();
