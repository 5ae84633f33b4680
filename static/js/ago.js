// Keeps "5 minutes ago" true while a page stays open: the words of templatetags/wording.py, for ages below 12 hours.
// The list's own age (.freshness) is left alone, because an unchanged answer to its polling renews it.
(() => {
  const HALF_A_DAY = 12 * 3600;
  const served = Number(document.querySelector('meta[name="corral-now"]').content);
  const ahead = Date.now() / 1000 - served; // of a browser whose clock is wrong

  const words = (seconds) => {
    if (seconds < 45) return "just now";
    const [count, unit] = seconds < 3600
      ? [Math.max(1, Math.round(seconds / 60)), "minute"]
      : [Math.round(seconds / 3600), "hour"];
    return `${count} ${unit}${count === 1 ? "" : "s"} ago`;
  };

  const tick = () => {
    for (const time of document.querySelectorAll("main time:not(.freshness time)")) {
      const seconds = Date.now() / 1000 - ahead - Date.parse(time.dateTime) / 1000;
      if (seconds > 0 && seconds < HALF_A_DAY) time.firstChild.data = words(seconds);
    }
  };

  setInterval(tick, 20_000);
  document.addEventListener("corral:visible", tick);
})();
