"""Video super-resolution: frames of a small video in, larger frames out."""

from parsing.configs import Table

_VIDEO = "recognizers.superres.video:VideoSuperResolverConfig"
SUPER_RESOLVERS: Table = {
    "bicubic": "recognizers.superres.images:BicubicConfig",
    "basicvsr": _VIDEO,
    "realbasicvsr": _VIDEO,
    "spandrel": "recognizers.superres.images:SpandrelConfig",
}
