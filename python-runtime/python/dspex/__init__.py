"""DSPex runs DSPy programs on a cluster. Importing this package costs nothing: no dspy, no node, no thread."""

__version__ = "0.1.0"
