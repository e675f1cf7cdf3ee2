"""Other people's recognizers as stages. Each needs an extra of this package."""
