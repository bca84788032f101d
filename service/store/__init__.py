"""What is remembered: tables, one session module, and the statements on them."""
