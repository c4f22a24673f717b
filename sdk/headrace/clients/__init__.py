"""One feature client a file: what `hatchet.runs`, `hatchet.logs` and the others are."""
