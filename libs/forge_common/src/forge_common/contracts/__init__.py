"""The promises between services: frozen pydantic models and the task table. No I/O, no imports of anything that does I/O."""
