"""One module per format; `readers.base` imports and registers each of them."""
