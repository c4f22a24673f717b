"""An emulated AWS as a server on this machine."""
