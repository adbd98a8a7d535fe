"""Bundles and NDJSON: the bytes as they came, whatever the pieces, and bounded memory when something is far too large."""
import gzip
import io
import json
import tracemalloc

import pytest

from healthlab.fhir import bundle as b
from healthlab.fhir.issues import Issue, ResourceError

TRICKY = (b'{"type":"entry","a":["x\\"{",{"entry":[{}]}],"entry" : [ {"fullUrl":"a\\\\","resource":{"a":"}]\\\\\\""}},\n'
          b'{"request":{"method":"POST","url":"Patient"},"resource":{"b":[[{"entry":[1]}]], "c": "\xc3\xa9"}},{"fullUrl":"z"}],"resourceType":"Bundle","m":1}')
WANTED = [b'{"a":"}]\\\\\\""}', b'{"b":[[{"entry":[1]}]], "c": "\xc3\xa9"}', b""]


class Slow(io.BytesIO):
    "A stream that gives a few bytes at a time."
    def __init__(self, data, size):
        super().__init__(data)
        self.size = size

    def read(self, n=-1): return super().read(self.size)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
@pytest.mark.parametrize("packed", [False, True])
def test_streaming_gives_what_decoding_gives(size, packed):
    data = gzip.compress(TRICKY[:90]) + gzip.compress(TRICKY[90:]) if packed else TRICKY
    found = list(b.stream_entries(Slow(data, size if not packed else max(size, 2))))
    assert [p for p, _ in found] == [0, 1, 2] and [e.resource for _, e in found] == WANTED
    assert [e for _, e in found] == b.entries(TRICKY)
    assert found[1][1].method == "POST" and found[0][1].fullUrl == "a\\"


@pytest.mark.parametrize("data,message", [(b"", "empty"), (b"[]", "not a FHIR Bundle"), (TRICKY[:-5], "truncated"), (TRICKY[:150], "truncated"), (TRICKY[:40], "truncated"),
                                          (gzip.compress(TRICKY)[:-20], "gzip"), (b"\x1f\x8bgarbage", "gzip"), ("{}".encode("utf-16"), "UTF-16"),
                                          (b'{"entry":[{"resource":{"a":}}]}', "Not JSON"), (b'{"entry":[{"fullUrl":1}]}', "not an object with")])
def test_broken_bundles_are_named(data, message):
    found = list(b.stream_entries(io.BytesIO(data)))
    assert isinstance(found[-1][1], Issue) and message in found[-1][1].message, found
    if data[:2] != b"\x1f\x8b":
        with pytest.raises(ResourceError): b.entries(data)


@pytest.mark.parametrize("data", [b'{"resourceType":"Patient"}', b'{"resourceType":"Bundle","entry":[1]}', b'{"resourceType":"Bundle","entry":{}}', b"null"])
def test_entries_refuses_what_is_no_bundle(data):
    with pytest.raises(ResourceError): b.entries(data)


def test_one_bad_entry_does_not_stop_the_rest():
    data = b'{"resourceType":"Bundle","entry":[{"resource":{"a":1}},{"resource":{"a":01}},{"resource":{"a":"' + b"x" * 5000 + b'"}},{"resource":{"a":2}}]}'
    for size in (1, 100, 4096):
        found = [e for _, e in b.stream_entries(Slow(data, size), max_bytes=1000)]
        assert [isinstance(e, Issue) for e in found] == [False, True, True, False]
        assert found[1].code == "structure" and found[2].code == "too-long" and found[2].path == "Bundle.entry[2]" and found[3].resource == b'{"a":2}'


class Endless(io.RawIOBase):
    "A head, `megabytes` of filling, a tail; never in memory as a whole."
    def __init__(self, head, megabytes, tail, filling=b"a"):
        self.parts, self.left, self.tail, self.filling = [head], megabytes, tail, filling * (1 << 20)

    def read(self, n=-1):
        if self.parts: return self.parts.pop()
        if self.left:
            self.left -= 1
            return self.filling
        tail, self.tail = self.tail, b""
        return tail


@pytest.mark.parametrize("filling", [b"a", b'\\"', b'\\\\'])
def test_memory_stays_bounded(filling):
    limit = 4 << 20
    tracemalloc.start()
    stream = Endless(b'{"entry":[{"resource":{"a":1}},{"resource":{"x":"', 24, b'"}},{"fullUrl":"after"}]}', filling[: 1 << 20])
    found = [e for _, e in b.stream_entries(stream, max_bytes=limit)]
    lines = list(b.iter_ndjson(Endless(b'{"a":1}\n"', 24, b'"\n{"b":2}', filling), max_bytes=limit))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found[0].resource == b'{"a":1}' and found[1].code == "too-long" and found[2].fullUrl == "after"
    assert [n for n, _ in lines] == [1, 2, 3] and lines[1][1].code == "too-long" and lines[2][1] == b'{"b":2}'
    assert peak < 12 * limit


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_ndjson(size):
    data = b'\xef\xbb\xbf{"a":1}\r\n\n  {"a":"\xe2\x80\xa8"}\n' + b"y" * 300 + b'\n{"a":3}'
    for stream in (Slow(data, size), Slow(gzip.compress(data), size + 1)):
        found = list(b.iter_ndjson(stream, max_bytes=200))
        assert [n for n, _ in found] == [1, 3, 4, 5]
        assert found[0][1] == b'{"a":1}' and found[1][1] == b'{"a":"\xe2\x80\xa8"}' and isinstance(found[2][1], Issue) and found[3][1] == b'{"a":3}'
    assert list(b.iter_ndjson(io.BytesIO(b""))) == []
    assert "gzip" in list(b.iter_ndjson(io.BytesIO(gzip.compress(data)[:-9])))[-1][1].message


def test_references_are_rewritten_and_nothing_else():
    urn = "urn:uuid:0b6d4c52-1a6c-4a35-b1c5-1f7a8a2f0d11"
    resource = json.dumps({"resourceType": "Observation", "identifier": [{"system": "urn:ietf:rfc:3986", "value": urn}], "subject": {"reference": urn, "display": urn},
                           "performer": [{"reference": "Practitioner?identifier=http://x|7"}, {"reference": "Practitioner?identifier=http%3A%2F%2Fx%7C7"}],
                           "note": [{"text": f'"reference": "{urn}"'}]}).encode()
    out = json.loads(b.resolve_urns(resource, {urn: "Patient/ada", "Practitioner?identifier=http://x|7": "Practitioner/p7"}))
    assert out["subject"] == {"reference": "Patient/ada", "display": urn} and {p["reference"] for p in out["performer"]} == {"Practitioner/p7"}
    assert out["identifier"][0]["value"] == urn and urn in out["note"][0]["text"]
    assert b.resolve_urns(resource, {}) == resource


def test_identifiers_and_mapping():
    practitioner = b'{"resourceType":"Practitioner","id":"p7","identifier":[{"system":"http://x","value":"7"},{"value":"8"},{"system":"y"}]}'
    assert b.identifiers(practitioner) == ["http://x|7", "|8"] and b.identifiers(b'{"resourceType":"Bundle","identifier":{"value":"9"}}') == ["|9"] and b.identifiers(b"x") == []
    rows = [b.Entry(0, "urn:uuid:aa", "POST", "Practitioner", practitioner), b.Entry(1, "urn:uuid:bb", "POST", "Patient", b' {"resourceType":"Patient"}')]
    mapping = b.mapping_of(rows)
    assert mapping == {"urn:uuid:aa": "Practitioner/p7", "Practitioner?identifier=http://x|7": "Practitioner/p7", "Practitioner?identifier=|8": "Practitioner/p7", "urn:uuid:bb": "Patient/bb"}
    assert json.loads(b.with_id(rows[1].resource, "bb")) == {"id": "bb", "resourceType": "Patient"} and b.with_id(practitioner, "z") == practitioner
