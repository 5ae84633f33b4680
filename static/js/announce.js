// Says something to people who do not see it happen: politely, once.
// Anywhere: document.dispatchEvent(new CustomEvent("corral:announce", {detail: "3 of 10 chosen"})).
// Of several in a row the last is said, and each that was sent as {text, keep: true}. A swapped element with
// data-announce="…" is read out when those words are others.
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
