"""What every command needs of this machine: console, errors, exit codes, hashes, cache folder."""
