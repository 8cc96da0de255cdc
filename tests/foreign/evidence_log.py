"""A second verifier of evidence logs, written from docs/reference/evidence-format.md and nothing else.

    python tests/foreign/evidence_log.py DIR KEYFILE      exit 0: sound; 4: not, and why

Reads a log's folder: checkpoint, segments, tiles and bundles. Reads of a record what the page's rules need, and no more.
"""

import base64
import hashlib
import pathlib
import re
import sys
import zlib

import ed25519

LONGEST = 65535
WIDTH = 256
UNARY, OPEN, CLOSE, REFUSAL, LOST = 1, 2, 3, 4, 5


class Invalid(Exception):
    """The log is not what its key has signed."""


def verify(folder, vkey):
    """(entries, entries under the checkpoint) of a sound log.

    Raises Invalid otherwise.
    """
    folder = pathlib.Path(folder)
    size, root = checkpoint((folder / "checkpoint").read_bytes(), vkey)
    entries = list(segments(folder / "segments", size))
    records(entries)
    if len(entries) < size:
        raise Invalid(f"the checkpoint is of {size} entries, and there are {len(entries)}")
    levels = tree([hashlib.sha256(b"\0" + entry).digest() for entry in entries[:size]])
    if tree_root(levels[0]) != root:
        raise Invalid("the entries are not those of the checkpoint")
    tiles(folder, entries, levels, size)
    return len(entries), size


def root_at(folder, size):
    """The root of the first entries of a folder."""
    entries = list(segments(pathlib.Path(folder) / "segments", size))
    if len(entries) < size:
        raise Invalid(f"there are {len(entries)} entries, and {size} are cosigned")
    return tree_root(tree([hashlib.sha256(b"\0" + entry).digest() for entry in entries[:size]])[0])


# The checkpoint.


def checkpoint(note, vkey):
    """Size and root of a signed note."""
    name, packed, own = key(vkey)
    text, signed = signatures(note)
    try:
        origin, size, root = text.decode()[:-1].split("\n")
        root = unpacked(root)
    except ValueError as error:
        raise Invalid(f"the checkpoint is malformed: {error}") from error
    if origin != name:
        raise Invalid("the checkpoint is of another log")
    if not size.isascii() or not size.isdigit() or str(int(size)) != size or len(root) != 32:
        raise Invalid("the checkpoint is malformed")
    made = [made[4:] for signer, made in signed if signer == name and made[:4] == own and packed[:1] == b"\1"]
    if not made or not all(ed25519.verify(packed[1:], text, one) for one in made):
        raise Invalid("the checkpoint is not signed by the key")
    return int(size), root


def cosigned(note, vkeys, quorum):
    """When each of these witnesses cosigned a note, by name: at least so many did, and none wrongly."""
    text, signed = signatures(note)
    times = {}
    for vkey in vkeys:
        name, packed, own = key(vkey)
        for signer, made in signed:
            if signer != name or made[:4] != own or packed[:1] != b"\4":
                continue
            time = int.from_bytes(made[4:12], "big")
            told = f"cosignature/v1\ntime {time}\n".encode() + text
            if len(made) != 76 or not ed25519.verify(packed[1:], told, made[12:]):
                raise Invalid(f"the cosignature of {name} does not verify")
            times[name] = time
    if len(times) < quorum:
        raise Invalid(f"{len(times)} witnesses cosigned, {quorum} must have")
    return times


def key(vkey):
    """Name, algorithm with key, and hash of a public key."""
    try:
        name, _, packed = vkey.strip().split("+", 2)
        packed = unpacked(packed)
    except ValueError as error:
        raise Invalid(f"a key is malformed: {error}") from error
    return name, packed, hashlib.sha256(name.encode() + b"\n" + packed).digest()[:4]


def signatures(note):
    """The text of a note with its last newline, and the name and bytes of each signature."""
    try:
        text, lines = note.decode().rsplit("\n\n", 1)
        *lines, end = lines.split("\n")
        signed = [signature(line) for line in lines]
    except ValueError as error:
        raise Invalid(f"the note is malformed: {error}") from error
    if end or not signed:
        raise Invalid("the note is malformed")
    return (text + "\n").encode(), signed


def unpacked(text):
    """The bytes of base64 in its one form: bits that say nothing are zero (RFC 4648 §3.5)."""
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        raise ValueError("base64 has bits that say nothing")
    return data


def signature(line):
    """The name of a signature's key, and its bytes."""
    dash, name, made = line.split(" ")
    if dash != "—" or not name:
        raise ValueError("a line is no signature")
    return name, unpacked(made)


# The segments.


def frame(data, at):
    """(group, entry, end) of the sound frame at an offset, or None."""
    header = data[at : at + 16]
    if len(header) < 16:
        return None
    length, crc = int.from_bytes(header[:4], "little"), int.from_bytes(header[4:8], "little")
    entry = data[at + 16 : at + 16 + length]
    if not 1 <= length <= LONGEST or len(entry) != length:
        return None
    if zlib.crc32(entry, zlib.crc32(header[8:], zlib.crc32(header[:4]))) != crc:
        return None
    return int.from_bytes(header[8:], "little"), entry, at + 16 + length


def segments(folder, signed):
    """The entries, in order, up to a torn tail."""
    paths = sorted(path for path in folder.iterdir() if re.fullmatch("[0-9a-f]{16}", path.name))
    count, group = 0, None
    for number, path in enumerate(paths):
        if path.name != f"{count:016x}":
            raise Invalid(f"{path.name}: a segment is missing before it")
        data, at, group = path.read_bytes(), 0, None
        while (found := frame(data, at)) is not None:
            if found[0] != count and found[0] != group:
                raise Invalid(f"{path.name}: byte {at}: a frame of no group")
            group, entry, at = found
            yield entry
            count += 1
        if at == len(data):
            continue
        torn = number + 1 == len(paths) and signed <= count and not followed(data, at + 1, count)
        if not torn:
            raise Invalid(f"{path.name}: byte {at}: a frame is not what was written")


def followed(data, start, count):
    """Whether a sound frame of a later group begins anywhere."""
    if not any(data[start:]):
        return False
    return any((found := frame(data, at)) is not None and found[0] > count for at in range(start, len(data) - 16))


# The records: of each its version, kind and, of a close, what it closes.


def varint(data, at):
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise Invalid("an entry is no record")
        byte, at = data[at], at + 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def numbers(record):
    """The numeric fields of a message, and the numbers of the others; the last of each counts."""
    at, found = 0, {}
    while at < len(record):
        tag, at = varint(record, at)
        field, wire = tag >> 3, tag & 7
        if field == 0:
            raise Invalid("an entry is no record")
        if wire == 0:
            found[field], at = varint(record, at)
        elif wire == 2:
            length, at = varint(record, at)
            at += length
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
        else:
            raise Invalid("an entry is no record")
        if at > len(record):
            raise Invalid("an entry is no record")
    return found


def records(entries):
    open_streams = set()
    for index, entry in enumerate(entries):
        fields = numbers(entry)
        version, kind, opening = fields.get(1, 0), fields.get(2, 0), fields.get(25, 0)
        if version != 1 or kind not in (UNARY, OPEN, CLOSE, REFUSAL, LOST):
            raise Invalid(f"entry {index} is of an unknown version or kind")
        if kind == OPEN:
            open_streams.add(index)
        elif kind == CLOSE:
            if opening not in open_streams:
                raise Invalid(f"entry {index} closes no open stream")
            open_streams.remove(opening)


# The tree.


def node(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


def tree_root(hashes):
    """RFC 6962 §2.1: the left part is the largest power of two below the number of leaves."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    pending = []  # roots of complete subtrees, the largest first, with their sizes
    for leaf in hashes:
        size, digest = 1, leaf
        while pending and pending[-1][0] == size:
            digest, size = node(pending.pop()[1], digest), size * 2
        pending.append((size, digest))
    digest = pending.pop()[1]
    while pending:
        digest = node(pending.pop()[1], digest)
    return digest


def tree(leaves):
    """Level → hashes of its complete subtrees of 256^level leaves."""
    levels = [leaves]
    while len(levels[-1]) >= WIDTH:
        below = levels[-1]
        levels.append([tree_root(below[at : at + WIDTH]) for at in range(0, len(below) // WIDTH * WIDTH, WIDTH)])
    return levels


def spelled(number):
    groups = [f"{number % 1000:03}"]
    while number >= 1000:
        number //= 1000
        groups.insert(0, f"x{number % 1000:03}")
    return "/".join(groups)


def tiles(folder, entries, levels, size):
    """Every full tile and bundle, and the partial ones of the size."""
    bundled = [len(entry).to_bytes(2, "big") + entry for entry in entries[:size]]
    files = [(f"tile/{level}", hashes) for level, hashes in enumerate(levels)] + [("tile/entries", bundled)]
    for name, items in files:
        for number in range(0, (len(items) + WIDTH - 1) // WIDTH):
            part = items[number * WIDTH : (number + 1) * WIDTH]
            full = folder / name / spelled(number)
            path, whole = (full, len(part) == WIDTH) if full.exists() else (full.with_name(f"{full.name}.p") / str(len(part)), True)
            if len(part) == WIDTH and path != full:
                raise Invalid(f"{name}/{spelled(number)} is missing")
            expected = b"".join(part)
            data = path.read_bytes() if path.exists() else None
            if data is None or (data if whole else data[: len(expected)]) != expected:
                raise Invalid(f"{path.relative_to(folder)} does not hold what the entries give")


def main():
    folder, key = sys.argv[1:]
    try:
        entries, signed = verify(folder, pathlib.Path(key).read_text())
    except Invalid as why:
        print(f"INVALID: {why}")
        return 4
    print(f"VALID: {entries} entries, {signed} of them signed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
