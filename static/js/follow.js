// Where the reader is: a growing answer is followed only by who reads at its end; everybody else keeps their place.
(() => {
  const root = document.documentElement;
  const turns = document.getElementById("turns");
  const jump = document.querySelector("[data-jump]");
  if (!turns || !jump) return;
  const NEAR = 80;
  const below = () => root.scrollHeight - innerHeight - scrollY;
  const toEnd = () => scrollTo(0, root.scrollHeight);
  const edge = (element, side = "top") => element.getBoundingClientRect()[side];
  const call = (isNew) => {
    jump.lastChild.textContent = isNew ? "New question below" : "Jump to the end";
    jump.classList.toggle("button-primary", isNew);
  };
  let following = false, lastY = scrollY;

  // Only moving up ends it: an answer may grow further before one's own scrolling is told.
  const notice = () => {
    following = below() < NEAR || (following && scrollY >= lastY);
    lastY = scrollY;
    jump.hidden = following || below() < innerHeight / 2 || !turns.children.length;
    if (jump.hidden) call(false);
  };

  // Neither sources nor unfolded steps are followed: the last words, and what to do then, stay in view.
  const dock = jump.parentElement;
  let docked = dock.offsetHeight;
  let newest = turns.lastElementChild?.id;
  let growing; // the turn's id
  const observer = new ResizeObserver(() => {
    const grows = turns.querySelector(".doing");
    const isNew = newest !== (newest = turns.lastElementChild?.id);
    if (following && (grows || (!growing && docked !== dock.offsetHeight))) toEnd();
    else {
      const words = following && [...turns.querySelectorAll(`#${growing} :is(.answer, .turn-note, .form-actions)`)].pop();
      if (words) scrollBy(0, Math.max(0, edge(words, "bottom") - edge(dock)));
      following = false;
      notice();
      if (isNew && !jump.hidden && edge(turns.lastElementChild) > edge(dock)) call(true);
    }
    growing = grows?.closest(".turn").id;
    docked = dock.offsetHeight;
  });
  [root, dock].forEach((part) => observer.observe(part));

  addEventListener("scroll", notice, { passive: true });
  addEventListener("resize", () => following && toEnd());
  // The focus stays in the question: if it left, a phone's navigation would come back and move the button away.
  jump.addEventListener("mousedown", (event) => event.preventDefault());
  jump.addEventListener("click", () => {
    toEnd();
    document.getElementById("prompt")?.focus({ preventScroll: true });
  });

  // One's own question is shown, wherever one was reading.
  document.addEventListener("corral:asked", () => document.addEventListener("htmx:after:swap", () => {
    following = true;
    requestAnimationFrame(toEnd);
    if (document.activeElement.closest(".turn")) turns.lastElementChild.focus({ preventScroll: true });
  }, { once: true }));

  // Older turns come in above: what is read stays where it is.
  document.addEventListener("htmx:before:swap", ({ detail: { ctx } }) => {
    const read = ctx.target?.matches?.(".more-older") && ctx.target.nextElementSibling;
    if (!read) return;
    const was = edge(read);
    document.addEventListener("htmx:after:swap", () => scrollBy(0, edge(read) - was), { once: true });
  });

  // A conversation opens at its newest question; a reload or "back" stays where the browser puts it.
  const [visit] = performance.getEntriesByType("navigation");
  const last = turns.lastElementChild;
  // Who has moved already, or hears a message at the top, is left alone.
  const settled = scrollY > 0 || document.activeElement !== document.body;
  if (visit?.type === "navigate" && !location.hash && last && !settled) {
    if (last.querySelector("[data-live]")) toEnd();
    else if (turns.children.length > 1) last.scrollIntoView();
  }
  notice();
})();
