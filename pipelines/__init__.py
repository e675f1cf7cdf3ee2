"""Composition: run, train, evaluate; decoding, tracking, writers and rendering."""
