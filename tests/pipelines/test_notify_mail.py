"""E-mail about failed runs, through a real mail server (aiosmtpd) on loopback: in the clear, by STARTTLS and by TLS, with signing in, and everything that goes wrong on the way."""
import json, ssl, subprocess, sys, time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from email import message_from_bytes

import pytest
from aiosmtpd.controller import Controller # the reference SMTP server in Python; here only to be written to
from aiosmtpd.smtp import AuthResult, LoginPassword
from healthlab.core import audit
from healthlab.core.errors import HealthlabError
from healthlab.pipelines.ledger import Occasion
from healthlab.pipelines.notify import ELSEWHERE, message, notify

pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH") # with TLS from the first byte aiosmtpd does not see that there is TLS
FAILED = Occasion("ingest", "2026-11-21T02:30:00Z", "failed", 2, "20261121T023000Z-1f00ba", reason="KernelDied")
USER, PASSWORD = "healthlab@hospital.example", "correct horse battery"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    "A certificate for localhost and its key, in one file."
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    key, name, now = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")]), datetime.now(timezone.utc)
    made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=2))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False).sign(key, hashes.SHA256()))
    file = tmp_path_factory.mktemp("tls") / "localhost.pem"
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return file


class Box:
    "What came in: (from, to, message, whether the line was encrypted)."
    def __init__(self): self.got = []
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody@"): return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"
    async def handle_DATA(self, server, session, envelope):
        self.got.append((envelope.mail_from, envelope.rcpt_tos, message_from_bytes(envelope.content), server.transport.get_extra_info("sslcontext") is not None))
        return "250 taken"


class Office(Controller):
    def _trigger_server(self): # it looks whether it answers at the port it was given; that was 0, for a free one
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@pytest.fixture
def post_office(workbench, monkeypatch, certificate):
    "Starts a mail server and sets the workbench to it; gives its box."
    started = []
    def start(security="none", user="", **more):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        how = {"tls": {"ssl_context": context}, "starttls": {"tls_context": context, "require_starttls": True}}.get(security, {})
        sign_in = lambda server, session, envelope, mechanism, given: AuthResult(success=isinstance(given, LoginPassword) and (given.login, given.password) == (USER.encode(), PASSWORD.encode()), handled=False)
        box = Box()
        server = Office(box, hostname="127.0.0.1", port=0, authenticator=sign_in, auth_required=bool(user), auth_require_tls=security == "starttls", **how)
        server.start()
        started.append(server)
        for k, v in {"SCHEDULE_MAIL": "steward@hospital.example", "SCHEDULE_SMTP": f"localhost:{server.port}", "SCHEDULE_SMTP_SECURITY": security, "SCHEDULE_SMTP_USER": user, "SMTP_PASSWORD": PASSWORD, **more}.items(): monkeypatch.setenv(f"HEALTHLAB_{k}", v)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        return box
    yield start
    for server in started: server.stop()


@pytest.mark.parametrize("security, user", [("none", ""), ("starttls", USER), ("tls", USER), ("tls", "")])
def test_a_failure_comes_by_mail(post_office, security, user):
    box = post_office(security, user, SCHEDULE_MAIL="steward@hospital.example, night@hospital.example", SCHEDULE_MAIL_FROM=USER)
    assert notify(FAILED) == ["mail"]
    ((sender, to, mail, encrypted),) = box.got
    assert (sender, to, encrypted) == (USER, ["steward@hospital.example", "night@hospital.example"], security != "none")
    assert mail["Subject"] == "healthlab: ingest failed" and "KernelDied" in mail.get_payload() and "20261121" not in mail.get_payload() and mail["Auto-Submitted"] == "auto-generated"


@pytest.mark.parametrize("security, user, change, said", [
    ("starttls", USER, {"SMTP_PASSWORD": "wrong"}, "refuses the user or the password"),
    ("none", "", {"SCHEDULE_SMTP_SECURITY": "starttls"}, "does not offer what is asked"),
    ("none", "", {"SCHEDULE_SMTP_SECURITY": "tls"}, "no encrypted line"),
    ("starttls", "", {"SCHEDULE_SMTP_SECURITY": "none"}, "refuses an address"),
    ("none", "", {"SCHEDULE_MAIL": "nobody@hospital.example"}, "refuses an address"),
    ("none", "", {"SCHEDULE_MAIL": "steward@hospital.example, nobody@hospital.example"}, "refuses an address"),
    ("none", "", {"SCHEDULE_SMTP": "localhost:9"}, "is not reached"),
    ("none", USER, {}, "in the clear"), ("tls", USER, {"SMTP_PASSWORD": ""}, "no password"), ("none", "", {"SCHEDULE_SMTP_SECURITY": "ssl"}, "none of")])
def test_why_a_mail_could_not_be_sent_is_said_with_the_setting(post_office, security, user, change, said):
    post_office(security, user, **change)
    with pytest.raises(HealthlabError) as e: notify(FAILED, timeout=5)
    assert said in str(e.value) and ("[schedule]" in e.value.where or "PASSWORD" in e.value.where) and e.value.remedy and PASSWORD not in str(e.value)


def test_a_certificate_nobody_vouches_for_is_not_accepted(post_office, monkeypatch):
    box = post_office("tls", USER)
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(HealthlabError, match="certificate is not trusted"): notify(FAILED)
    assert not box.got


def test_a_webhook_that_is_down_does_not_keep_the_mail_back(post_office, monkeypatch):
    box = post_office()
    monkeypatch.setenv("HEALTHLAB_SCHEDULE_WEBHOOK", "http://127.0.0.1:9/")
    with pytest.raises(HealthlabError, match="webhook is not reached"): notify(FAILED)
    assert len(box.got) == 1


@pytest.mark.parametrize("reason, kept", [("KernelDied", True), ("ran longer than 3600 s", True), ("its process was lost", True), ("the key is missing. Make one, or name it in [keys] file", True),
    ("the file cannot be read (landing/Mr. John Smith.json)", False), ("SSN 123-45-6789 twice", False), ("no such patient: born 1950-03-04", False), ("mail john.smith@mailbox.org", False)])
def test_a_reason_that_may_name_somebody_stays_here(post_office, reason, kept):
    box = post_office()
    notify(replace(FAILED, reason=reason))
    words = " ".join(box.got[0][2].get_payload().split())
    assert (reason in words) == kept and (ELSEWHERE in words) != kept and message(FAILED)["reason"] == "KernelDied"


def test_the_scheduler_writes_down_why_and_its_runs_do_not_know_the_password(post_office, monkeypatch, tmp_path):
    from healthlab.pipelines import schedule
    from healthlab.pipelines.ledger import Ledger
    from healthlab.pipelines.timetable import Schedule
    post_office(SCHEDULE_SMTP="localhost:9")
    clock, s = [datetime(2026, 11, 21, tzinfo=timezone.utc)], Schedule("it", cron="0 * * * *")
    fails = lambda o, s, log: subprocess.Popen([sys.executable, "-S", "-c", "raise SystemExit(2)"], start_new_session=True)
    k = schedule.Scheduler({"it": s}, ledger=Ledger(tmp_path / "ledger.db"), clock=lambda: clock[0], start=fails)
    k.tick(); clock[0] += timedelta(hours=1)
    for _ in range(200):
        k.tick()
        if k.ledger.occasions(state="failed"): break
        time.sleep(.02)
    k.close()
    (why,) = [json.loads(e["detail"])["why"] for e in audit.entries().to_pylist() if e["event"] == "schedule.untold"]
    assert "the mail server is not reached" in why and "[schedule] smtp" in why
    monkeypatch.setattr(schedule.sys, "executable", "/usr/bin/env") # what a run would have in its environment
    seen = {}
    monkeypatch.setattr(schedule.subprocess, "Popen", lambda words, **how: seen.update(how["env"]) or type("Process", (), {})())
    schedule.launch(FAILED, s, tmp_path / "log")
    assert "HEALTHLAB_SCHEDULE_SMTP" in seen and not any("PASSWORD" in name for name in seen)
