"""The laws of the contract, for the registry's own tests and for authors of plug-ins.

>>> from headwater.testing import check_model
>>> check_model("independent")  # raises AssertionError with every law that is broken
"""

from headwater.testing.check import check_model
from headwater.testing.laws import LAWS

__all__ = ["LAWS", "check_model"]
