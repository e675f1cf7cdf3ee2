"""What the labels of the default detectors were made with: four published networks, and the rules by which they agree."""
