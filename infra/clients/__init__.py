"""Thin clients of the clouds' services, which raise our own errors. Each SDK is imported in one."""
