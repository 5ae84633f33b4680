// Stands in every page (dashboard/in_page.py): fetches the scripts once something has been seen and all of it is there.
// A page opened in the background paints nothing; a browser that tells no paint starts them a second later.
Promise.all([new Promise((start) => {
  setTimeout(start, 1000);
  if (document.hidden) start();
  addEventListener("visibilitychange", start);
  new PerformanceObserver(start).observe({ type: "paint", buffered: true });
}).catch(() => {}), new Promise((start) => addEventListener("DOMContentLoaded", start))]).then(() => import("app.js"));
