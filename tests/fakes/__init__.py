"""Clouds on loopback: protocol servers that hold state, for the real SDKs to talk to."""
