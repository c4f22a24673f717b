"""The commands and their options, a file a group. Each imports what it does only when it is called: `headrace --help` is quick."""
