"""What a worker and its batch say to each other: tuples that begin with one of these words."""

READY, PLANNED, GO, TICK, NOTE, DONE, FAILED = ("ready", "planned", "go", "tick", "note", "done", "failed")
"""Of the worker: it waits for jobs; bytes and seconds that a job needs; share done; level and text of a note; figures;
code, text and whether it may pass, of an error. Of the batch: begin."""
