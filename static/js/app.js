// Every behaviour, in order. collectstatic writes them here; while debugging each is fetched by itself
// (dashboard/static_bundle.py). Where there is nothing on the page to serve they do nothing.
import "../vendor/htmx.min.js";
import "../vendor/hx-sse.min.js";
import "trusted-types.js";
import "announce.js";
import "problem.js";
import "fragments.js";
import "submit-once.js";
import "poll-visible.js";
import "keep-open.js";
import "ago.js";
import "filters.js";
import "filter-list.js";
import "limit.js";
import "confirm-not-ready.js";
import "copy.js";
import "countdown.js";
import "asking.js";
import "focus.js";
import "composer-sources.js";
import "composer.js";
import "follow.js";
import "live.js";
import "doing.js";
import "newer.js";
import "notify.js";
import "page-image.js";
