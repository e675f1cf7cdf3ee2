"""Pictures of a parse: frames with boxes and labels, and the colours that all pictures share."""
