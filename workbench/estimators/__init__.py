"""The methods: importing this package registers all of them."""

from importlib import import_module
from pkgutil import iter_modules

from workbench.estimators.base import Estimator, Method, create, methods
from workbench.estimators.credit import Credit, Explanation, Term

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = ["Credit", "Estimator", "Explanation", "Method", "Term", "create", "methods"]
