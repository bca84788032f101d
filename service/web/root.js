// The path prefix of the service: "" at the top of its host, `/lrd` behind a proxy that serves it
// below that path. Derived from the address of this file, `<root>/web/root.js`.
export const root = new URL("..", import.meta.url).pathname.replace(/\/$/, "");
