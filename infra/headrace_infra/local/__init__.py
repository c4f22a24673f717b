"""An emulated AWS around an app: resources from the compiled template, delivery as the event source mapping does it."""
