// The question being typed: Enter sends it, its length is told before it is too long, and it is never lost.
// The draft stays in this tab until Corral has taken the question (js/asking.js says when, and which).
(() => {
  const WARN = 800;
  const box = () => document.getElementById("prompt");
  const key = () => `corral:draft:${document.querySelector("[data-composer]").dataset.composer}`;
  // Code points, as LlamaCloud counts; "length" would count an emoji twice.
  const lengthOf = (text) => [...text].length;
  const characters = (count) => `${count.toLocaleString("en")} character${count === 1 ? "" : "s"}`;
  let told = 0;

  const count = (area) => {
    const [limit, length] = [Number(area.dataset.limit), lengthOf(area.value)];
    const line = document.getElementById("prompt-count");
    const left = limit - length;
    const words = left < 0 ? `${characters(-left)} too many` : `${characters(left)} left`;
    line.textContent = length >= WARN ? words : "";
    line.toggleAttribute("data-over", left < 0);
    area.setCustomValidity(left < 0 ? `Your question has ${words}. Shorten it, then ask.` : "");
    const step = [WARN, WARN + 100, limit - 50, limit, limit + 1].filter((mark) => length >= mark).length;
    if (step > told) document.dispatchEvent(new CustomEvent("corral:announce", { detail: words }));
    told = step;
  };

  const changed = (area) => {
    if (area.value) sessionStorage.setItem(key(), area.value);
    else sessionStorage.removeItem(key());
    count(area);
  };

  const put = (text) => {
    const area = box();
    area.value = text;
    changed(area);
    return area;
  };

  // A composer that has just come into the page, with the server's words in it or with the draft.
  const begin = () => {
    const area = box();
    if (!area || area.dataset.begun) return;
    area.dataset.begun = "yes";
    area.value ||= sessionStorage.getItem(key()) ?? "";
    told = 0;
    changed(area);
  };

  document.addEventListener("input", ({ target }) => {
    if (target.id === "prompt") changed(target);
  });

  document.addEventListener("keydown", (event) => {
    const writing = event.isComposing || event.keyCode === 229;
    if (event.target.id !== "prompt" || event.key !== "Enter" || event.shiftKey || writing) return;
    event.preventDefault();
    if (event.target.value.trim()) event.target.form.requestSubmit();
  });

  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("[data-suggestion]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    put(link.textContent).focus();
  });

  // What was typed since the question was sent is another one.
  document.addEventListener("corral:asked", ({ detail: words }) => {
    if (box()?.value === words) put("");
  });
  document.addEventListener("htmx:after:swap", begin);

  if (!document.querySelector("[data-composer]")) return;
  begin();
  // A reload shows the draft, which may have been changed since.
  if (/[?&](prompt|question)=/.test(location.search)) {
    history.replaceState(history.state, "", location.pathname + location.hash);
  }
})();
