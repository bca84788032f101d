"""The commands of `lrd`, by what they do, and what they share; `service.cli` puts them together."""
