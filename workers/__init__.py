"""Where it runs: Ray, and only here."""
