"""The version of this library, which a stack's functions publish and `headrace doctor` compares."""

VERSION = "0.1.0"
