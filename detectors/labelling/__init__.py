"""Labels made and looked at: pseudo-labels, pictures of data sets and detections, comparison of saved detections."""
