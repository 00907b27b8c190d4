"""What both trainers' tests have in common: scenarios that a trainer's test file imports, and what they stand on."""
