"""How a run is stored: texts and payloads, the rows of its tasks, its record."""
