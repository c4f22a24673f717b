"""What surrounds the library: the compiler to SAM, the local runtime, the command line, the cost meter."""
