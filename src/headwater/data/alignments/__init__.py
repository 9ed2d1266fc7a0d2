"""Alignments of protein families: read, cut to a target, weighted and split, as rows of residue codes."""
