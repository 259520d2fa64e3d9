"""Models on CPU kinds that this machine is not, by emulation: `make emulated`."""
