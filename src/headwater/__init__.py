"""Headwater: deep generative models on a person's own data, under one contract."""
