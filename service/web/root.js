// Where the service begins, for absolute addresses: "" at the top of its host, `/lrd` behind a proxy
// that shows it below that. This file lies in `web/` of it.
export const root = new URL("..", import.meta.url).pathname.replace(/\/$/, "");
