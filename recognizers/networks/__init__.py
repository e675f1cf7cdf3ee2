"""The video networks of the five reports; each takes (B, 3, T, H, W), normalised, and gives logits."""
