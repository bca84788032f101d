// The page /docs: Swagger UI over the service's own OpenAPI document, in the colours of the page.

const root = document.documentElement;
const system = matchMedia("(prefers-color-scheme: dark)");

function colour() {
  root.classList.toggle("dark-mode", root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
}

system.addEventListener("change", colour);
colour();
SwaggerUIBundle({ url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true, tryItOutEnabled: true });
