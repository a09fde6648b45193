"""Credit-assignment methods, one module each, by family."""

from workbench.methods.base import METHODS, Dialect, Method, MethodInfo, create, method, registered

__all__ = ["METHODS", "Dialect", "Method", "MethodInfo", "create", "method", "registered"]
