"""What commands do with an app: begin it, compile it, run it on this machine, simulate it, price it."""
