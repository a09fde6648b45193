"""One page of the app a module; each has a function `page`."""
