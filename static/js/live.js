// Live answers. The hx-sse extension resumes what once ran; this makes sure it begins. With no message for a while,
// the turn is swapped for one that asks again every two seconds.
(() => {
  const PATIENCE = 6000;
  const watched = new Map(); // turn number → what is known of its stream
  const lives = () => document.querySelectorAll("[data-live]");
  const streamOf = (live) => live._htmx?.sse;
  const watch = (number) =>
    watched.get(number) ?? watched.set(number, { quietSince: performance.now(), tries: 0 }).get(number);

  const poll = async (live) => {
    if (!live.isConnected || !live.hasAttribute("data-streams")) return;
    live.removeAttribute("data-streams");
    htmx.trigger(live, "htmx:abort");
    await htmx.ajax("GET", live.dataset.turnUrl, { source: document.body, target: `#turn-${live.dataset.live}`, swap: "outerHTML" });
    if (!live.isConnected || !live.dataset.live) return;
    // That does not get through either, so the stream remains the way.
    live.setAttribute("data-streams", "");
    watch(live.dataset.live).quietSince = performance.now();
  };

  const connect = (live) => {
    const isFree = live.isConnected && live.matches("[data-streams]:not(.htmx-request)") && !streamOf(live);
    if (isFree) htmx.trigger(live, "corral:connect");
  };

  const told = (number, state) => {
    watched.delete(number);
    const turn = document.getElementById(`turn-${number}`);
    if (turn && state) turn.dataset.state = state;
    document.dispatchEvent(new CustomEvent("corral:answered", { detail: { number, state: turn?.dataset.state } }));
  };

  // Whatever came into the page: new live answers are watched, polled ones that have ended are told.
  const look = () => {
    lives().forEach((live) => watch(live.dataset.live));
    for (const number of [...watched.keys()]) {
      const turn = document.getElementById(`turn-${number}`);
      if (turn?.querySelector("[data-live]")) continue;
      told(number);
      htmx.trigger(document.body, "turn-ended");
    }
  };

  document.addEventListener("htmx:sse:after:message", ({ target, detail }) => {
    const known = watched.get(target.dataset.live);
    if (known) Object.assign(known, { works: true, quietSince: null, tries: 0 });
    if (detail.message.event === "turn-ended") {
      ["data-streams", "data-live"].forEach((name) => target.removeAttribute(name));
      told(target.id.split("-")[1], detail.message.data);
    }
  });

  document.addEventListener("htmx:sse:error", ({ target: { dataset } }) => dataset?.live && (watch(dataset.live).quietSince ??= performance.now()));

  document.addEventListener("htmx:finally:request", ({ detail: { ctx } }) => {
    const live = ctx.sourceElement;
    if (!live.dataset?.live) return;
    const known = watch(live.dataset.live);
    if (!known.works && !streamOf(live)) setTimeout(connect, 500 * 2 ** known.tries++, live);
  });

  // Seen again, or on line again (js/poll-visible.js).
  document.addEventListener("corral:visible", () => {
    for (const known of watched.values()) if (known.quietSince !== null) known.quietSince = performance.now();
    lives().forEach(connect);
  });

  setInterval(() => {
    if (document.hidden) return;
    for (const live of lives()) {
      const known = watched.get(live.dataset.live);
      if (known?.quietSince != null && performance.now() - known.quietSince > PATIENCE) poll(live);
    }
  }, 1000);

  // After the swap's other parts have found their places.
  document.addEventListener("htmx:after:swap", () => setTimeout(look));
  look();
})();
