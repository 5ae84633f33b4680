// Where the reader is: a growing answer is followed only by who reads at its end; everybody else keeps their place.
(() => {
  const root = document.documentElement;
  const turns = document.getElementById("turns");
  const jump = document.querySelector("[data-jump]");
  if (!turns || !jump) return;
  const NEAR = 80;
  const below = () => root.scrollHeight - innerHeight - scrollY;
  const toEnd = () => scrollTo({ top: root.scrollHeight, behavior: "instant" });
  let following = false;
  let lastY = scrollY;

  // Only moving up ends it: an answer may have grown further before the event of one's own scrolling arrives.
  const notice = () => {
    following = below() < NEAR || (following && scrollY >= lastY);
    lastY = scrollY;
    jump.hidden = following || below() < innerHeight / 2 || !turns.children.length;
  };

  // What an answer ends with is followed like the answer; steps that a person unfolds are not.
  const dock = jump.parentElement;
  let docked = dock.offsetHeight;
  let ended = -Infinity;
  const justEnded = () => { ended = performance.now(); };
  document.addEventListener("corral:answered", justEnded);
  document.addEventListener("htmx:before:swap", ({ detail: { ctx } }) => { if (ctx.sourceElement?.id === "newer") justEnded(); });
  const observer = new ResizeObserver(() => {
    const grew = turns.querySelector("[data-live]") || performance.now() - ended < 3000 || docked !== dock.offsetHeight;
    docked = dock.offsetHeight;
    if (!following) notice();
    else if (grew) toEnd();
  });
  observer.observe(root);
  observer.observe(dock);

  addEventListener("scroll", notice, { passive: true });
  addEventListener("resize", () => { if (following) toEnd(); });
  // The focus stays in the question: if it left, a phone's navigation would come back and move the button away.
  jump.addEventListener("mousedown", (event) => event.preventDefault());
  jump.addEventListener("click", () => {
    toEnd();
    document.getElementById("prompt")?.focus({ preventScroll: true });
  });

  // One's own question is shown, wherever one was reading.
  let asked = false;
  document.addEventListener("corral:asked", () => { asked = true; });
  document.addEventListener("htmx:after:swap", () => {
    if (!asked) return;
    asked = false;
    following = true;
    requestAnimationFrame(toEnd);
  });

  // Older turns come in above: what is being read stays where it is.
  let anchor;
  document.addEventListener("htmx:before:swap", ({ detail: { ctx } }) => {
    if (!ctx.target?.matches?.(".more-older")) return;
    const element = ctx.target.nextElementSibling;
    anchor = element && { element, top: element.getBoundingClientRect().top };
  });
  document.addEventListener("htmx:after:swap", () => {
    if (!anchor) return;
    scrollBy({ top: anchor.element.getBoundingClientRect().top - anchor.top, behavior: "instant" });
    anchor = undefined;
  });

  // A conversation opens at its newest question; a reload or "back" stays where the browser puts it.
  const [visit] = performance.getEntriesByType("navigation");
  const last = turns.lastElementChild;
  // Who has moved already, while the scripts were on their way, is left alone; so is what a message says at the top.
  const settled = scrollY > 0 || document.activeElement !== document.body;
  if (visit?.type === "navigate" && !location.hash && last && !settled) {
    if (last.querySelector("[data-live]")) toEnd();
    else if (turns.children.length > 1) last.scrollIntoView({ block: "start", behavior: "instant" });
  }
  notice();
})();
