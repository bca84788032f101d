// The page /docs: Swagger UI over the service's own OpenAPI document.

SwaggerUIBundle({ url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true, tryItOutEnabled: true });
