"""`make demo`: the whole loop on this machine, on the nano base, in a home of its own."""
