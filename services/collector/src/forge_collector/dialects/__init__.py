"""One file for each dialect that callers speak; `dialect.py` says what such a file must give. None of them does I/O."""
