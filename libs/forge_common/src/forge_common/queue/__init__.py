"""The queue: doorbells out (producer), doorbells in (worker), stages worked on (stage), heavy work apart (child)."""
