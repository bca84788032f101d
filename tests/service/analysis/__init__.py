"""Tests of service/analysis; a package, so that its modules may share `cases`."""
