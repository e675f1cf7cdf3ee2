"""The report: a page that shows a parse beside its video, an index of pages, and pictures for papers."""
