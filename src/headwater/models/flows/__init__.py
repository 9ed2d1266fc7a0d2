"""Normalizing flows: exact likelihoods by invertible maps."""
