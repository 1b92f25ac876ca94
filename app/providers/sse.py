"""Server-sent events read from bytes: the `data` of each event, however the bytes are split (WHATWG HTML, 9.2.6)."""

BOM = b"\xef\xbb\xbf"
CR, LF = 13, 10
"""As numbers: to look for bytes in bytes is an exception first, inside of Python 3.11 (0.21 us instead of 0.02)."""


LONGEST_EVENT_BYTES = 4 * 1024 * 1024


class EventTooLongError(ValueError):
    """An event does not come to its end."""


class Decoder:
    """Collects bytes and gives back the data of every event that is whole. Only LF, CR and CRLF end a line."""

    def __init__(self) -> None:
        self._rest = b""
        self._begun = False

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes; return the data of the events that they complete, comments and empty ones left out."""
        if self._begun and not self._rest and _is_one_line(data):
            return [data[6:-2]]
        data = self._rest + data if self._rest else data
        if not self._begun:
            if BOM.startswith(data[:3]) and len(data) < len(BOM):
                self._rest = data
                return []
            self._begun = True
            data = data.removeprefix(BOM)
        held = b""
        if CR in data:
            # A final CR may be the first half of a CRLF.
            if data.endswith(b"\r"):
                data, held = data[:-1], b"\r"
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *blocks, rest = data.split(b"\n\n")
        self._rest = rest + held
        if len(self._rest) > LONGEST_EVENT_BYTES:
            raise EventTooLongError
        return _payloads(blocks)

    def flush(self) -> list[bytes]:
        """Return the data of a last event that the end of the stream left without its blank line."""
        rest, self._rest = self._rest, b""
        return _payloads([rest.rstrip(b"\r")])


def _is_one_line(data: bytes) -> bool:
    """Whether this is one whole event of one line, as nearly every packet of a stream is."""
    end = len(data) - 2
    return data.find(b"\n") == end > 6 and data[-1] == LF and data[:6] == b"data: " and CR not in data


def _payloads(blocks: list[bytes]) -> list[bytes]:
    payloads = []
    for block in blocks:
        line_end = block.find(b"\n")
        if line_end < 0 and block[:6] == b"data: ":
            payload = block[6:]
        elif 0 < line_end == block.rfind(b"\n") and block[:7] == b"event: " and block.find(b"\ndata: ") == line_end:
            payload = block[line_end + 7 :]  # as Anthropic puts every event
        else:
            payload = _data_of(block)
        if payload:
            payloads.append(payload)
    return payloads


def _data_of(block: bytes) -> bytes:
    return b"\n".join(line[5:].removeprefix(b" ") for line in block.split(b"\n") if line.startswith(b"data:"))
