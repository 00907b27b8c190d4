"""Which texts are secrets or personal data: rules as data, the scanner that applies them, and the corpus that measures it."""
