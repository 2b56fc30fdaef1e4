"""The scripts that record need frameworks that the tests do without."""

collect_ignore_glob = ["record_*.py"]
