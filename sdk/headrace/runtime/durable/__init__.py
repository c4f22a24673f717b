"""Runs the code of durable tasks: `run` one invocation, `entries` its operations, `standing` what the code waits on, `kept` suspended code."""
