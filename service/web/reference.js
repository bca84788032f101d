// `/docs`: Swagger UI over the service's own OpenAPI document, in the page's colours.
import { isDark, onSystemChange } from "./dark.js";
import { root } from "./root.js";

function colour() {
  document.documentElement.classList.toggle("dark-mode", isDark());
}

onSystemChange(colour);
colour();
const spec = await (await fetch(`${root}/openapi.json`)).json();
spec.servers = [{ url: root || "/" }]; // where Swagger UI sends the requests
SwaggerUIBundle({ spec, dom_id: "#swagger-ui", deepLinking: true, tryItOutEnabled: true });
