// The page /docs: Swagger UI over the service's own OpenAPI document, in the colours of the page.
import { root } from "./root.js";

const page = document.documentElement;
const system = matchMedia("(prefers-color-scheme: dark)");

function colour() {
  page.classList.toggle("dark-mode", page.dataset.theme ? page.dataset.theme === "dark" : system.matches);
}

system.addEventListener("change", colour);
colour();
const spec = await (await fetch(`${root}/openapi.json`)).json();
spec.servers = [{ url: root || "/" }]; // where requests are tried out
SwaggerUIBundle({ spec, dom_id: "#swagger-ui", deepLinking: true, tryItOutEnabled: true });
