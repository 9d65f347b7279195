"""Private messaging between the users of a Django site, over the message API of OSSN."""

__version__ = "0.1.0"
