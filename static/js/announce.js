// Says something to people who do not see it happen: politely, once.
// Anywhere: document.dispatchEvent(new CustomEvent("corral:announce", {detail: "3 of 10 chosen"})).
// A corral:problem with the same kind of detail is shown, too.
// Of several in a row the last is said; one sent as {text: "Answer ready", keep: true} is said whatever follows it.
// A swapped element with data-announce="…" is read out when those words differ from the ones it replaced.
(() => {
  const announcer = document.getElementById("announcer");
  const words = new Map();
  let kept = [];
  let last = "";
  let pending;

  document.addEventListener("corral:announce", ({ detail }) => {
    if (detail.keep) kept.push(detail.text);
    else last = detail;
    clearTimeout(pending);
    pending = setTimeout(() => {
      const said = [...kept, last].filter(Boolean).join(". ");
      [kept, last] = [[], ""];
      announcer.textContent = "";
      requestAnimationFrame(() => { announcer.textContent = said; });
    }, 400);
  });

  // What went wrong is seen as well, wherever on the page one is, until the person tries again.
  const problem = document.getElementById("problem");
  document.addEventListener("corral:problem", ({ detail }) => {
    problem.textContent = detail;
    problem.hidden = false;
    document.dispatchEvent(new CustomEvent("corral:announce", { detail }));
  });
  document.addEventListener("htmx:before:request", ({ detail }) => {
    if (detail.ctx.sourceElement?.closest?.("form")) problem.hidden = true;
  });

  const remember = (element) => {
    if (element.id) words.set(element.id, element.dataset.announce);
  };
  document.querySelectorAll("[data-announce]").forEach(remember);

  document.addEventListener("htmx:after:swap", () => {
    for (const element of document.querySelectorAll("[data-announce]")) {
      const before = words.get(element.id);
      remember(element);
      if (before !== element.dataset.announce) {
        document.dispatchEvent(new CustomEvent("corral:announce", { detail: element.dataset.announce }));
      }
    }
  });
})();
