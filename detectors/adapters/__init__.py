"""Other people's detectors and pose estimators as stages. Each needs an extra of this package."""
