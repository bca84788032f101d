"""What is remembered: FastAPI, SQL, the dispatcher, the page, CLI and client."""
