"""Invertible maps between stored values and events, one idea per file, each with its log-determinant."""
