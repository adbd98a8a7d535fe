"""Ways out: each hides one patient's identity where a file can hold something, and the check has to hold it.

The secret is the same everywhere, once as a note's sentence and once as bare words. Every carrier is also built with harmless content in place of the secret, and then has to pass:
a check that holds everything would be no check."""
import base64
import bz2
import codecs
import gzip
import html
import io
import json
import lzma
import quopri
import tarfile
import zipfile
import zlib
from urllib.parse import quote

import pytest

from healthlab.release import scan

SECRET = "Patient: Mary Johnson, MRN 4821937, born 03/14/1951, phone 555-010-4477"
PLAIN = "Mean systolic pressure was 128 mmHg in 240 patients on metformin"
b64 = lambda t: base64.b64encode(t.encode()).decode()


def cell(outputs=(), source="x = 1", metadata=None, **more):
    return {"cell_type": "code", "id": "0a1b2c3d", "metadata": metadata or {}, "execution_count": 1, "source": source, "outputs": list(outputs), **more}


def nb(*cells, **metadata):
    return json.dumps({"cells": list(cells), "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}).encode()


def shown(**data): return {"output_type": "display_data", "metadata": {}, "data": data}


def zipped(members, comment=b"", extra=b""):
    b = io.BytesIO()
    with zipfile.ZipFile(b, "w", zipfile.ZIP_DEFLATED) as z:
        z.comment = comment
        for name, data in members.items():
            i = zipfile.ZipInfo(name)
            i.extra, i.compress_type = extra, zipfile.ZIP_DEFLATED
            z.writestr(i, data)
    return b.getvalue()


def tarred(members, mode="w", **pax):
    b = io.BytesIO()
    with tarfile.open(fileobj=b, mode=mode, format=tarfile.PAX_FORMAT) as t:
        for name, data in members.items():
            i = tarfile.TarInfo(name)
            i.size, i.pax_headers = len(data), pax
            t.addfile(i, io.BytesIO(data))
    return b.getvalue()


def image(form, **save):
    from PIL import Image
    b = io.BytesIO()
    Image.new("RGB", (24, 24), "white").save(b, form, **save)
    return b.getvalue()


def png(text, packed=False, international=False):
    from PIL import PngImagePlugin
    info = PngImagePlugin.PngInfo()
    if international: info.add_itxt("Description", text, zip=packed)
    else: info.add_text("Description", text, zip=packed)
    return image("PNG", pnginfo=info)


def exif(text):
    from PIL import Image
    e = Image.Exif()
    e[0x010E] = text
    return e.tobytes()


def xlsx(rows):
    cells = "".join("<row>" + "".join(f'<c r="{"ABCDEF"[j]}{i}" t="inlineStr"><is><t>{html.escape(str(v))}</t></is></c>' for j, v in enumerate(r)) + "</row>" for i, r in enumerate(rows, 1))
    sheet = f'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>{cells}</sheetData></worksheet>'
    return zipped({"[Content_Types].xml": "<Types/>", "xl/workbook.xml": "<workbook/>", "xl/worksheets/sheet1.xml": sheet})


def parquet(columns, metadata=None):
    import pyarrow as pa
    import pyarrow.parquet as pq
    b = io.BytesIO()
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata or {}), b)
    return b.getvalue()


def pdf(content=b"BT /F1 12 Tf 72 700 Td (Figure) Tj ET", info=b"", attached=b"", tail=b""):
    packed = zlib.compress(content)
    body = b"%PDF-1.4\n1 0 obj <</Type/Catalog/Pages 2 0 R>> endobj\n4 0 obj <</Filter/FlateDecode/Length " + str(len(packed)).encode() + b">> stream\n" + packed + b"\nendstream endobj\n"
    if info: body += b"5 0 obj <</Title " + info + b">> endobj\n"
    if attached: body += b"6 0 obj <</Type/EmbeddedFile/Length " + str(len(attached)).encode() + b">> stream\n" + attached + b"\nendstream endobj\n"
    return body + b"trailer <</Root 1 0 R>>\n%%EOF\n" + tail


def letters(text): return [{"output_type": "stream", "name": "stdout", "text": c + "\n"} for c in text]


# name of the way → how a text is carried out that way: text → bytes, and the file's name
WAYS = {
    "plain text": lambda t: (t.encode(), "note.txt"),
    "csv cell": lambda t: (f"group,remark\nA,\"{t}\"\nB,none\n".encode(), "table.csv"),
    "html text": lambda t: (f"<html><body><p>{t}</p></body></html>".encode(), "page.html"),
    "html comment": lambda t: (f"<html><body><p>Figure 1</p><!-- {t} --></body></html>".encode(), "page.html"),
    "html attribute": lambda t: (f'<html><body><img alt="{t}" src="x.png"></body></html>'.encode(), "page.html"),
    "html data attribute": lambda t: (f"<html><body><div data-row='{t}'></div></body></html>".encode(), "page.html"),
    "html data: address": lambda t: (f'<a href="data:text/plain;base64,{b64(t)}">1</a>'.encode(), "page.html"),
    "html data: address, percent-encoded": lambda t: (f'<a href="data:text/plain,{quote(t)}">1</a>'.encode(), "page.html"),
    "html script": lambda t: (f'<script>const d = {{"rows": ["{t}"]}};</script>'.encode(), "page.html"),
    "html script comment": lambda t: (f"<script>let a = 1; /* {t} */</script>".encode(), "page.html"),
    "html hidden element": lambda t: (f'<div style="display:none">{t}</div>'.encode(), "page.html"),
    "html entities": lambda t: ("<p>" + "".join(f"&#{ord(c)};" for c in t) + "</p>", "page.html"),
    "html split by tags": lambda t: ("<p>" + "<b></b>".join(t) + "</p>", "page.html"),
    "svg text": lambda t: (f'<svg xmlns="http://www.w3.org/2000/svg"><text x="1" y="2">{t}</text></svg>'.encode(), "figure.svg"),
    "svg metadata": lambda t: (f'<svg xmlns="http://www.w3.org/2000/svg"><metadata>{t}</metadata><desc>plot</desc></svg>'.encode(), "figure.svg"),
    "css content": lambda t: (f'<style>p:after {{ content: "{t}" }}</style><p>a</p>'.encode(), "page.html"),
    "xml entity": lambda t: (f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "{t}">]><a>&b;</a>'.encode(), "a.xml"),
    "json value": lambda t: (json.dumps({"a": {"b": [1, 2, {"c": t}]}}).encode(), "a.json"),
    "json key": lambda t: (json.dumps({t: 1}).encode(), "a.json"),
    "json key twice": lambda t: ('{"a": %s, "a": 1}' % json.dumps(t), "a.json"),
    "json escapes": lambda t: ('{"a": "' + "".join(f"\\u{ord(c):04x}" for c in t) + '"}', "a.json"),
    "json in json": lambda t: (json.dumps({"a": json.dumps({"b": t})}).encode(), "a.json"),
    "ndjson": lambda t: ('{"n": 12}\n' + json.dumps({"n": 13, "remark": t}) + "\n", "a.ndjson"),
    "notebook source": lambda t: (nb(cell(source=f"# {t}")), "a.ipynb"),
    "notebook stream": lambda t: (nb(cell([{"output_type": "stream", "name": "stdout", "text": t}])), "a.ipynb"),
    "notebook stderr": lambda t: (nb(cell([{"output_type": "stream", "name": "stderr", "text": [t]}])), "a.ipynb"),
    "notebook stream's name": lambda t: (nb(cell([{"output_type": "stream", "name": t, "text": "ok"}])), "a.ipynb"),
    "notebook stream of more than text": lambda t: (nb(cell([{"output_type": "stream", "name": "stdout", "text": ["ok", {"row": t}]}])), "a.ipynb"),
    "notebook output's number": lambda t: (nb(cell([{"output_type": "execute_result", "execution_count": t, "metadata": {}, "data": {}}])), "a.ipynb"),
    "notebook output with an error's field": lambda t: (nb(cell([shown(**{"text/plain": "ok"}) | {"evalue": t}])), "a.ipynb"),
    "notebook output without a bundle": lambda t: (nb(cell([{"output_type": "display_data", "metadata": {}, "data": [t]}])), "a.ipynb"),
    "notebook result": lambda t: (nb(cell([{"output_type": "execute_result", "execution_count": 1, "metadata": {}, "data": {"text/plain": repr(t)}}])), "a.ipynb"),
    "notebook html": lambda t: (nb(cell([shown(**{"text/html": f"<table><tr><td>{t}</td></tr></table>"})])), "a.ipynb"),
    "notebook javascript": lambda t: (nb(cell([shown(**{"application/javascript": f"alert('{t}')"})])), "a.ipynb"),
    "notebook vega spec": lambda t: (nb(cell([shown(**{"application/vnd.vegalite.v5+json": {"data": {"values": [{"v": t}]}}})])), "a.ipynb"),
    "notebook unknown type": lambda t: (nb(cell([shown(**{"application/x.mine": t, "text/plain": "ok"})])), "a.ipynb"),
    "notebook traceback": lambda t: (nb(cell([{"output_type": "error", "ename": "KeyError", "evalue": "row", "traceback": [f"\x1b[0;31mKeyError\x1b[0m: {t}"]}])), "a.ipynb"),
    "notebook error value": lambda t: (nb(cell([{"output_type": "error", "ename": "ValueError", "evalue": t, "traceback": []}])), "a.ipynb"),
    "notebook widget state": lambda t: (nb(cell(), widgets={"application/vnd.jupyter.widget-state+json": {"state": {"a" * 32: {"model_name": "HTMLModel", "state": {"value": t}}}}}), "a.ipynb"),
    "notebook attachment": lambda t: (nb({"cell_type": "markdown", "id": "0a1b2c3e", "metadata": {}, "source": "see", "attachments": {"a.txt": {"text/plain": b64(t)}}}), "a.ipynb"),
    "notebook attached picture": lambda t: (nb({"cell_type": "markdown", "id": "0a1b2c3e", "metadata": {}, "source": "see", "attachments": {"a.png": {"image/png": base64.b64encode(png(t)).decode()}}}), "a.ipynb"),
    "notebook cell metadata": lambda t: (nb(cell(metadata={"note": t})), "a.ipynb"),
    "notebook metadata": lambda t: (nb(cell(), authors=[{"remark": t}]), "a.ipynb"),
    "notebook output metadata": lambda t: (nb(cell([{"output_type": "display_data", "metadata": {"image/png": {"alt": t}}, "data": {"text/plain": "a"}}])), "a.ipynb"),
    "notebook picture": lambda t: (nb(cell([shown(**{"image/png": base64.b64encode(png(t)).decode()})])), "a.ipynb"),
    "notebook svg": lambda t: (nb(cell([shown(**{"image/svg+xml": f"<svg><text>{t}</text></svg>"})])), "a.ipynb"),
    "notebook letter by letter": lambda t: (nb(cell(letters(t))), "a.ipynb"),
    "notebook cell by cell": lambda t: (nb(*(cell([{"output_type": "stream", "name": "stdout", "text": w}]) for w in t.replace(" ", " \0").split("\0"))), "a.ipynb"),
    "notebook base64 in a cell": lambda t: (nb(cell([{"output_type": "stream", "name": "stdout", "text": b64(t)}])), "a.ipynb"),
    "notebook gzip in a cell": lambda t: (nb(cell([{"output_type": "stream", "name": "stdout", "text": base64.b64encode(gzip.compress(t.encode())).decode()}])), "a.ipynb"),
    "base64 twice": lambda t: (b64(b64(t)).encode(), "a.txt"),
    "base64 wrapped": lambda t: (base64.encodebytes(t.encode() * 2), "a.txt"),
    "base64url": lambda t: (base64.urlsafe_b64encode(t.encode()), "a.txt"),
    "base32": lambda t: (base64.b32encode(t.encode()), "a.txt"),
    "ascii85": lambda t: (base64.a85encode(t.encode(), adobe=True), "a.txt"),
    "hex": lambda t: (t.encode().hex().encode(), "a.txt"),
    "hex dump": lambda t: (t.encode().hex(" ").encode(), "a.txt"),
    "character codes": lambda t: (", ".join(map(str, t.encode())).encode(), "a.txt"),
    "character codes in json": lambda t: (json.dumps({"v": list(t.encode())}).encode(), "a.json"),
    "bits": lambda t: (" ".join(f"{c:08b}" for c in t.encode()).encode(), "a.txt"),
    "percent encoding": lambda t: (("%" + t.encode().hex("%")).encode(), "a.txt"),
    "quoted-printable": lambda t: (quopri.encodestring(t.encode(), quotetabs=True), "a.txt"),
    "quoted-printable, every letter": lambda t: (("=" + t.encode().hex("=").upper()).encode(), "a.txt"),
    "rot13": lambda t: (codecs.encode(t, "rot13").encode(), "a.txt"),
    "backwards": lambda t: (t[::-1].encode(), "a.txt"),
    "spelled out": lambda t: (" ".join(t.replace(" ", "")).encode(), "a.txt"),
    "zlib in hex": lambda t: (zlib.compress(t.encode()).hex().encode(), "a.txt"),
    "zero-width characters": lambda t: ("\u200b".join(t), "a.txt"),
    "lookalike letters": lambda t: (t.translate(str.maketrans("aoePMy", "аоеРМу")), "a.txt"),
    "full-width letters": lambda t: ("".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in t), "a.txt"),
    "utf-16": lambda t: (t.encode("utf-16"), "a.txt"),
    "combining marks": lambda t: ("\u0332".join(t), "a.txt"),
    "zip": lambda t: (zipped({"a.txt": t}), "a.zip"),
    "zip in a zip": lambda t: (zipped({"b.zip": zipped({"a.txt": t})}), "a.zip"),
    "zip comment": lambda t: (zipped({"a.txt": "ok"}, comment=t.encode()), "a.zip"),
    "zip extra field": lambda t: (zipped({"a.txt": "ok"}, extra=b"\xfe\xca" + len(t).to_bytes(2, "little") + t.encode()), "a.zip"),
    "tar.gz": lambda t: (gzip.compress(tarred({"a.txt": t.encode()})), "a.tar.gz"),
    "tar pax header": lambda t: (tarred({"a.txt": b"ok"}, comment=t), "a.tar"),
    "gzip header": lambda t: (gzip_named(t), "a.gz"),
    "bz2": lambda t: (bz2.compress(t.encode()), "a.bz2"),
    "xz": lambda t: (lzma.compress(t.encode()), "a.xz"),
    "bz2, second stream": lambda t: (bz2.compress(b"ok") + bz2.compress(t.encode()), "a.bz2"),
    "png text": lambda t: (png(t), "a.png"),
    "png packed text": lambda t: (png(t, packed=True), "a.png"),
    "png international text": lambda t: (png(t, packed=True, international=True), "a.png"),
    "jpeg exif": lambda t: (image("JPEG", exif=exif(t)), "a.jpg"),
    "jpeg comment": lambda t: (image("JPEG", comment=t.encode()), "a.jpg"),
    "webp exif": lambda t: (image("WEBP", exif=exif(t)), "a.webp"),
    "gif comment": lambda t: (image("GIF", comment=t.encode()), "a.gif"),
    "pdf text": lambda t: (pdf(b"BT /F1 12 Tf 72 700 Td (" + t.encode() + b") Tj ET"), "a.pdf"),
    "pdf information": lambda t: (pdf(info=b"(" + t.encode() + b")"), "a.pdf"),
    "pdf information, utf-16": lambda t: (pdf(info=b"<" + ("\ufeff" + t).encode("utf-16-be").hex().encode() + b">"), "a.pdf"),
    "pdf attachment": lambda t: (pdf(attached=t.encode()), "a.pdf"),
    "pdf after its end": lambda t: (pdf(tail=b"% " + t.encode() + b"\n"), "a.pdf"),
    "xlsx cell": lambda t: (xlsx([["group", "remark"], ["A", t]]), "a.xlsx"),
    "parquet cell": lambda t: (parquet({"remark": [t, "none"]}), "a.parquet"),
    "parquet metadata": lambda t: (parquet({"n": [120, 130]}, {"remark": t}), "a.parquet"),
    "email header style": lambda t: ("=?utf-8?B?" + b64(t) + "?=", "a.txt"),
}


def gzip_named(text):
    b = io.BytesIO()
    with gzip.GzipFile(text, "wb", fileobj=b, mtime=0) as f: f.write(b"ok")
    return b.getvalue()


def carried(way, text):
    raw, name = WAYS[way](text)
    return scan(raw.encode() if isinstance(raw, str) else raw, name=name)


@pytest.mark.parametrize("way", WAYS)
def test_no_identity_gets_out_this_way(way):
    found = carried(way, SECRET)
    assert found.decision == "hold"
    assert not any("Johnson" in f.where or "4821937" in f.where for f in found.findings), "a finding never quotes"


@pytest.mark.parametrize("way", WAYS)
def test_harmless_content_passes_the_same_way(way):
    found = carried(way, PLAIN)
    assert found.decision == "pass", str(found)
