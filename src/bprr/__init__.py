"""Block placement and request routing for geographically distributed LLM inference."""

__version__ = "0.1.0"
