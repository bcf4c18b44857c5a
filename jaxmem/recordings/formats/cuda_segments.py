"""The bytes that PyTorch's allocator had reserved while a snapshot of CUDA memory was recorded.

It takes memory from the device in segments, of which it hands out blocks. A snapshot lists the
segments that there are at its end, and its events those that came and went before.
"""

from jaxmem.recordings.recording import LARGEST_SIZE

# Segments that can grow (expandable_segments) are mapped piece by piece.
TAKEN = ("segment_alloc", "segment_map")
GIVEN_BACK = ("segment_free", "segment_unmap")


def reserved_bytes(trace: object, segments: object, device: int) -> int:
    """Finds the most bytes reserved at once since the first event, over all streams and pools.

    Args:
        trace: the events of the device.
        segments: those of all devices at the end of the recording, as the snapshot has them.
    Returns:
        0 where the snapshot tells of no segments, or nothing that can be.
    """
    change, highest, lowest = 0, 0, 0
    for event in dicts(trace):
        action, size = event.get("action"), event.get("size")
        if action not in TAKEN + GIVEN_BACK:
            continue
        if type(size) is not int or not 0 <= size <= LARGEST_SIZE:
            return 0
        change += size if action in TAKEN else -size
        highest, lowest = max(highest, change), min(lowest, change)
    at_the_end, met = 0, set[int]()
    for segment in dicts(segments):
        size = segment.get("total_size")
        if segment.get("device", device) != device or id(segment) in met:
            continue
        if type(size) is not int or not 0 <= size <= LARGEST_SIZE:
            return 0
        met.add(id(segment))  # one that stands in the list twice is there once
        at_the_end += size
    # No fewer were there before than were given back since, whatever the list says.
    before = max(at_the_end - change, -lowest)
    reserved = before + highest
    return reserved if reserved <= LARGEST_SIZE else 0


def dicts(value: object) -> list[dict[str, object]]:
    """Returns the dicts in a list; none where it is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
