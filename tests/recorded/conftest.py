"""The scripts that record and check need frameworks that the tests do without."""

collect_ignore_glob = ["record_*.py", "check_*.py"]
