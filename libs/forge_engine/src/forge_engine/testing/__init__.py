"""For tests of what uses the engine: models whose answers are known, and a running engine. Nothing here is served."""
