"""Detections of persons and parts against annotated images, by COCO's protocol."""
