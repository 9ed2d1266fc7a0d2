"""Invertible maps with log-determinants, one idea per file.

Bijections carry data to noise in ``forward`` and noise to data in ``inverse``;
:mod:`headwater.bijections.bijection` states the contract, :mod:`headwater.bijections.combinators`
composes them, and families of scalar maps (:mod:`headwater.bijections.univariate`) drop into
every coupling and autoregressive architecture.
"""
