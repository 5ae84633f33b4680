// Stands in every page (dashboard/in_page.py): fetches the scripts once something has been seen. A page that is opened
// in the background paints nothing and starts them at once; a browser that tells no paint starts them a second later.
new Promise((start) => {
  setTimeout(start, 1000);
  if (document.hidden) start();
  addEventListener("visibilitychange", start);
  new PerformanceObserver(start).observe({ type: "paint", buffered: true });
}).catch(() => {}).then(() => import("app.js"));
