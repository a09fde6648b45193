"""Credit-assignment methods: importing this package registers all of them."""

from importlib import import_module
from pkgutil import walk_packages

from workbench.methods.base import Estimator, Method, create, methods

for _module in walk_packages(__path__, f"{__name__}."):
    import_module(_module.name)

__all__ = ["Estimator", "Method", "create", "methods"]
