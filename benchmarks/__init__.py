"""The engine side by side with the libraries that people would use instead: ``python -m benchmarks``."""
