"""Whether a container holds all of its video, as far as its own structure can tell."""

from __future__ import annotations

import struct
from collections.abc import Callable

from parsing.media.boxes import Box, boxes
from parsing.media.containers import Cursor, VideoFile
from parsing.media.packets import Survey
from parsing.types import Completeness

TAIL_BYTES = 2048  # a pack of a program stream
SLACK_S = 0.05  # beside one frame: frames of sound end later or earlier than those of the video
FLV_TAGS = (8, 9, 18)  # sound, video, data
ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
MATROSKA_SEGMENT, MATROSKA_CLUSTER = bytes.fromhex("18538067"), bytes.fromhex("1f43b675")
MATROSKA_ELEMENTS = (  # RFC 9559
    {MATROSKA_CLUSTER, b"\x11\x4d\x9b\x74", b"\x15\x49\xa9\x66", b"\x16\x54\xae\x6b"}  # SeekHead, Info, Tracks
    | {b"\x1c\x53\xbb\x6b", b"\x19\x41\xa4\x69", b"\x10\x43\xa7\x70", b"\x12\x54\xc3\x67"}  # Cues, Attachments, Chapters, Tags
    | {b"\xe7", b"\xa3", b"\xa0", b"\xab", b"\xa7", b"\x58\x54", b"\xaf"}  # of a cluster: Timestamp, SimpleBlock, BlockGroup, …
    | {b"\xec", b"\xbf"}  # anywhere: Void, CRC-32
)
TS_PACKETS = ((188, 0), (192, 4))  # length, place of the sync byte 0x47


def completeness(file: VideoFile, found: Survey) -> Completeness:
    """Whether the end of the file is there; `unknown` for containers whose headers do not show it, such as bare streams."""
    if found.damages or (found.num_indexed is not None and found.num_frames < found.num_indexed):
        return False
    whole = next((check(file.cursor(), found) for name, check in CHECKS.items() if name in found.formats), None)
    return "unknown" if whole is None else whole


def _mp4(cursor: Cursor, found: Survey) -> bool | None:
    """An index of all frames, or fragments that reach the file's end and that a `sidx` or `mfra` counts."""
    if found.num_indexed is not None:
        return True
    indexed_to = end = 0
    for box in boxes(cursor):
        if box.kind == b"mfra":
            return box.end <= cursor.size  # stands behind the last fragment
        if box.kind == b"sidx":
            indexed_to = max(indexed_to, box.end + _sidx_bytes(cursor, box))
        end = box.end
    return False if end != cursor.size else indexed_to <= end if indexed_to else None


def _sidx_bytes(cursor: Cursor, box: Box) -> int:
    """From the end of a segment index to that of what it lists (8.16.3)."""
    cursor.seek(box.start + 8)
    body = cursor.read(min(box.end - box.start - 8, 1 << 22))
    entries = 32 if body[:1] == b"\1" else 24  # by the width of times and offsets
    first = int.from_bytes(body[20:28] if entries == 32 else body[16:20], "big")
    sizes = (int.from_bytes(body[at : at + 4], "big") & 0x7FFFFFFF for at in range(entries, len(body) - 11, 12))
    return first + sum(sizes)


def _matroska(cursor: Cursor, _: Survey) -> bool | None:
    """The size of the segment, which a file that was streamed lacks, and elements that follow each other without a gap."""
    head = cursor.read(1 << 12)
    at = head.find(MATROSKA_SEGMENT)
    if at < 0:
        return None
    place, end = _element(cursor, at)[1:]
    if end is None:
        return None
    if end > cursor.size:
        return False
    while place < end:
        kind, content, after = _element(cursor, place)
        if kind not in MATROSKA_ELEMENTS:
            return False
        if kind == MATROSKA_CLUSTER:  # its blocks come one by one
            place = content
        elif after is None or after > end:
            return False
        else:
            place = after
    return True


def _element(cursor: Cursor, place: int) -> tuple[bytes, int, int | None]:
    """An EBML element (RFC 8794): its id, where its content begins and ends; None where it does not say."""
    cursor.seek(place)
    head = cursor.read(12).ljust(12, b"\0")
    id_width = 9 - head[0].bit_length()
    width = 9 - head[min(id_width, 11)].bit_length()
    size = int.from_bytes(head[id_width : id_width + width], "big") & ((1 << 7 * width) - 1)
    content = place + id_width + width
    return head[:id_width], content, None if size == (1 << 7 * width) - 1 else content + size


def _riff(cursor: Cursor, _: Survey) -> bool | None:
    """The sizes of the file's RIFF chunks, which a file that was not closed lacks."""
    place = 0
    while place + 12 <= cursor.size:
        cursor.seek(place)
        kind, length = struct.unpack("<4sI", cursor.read(8))
        if kind != b"RIFF":
            break
        if length in (0, 0xFFFFFFFF):
            return None
        place += 8 + length
    return place <= cursor.size + 1  # the last byte that pads may be left out


def _flv(cursor: Cursor, found: Survey) -> bool | None:
    """Tags that follow each other up to the end, and the duration of the metadata against the end of the last stream."""
    at = (head := cursor.read(1 << 14)).find(b"\x00\x08duration\x00") + 11
    duration_s = struct.unpack(">d", head[at : at + 8])[0] if 11 <= at <= len(head) - 8 else 0.0
    place = int.from_bytes(head[5:9], "big") + 4
    while place < cursor.size:
        cursor.seek(place)
        tag = cursor.read(4)
        length = 11 + int.from_bytes(tag[1:], "big")
        cursor.seek(place + length)
        if not tag or tag[0] & 0x1F not in FLV_TAGS or int.from_bytes(cursor.read(4), "big") != length:
            return False
        place += length + 4
    step_s = 1 / found.fps if found.fps > 0 else 0.0
    return bool(found.last_s >= duration_s - SLACK_S - step_s) if duration_s > 0 else None


def _asf(cursor: Cursor, _: Survey) -> bool | None:
    """The file's size as its header gives it, 0 where it was streamed, and packets that all begin as the first one does."""
    at = (head := cursor.read(1 << 16)).find(ASF_FILE_PROPERTIES)
    properties = head[at : at + 104]
    if at < 0 or len(properties) < 104:
        return None
    size, num_packets = struct.unpack("<Q8xQ", properties[40:64])
    length = struct.unpack("<I", properties[92:96])[0]
    if not size or not length:
        return None
    start = int.from_bytes(head[16:24], "little") + 50  # behind the head of the data object
    if cursor.size < size or start + num_packets * length > cursor.size:
        return False
    flags = {_byte(cursor, start + i * length) & 0x80 for i in range(num_packets)}  # whether error correction is there
    return len(flags) <= 1


def _byte(cursor: Cursor, place: int) -> int:
    cursor.seek(place)
    return cursor.read(1)[0]


def _transport_stream(cursor: Cursor, _: Survey) -> bool | None:
    """Nothing says where a transport stream ends, but it does not end within a packet."""
    head = cursor.read(1 << 10)
    for length, sync in TS_PACKETS:
        if all(head[at : at + 1] == b"\x47" for at in range(sync, min(len(head), 4 * length), length)):
            return False if cursor.size % length else None
    return None


def _program_stream(cursor: Cursor, _: Survey) -> bool | None:
    """The end code, which many programs leave out."""
    cursor.seek(max(0, cursor.size - TAIL_BYTES))
    return True if b"\0\0\1\xb9" in cursor.read() else None


def _ogg(cursor: Cursor, _: Survey) -> bool | None:
    """Pages that follow each other (RFC 3533), and the mark of the last one."""
    place, flags = 0, 0
    while place < cursor.size:
        cursor.seek(place)
        head = cursor.read(27)
        lengths = cursor.read(head[26]) if len(head) == 27 else b""
        place += 27 + len(lengths) + sum(lengths)
        if head[:4] != b"OggS" or not lengths or place > cursor.size:
            return False
        flags = head[5]
    return True if flags & 4 else None


def _gif(cursor: Cursor, _: Survey) -> bool | None:
    """The trailer, behind all blocks (GIF89a)."""
    colours = _gif_colours(cursor.read(13)[10:])
    cursor.seek(cursor.place + colours)
    while kind := cursor.read(1):
        if kind == b";":
            return True
        if kind == b",":
            colours = _gif_colours(cursor.read(9)[8:])
            cursor.seek(cursor.place + colours + 1)
        elif kind == b"!":
            cursor.read(1)
        else:
            return False
        while length := cursor.read(1):
            if length == b"\0":
                break
            cursor.seek(cursor.place + length[0])
    return False


def _gif_colours(flags: bytes) -> int:
    """Bytes of the colour table that the first of these announces."""
    return 3 << (flags[0] & 7) + 1 if flags and flags[0] & 0x80 else 0


def _ivf(cursor: Cursor, found: Survey) -> bool | None:
    """The number of frames in the header; 0 where it was streamed."""
    declared = int.from_bytes(cursor.read(32)[24:28], "little")
    return found.num_frames >= declared if declared else None


CHECKS: dict[str, Callable[[Cursor, Survey], bool | None]] = {
    "mov": _mp4,
    "matroska": _matroska,
    "avi": _riff,
    "flv": _flv,
    "asf": _asf,
    "mpegts": _transport_stream,
    "mpeg": _program_stream,
    "ogg": _ogg,
    "gif": _gif,
    "ivf": _ivf,
}
