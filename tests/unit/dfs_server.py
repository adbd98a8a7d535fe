"""A storage account in this process: the DFS calls azure-storage-file-datalake makes and the Blob calls behind them and behind deltalake, over loopback."""
import datetime
import ipaddress
import ssl
import threading
import time
import uuid
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape


def certificate(folder):
    "A self-signed certificate for 127.0.0.1; returns its PEM file and its key's."
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.timezone.utc)
    cert = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
            .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
            .add_extension(x509.BasicConstraints(True, None), True).sign(key, hashes.SHA256()))
    (folder / "cert.pem").write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return str(folder / "cert.pem"), str(folder / "key.pem")


class File:
    def __init__(self, folder=False): self.data, self.pending, self.folder, self.meta, self.lease = b"", {}, folder, {}, None; self.touch()
    def touch(self): self.etag, self.modified = f'"{uuid.uuid4().hex}"', time.time()


class Account:
    "The files of one account by container/path; `full` makes every write fail as a full account does."
    def __init__(self, folder):
        self.files, self.calls, self.full, self.guard = {}, [], False, threading.RLock()
        cert, key = certificate(folder)
        self.ca, self.servers = cert, []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        for secure in (True, False):
            server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"account": self}))
            if secure: server.socket = context.wrap_socket(server.socket, server_side=True)
            threading.Thread(target=server.serve_forever, kwargs=dict(poll_interval=.02), daemon=True).start()
            self.servers.append(server)
        self.https, self.http = (f"{p}://127.0.0.1:{s.server_address[1]}" for p, s in zip(("https", "http"), self.servers))

    def close(self):
        for s in self.servers: s.shutdown(); s.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    account = None
    def log_message(self, *_): pass

    def answer(self, status, body=b"", code="", **headers):
        if code:
            headers["x-ms-error-code"] = code
            body = f'{{"error":{{"code":"{code}","message":"{code}"}}}}'.encode() if "dfs" in self.kind else f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{code}</Message></Error>'.encode()
            headers["Content-Type"] = "application/json" if "dfs" in self.kind else "application/xml"
        self.send_response(status)
        for k, v in {"x-ms-version": "2025-01-05", "x-ms-request-id": uuid.uuid4().hex, "Content-Length": str(len(body)), **headers}.items(): self.send_header(k, v)
        self.end_headers()
        if self.command != "HEAD": self.wfile.write(body)

    def handle_one(self):
        n = int(self.headers.get("Content-Length") or 0)
        body, url = self.rfile.read(n), urlsplit(self.path)
        q = {k: v[0] for k, v in parse_qs(url.query, keep_blank_values=True).items()}
        path = unquote(url.path).strip("/")
        dfs = self.command == "PATCH" or "resource" in q or "x-ms-rename-source" in self.headers or (self.command == "DELETE" and "recursive" in q)
        self.kind = "dfs" if dfs else "blob"
        with self.account.guard:
            self.account.calls.append((self.kind, self.command, path, dict(q)))
            if self.headers.get("Authorization") != "Bearer token-for-tests": return self.answer(401, code="AuthenticationFailed")
            if self.account.full and self.command in ("PUT", "PATCH") and q.get("comp") != "lease": return self.answer(409 if dfs else 507, code="InsufficientAccountStorage")
            (self.dfs if dfs else self.blob)(path, q, body)
    do_GET = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_POST = handle_one

    def refused(self, f):
        "The conditional headers, as the service checks them."
        h = self.headers
        if h.get("If-None-Match") == "*" and f: self.answer(409, code="PathAlreadyExists" if self.kind == "dfs" else "BlobAlreadyExists"); return True
        if h.get("If-Match") not in (None, "*") and (not f or h["If-Match"] != f.etag): self.answer(412, code="ConditionNotMet"); return True
        return False

    def props(self, f, **more):
        return {"ETag": f.etag, "Last-Modified": formatdate(f.modified, usegmt=True), "x-ms-blob-type": "BlockBlob", "x-ms-lease-status": "locked" if self.leased(f) else "unlocked",
                "x-ms-creation-time": formatdate(f.modified, usegmt=True), "Accept-Ranges": "bytes", **({"x-ms-meta-hdi_isfolder": "true"} if f.folder else {}), **{f"x-ms-meta-{k}": v for k, v in f.meta.items()}, **more}

    def leased(self, f): return f.lease and f.lease[1] > time.time()

    def parents(self, path):
        parts = path.split("/")
        for i in range(2, len(parts)): self.account.files.setdefault("/".join(parts[:i]), File(folder=True))

    def dfs(self, path, q, body):
        files, f = self.account.files, self.account.files.get(path)
        if self.command == "GET" and q.get("resource") == "filesystem":
            import json
            base = "/".join(p for p in (path, q.get("directory", "").strip("/")) if p)
            if q.get("directory") and base not in files: return self.answer(404, code="PathNotFound")
            found = sorted(p for p in files if p.startswith(base + "/") and (q.get("recursive") == "true" or "/" not in p[len(base) + 1:]))
            at = int(q.get("continuation") or 0)
            page, more = found[at:at + 3], at + 3 < len(found) # small pages, so that paging is seen
            rows = [dict(name=p.split("/", 1)[1], contentLength=str(len(files[p].data)), lastModified=formatdate(files[p].modified, usegmt=True), etag=files[p].etag, **({"isDirectory": "true"} if files[p].folder else {})) for p in page]
            return self.answer(200, json.dumps(dict(paths=rows)).encode(), **{"Content-Type": "application/json", **({"x-ms-continuation": str(at + 3)} if more else {})})
        if self.command == "PUT" and "x-ms-rename-source" in self.headers:
            source = unquote(self.headers["x-ms-rename-source"].split("?")[0]).strip("/")
            if source not in files: return self.answer(404, code="RenameSourcePathNotFound")
            if self.refused(f): return
            self.parents(path)
            for p in [p for p in files if p == source or p.startswith(source + "/")]: files[path + p[len(source):]] = files.pop(p)
            return self.answer(201, ETag=files[path].etag)
        if self.command == "PUT":
            if self.refused(f): return
            self.parents(path)
            files[path] = f = File(q["resource"] == "directory")
            return self.answer(201, **{"ETag": f.etag, "Last-Modified": formatdate(f.modified, usegmt=True)})
        if f is None: return self.answer(404, code="PathNotFound")
        if self.command == "PATCH" and q["action"] == "append": f.pending[int(q["position"])] = body; return self.answer(202)
        if self.command == "PATCH" and q["action"] == "flush":
            for at, piece in sorted(f.pending.items()):
                if at != len(f.data): return self.answer(400, code="InvalidFlushPosition")
                f.data += piece
            f.pending = {}
            if int(q["position"]) != len(f.data): return self.answer(400, code="InvalidFlushPosition")
            f.touch()
            return self.answer(200, **{"ETag": f.etag, "Last-Modified": formatdate(f.modified, usegmt=True)})
        if self.command == "DELETE":
            inside = [p for p in files if p.startswith(path + "/")]
            if inside and q.get("recursive") != "true": return self.answer(409, code="DirectoryNotEmpty")
            for p in [path, *inside]: del files[p]
            return self.answer(200)
        self.answer(400, code="UnsupportedCall")

    def blob(self, path, q, body):
        files, f = self.account.files, self.account.files.get(path)
        if self.command == "GET" and q.get("comp") == "list": return self.listing(path, q)
        if self.command == "PUT" and q.get("comp") == "lease": return self.lease(f)
        if self.command == "PUT" and q.get("comp") == "metadata":
            if f and self.leased(f) and self.headers.get("x-ms-lease-id") != f.lease[0]: return self.answer(412, code="LeaseIdMissing")
            f.meta = {k[10:].lower(): v for k, v in self.headers.items() if k.lower().startswith("x-ms-meta-")}
            return self.answer(200, **self.props(f))
        if self.command == "PUT":
            if self.refused(f): return
            self.parents(path)
            files[path] = f = File()
            f.data = body
            return self.answer(201, **{"ETag": f.etag, "Last-Modified": formatdate(f.modified, usegmt=True), "x-ms-request-server-encrypted": "true"})
        if f is None: return self.answer(404, code="BlobNotFound")
        if self.refused(f): return
        if self.command == "DELETE": del files[path]; return self.answer(202)
        asked = self.headers.get("x-ms-range") or self.headers.get("Range")
        if not asked or self.command == "HEAD": return self.answer(200, f.data if self.command != "HEAD" else b"", **self.props(f, **({"Content-Length": str(len(f.data))})))
        first, _, last = asked.split("=")[1].partition("-")
        if first and int(first) >= len(f.data): return self.answer(416, code="InvalidRange")
        if not first: first, last = len(f.data) - int(last), ""
        piece = f.data[int(first):int(last) + 1 if last else None]
        self.answer(206, piece, **self.props(f, **{"Content-Range": f"bytes {first}-{int(first) + len(piece) - 1}/{len(f.data)}"}))

    def lease(self, f):
        if f is None: return self.answer(404, code="BlobNotFound")
        action, given = self.headers["x-ms-lease-action"], self.headers.get("x-ms-lease-id")
        if action == "acquire":
            if self.leased(f): return self.answer(409, code="LeaseAlreadyPresent")
            f.lease = (self.headers.get("x-ms-proposed-lease-id") or uuid.uuid4().hex, time.time() + int(self.headers["x-ms-lease-duration"]))
            return self.answer(201, **self.props(f, **{"x-ms-lease-id": f.lease[0]}))
        if not f.lease or f.lease[0] != given: return self.answer(409, code="LeaseIdMismatchWithLeaseOperation")
        f.lease = (given, time.time() + 60) if action == "renew" else None
        self.answer(200, **self.props(f, **{"x-ms-lease-id": given}))

    def listing(self, container, q):
        prefix, files = f"{container}/{q.get('prefix', '')}", self.account.files
        found = sorted(p for p in files if p.startswith(prefix) and not files[p].folder and p >= f"{container}/{q.get('startFrom', '')}")
        folders = {}
        if q.get("delimiter"):
            folders = dict.fromkeys(p[:p.index("/", len(prefix)) + 1] for p in found if "/" in p[len(prefix):])
            found = [p for p in found if "/" not in p[len(prefix):]]
        cut = len(container) + 1
        rows = "".join(f"<Blob><Name>{escape(p[cut:])}</Name><Properties><Creation-Time>{formatdate(files[p].modified, usegmt=True)}</Creation-Time><Last-Modified>{formatdate(files[p].modified, usegmt=True)}</Last-Modified>"
                       f"<Etag>{escape(files[p].etag)}</Etag><Content-Length>{len(files[p].data)}</Content-Length><Content-Type>application/octet-stream</Content-Type><BlobType>BlockBlob</BlobType></Properties></Blob>" for p in found)
        rows += "".join(f"<BlobPrefix><Name>{escape(p[cut:])}</Name></BlobPrefix>" for p in folders)
        self.answer(200, f'<?xml version="1.0" encoding="utf-8"?><EnumerationResults ContainerName="{container}"><Prefix>{escape(q.get("prefix", ""))}</Prefix><Blobs>{rows}</Blobs><NextMarker/></EnumerationResults>'.encode(), **{"Content-Type": "application/xml"})
