"""`forge up`: the whole Forge on one machine, under one supervisor."""
