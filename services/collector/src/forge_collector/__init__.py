"""Data in: captures, curates and turns exchanges into datasets."""
