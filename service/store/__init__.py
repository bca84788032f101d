"""The service's memory: tables, one session module, and the statements on them."""
