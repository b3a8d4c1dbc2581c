"""The command line: one sub-command an operation, and the commands about tasks and the daemon itself."""
