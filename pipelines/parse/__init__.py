"""From a source to a parse: composition of the stages, scheduling of frames, output files."""
