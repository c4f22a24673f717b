"""What commands do with runs: start, list, show, cancel, replay."""
