"""Tests of what the Azure targets share."""
