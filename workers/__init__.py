"""Runs trials on Ray; no other package of this project imports Ray."""
