"""Names of files that hold videos and images, as folders are searched for them."""

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
VIDEO_SUFFIXES = (
    ".mp4", ".mov", ".m4v", ".3gp", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".flv", ".wmv", ".asf",
    ".ogv", ".gif", ".y4m", ".dv", ".mjpeg", ".h264",
)  # fmt: skip
