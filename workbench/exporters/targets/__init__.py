"""One module per export target; `exporters.base` imports and registers each of them."""
