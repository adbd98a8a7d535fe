"""One invented patient in every form the record comes in (FHIR, HL7 v2, C-CDA, CSV, note, notebook output), identifiers of every kind planted in all of them, and what must hold after de-identification.
Used by test_deid_crossmodal.py (few seeds) and by tests/e2e/deid_crossmodal.py (200 seeds, 10,000 resources)."""
import base64
import copy
import json
import random
import re
from datetime import date, timedelta

from healthlab.deid.carrier import People
from healthlab.deid.ccda import deidentify_document
from healthlab.deid.csv import deidentify_table
from healthlab.deid.hl7v2 import deidentify_message
from healthlab.deid.policy import load_policy
from healthlab.deid.resource import Context, transform
from healthlab.deid.text import date_offset, known_of, number_surrogate, scrub, secret
from healthlab.fhir.structure import structural
from healthlab.fhir.v2message import parse
from healthlab.hospital import Hospital

START, MIDDLE, END = ["Qu", "Zel", "Thor", "Brax", "Vind", "Mars", "Oxl", "Hesp", "Wren", "Jorv"], ["eni", "ando", "ethi", "ilo", "umba", "arri", "ospe"], ["feather", "wick", "stone", "brand", "quist", "moor", "ley"]
STREETS, TYPES = ["Larkspur Hollow", "Cinder Ridge", "Old Tannery", "Birchmount"], {"mrn": "MR", "ssn": "SS", "plan": "MB", "account": "AN", "licence": "DL", "vehicle": "VIN", "device": "SNO", "certificate": "RN"}


def person(seed: int) -> dict:
    r = random.Random(seed)
    word = lambda: r.choice(START) + r.choice(MIDDLE) + r.choice(END)
    digits = lambda n: "".join(r.choice("123456789") for _ in range(n))
    born = date(1945, 1, 1) + timedelta(days=r.randrange(20_000))
    visit = date(2018, 1, 1) + timedelta(days=r.randrange(2000))
    name = word().lower()
    return {"id": f"{digits(8)}-aa{digits(4)}", "given": word(), "family": name.title(), "relative": word(), "doctor": word(), "npi": digits(10), "street": f"{r.randrange(10, 999)} {r.choice(STREETS)} Road", "city": word(), "zip": r.choice(["02139", "60614", "94110"]),
            "phone": f"617-555-{digits(4)}", "fax": f"617-555-{digits(4)}", "email": f"{name}.{digits(3)}@mailer.example", "url": f"https://people.example/{name}{digits(3)}", "ip": f"10.{r.randrange(2, 250)}.{r.randrange(2, 250)}.{r.randrange(2, 250)}",
            "mrn": f"MRN-{digits(7)}", "ssn": f"{r.randrange(100, 700)}-{r.randrange(10, 99)}-{digits(4)}", "plan": f"XHP{digits(9)}", "account": f"ACC-{digits(8)}", "licence": f"S{digits(8)}", "vehicle": f"1HGCM8{digits(4)}A{digits(6)}", "device": f"SN-{digits(9)}", "certificate": f"CERT{digits(7)}", "biometric": f"FPT-{digits(8)}",
            "born": born, "visit": visit, "later": visit + timedelta(days=r.randrange(1, 400)), "gender": r.choice(["female", "male"])}


def secrets(p) -> dict:
    "What must not come out, by kind."
    return {**{k: p[k] for k in ("given", "family", "relative", "doctor", "street", "city", "phone", "fax", "email", "url", "ip", "npi", "id", *TYPES, "biometric")}, "zip": p["zip"],
            "born": p["born"].isoformat(), "born (compact)": f"{p['born']:%Y%m%d}", "born (US)": f"{p['born']:%m/%d/%Y}", "visit": p["visit"].isoformat(), "visit (compact)": f"{p['visit']:%Y%m%d}", "visit (US)": f"{p['visit']:%m/%d/%Y}"}


def leaks(p, text: str, days: timedelta = None) -> list[str]:
    "Kinds of what is still in a text, whatever its case; base64 is opened. With the patient's shift: a day that another of their days was moved to is no leak."
    chance = [k for k in ("born", "visit") if days is not None and p[k] in {p[x] + days for x in ("born", "visit", "later")}]
    for data in re.findall(r"[A-Za-z0-9+/]{24,}={0,2}", text):
        try: text += " " + base64.b64decode(data).decode("utf-8", "replace")
        except ValueError: pass
    low = text.lower()
    return [k for k, v in secrets(p).items() if not k.startswith(tuple(chance) or "-") and re.search(rf"(?<![a-z0-9]){re.escape(v.lower())}(?![a-z0-9])", low)]


def canary(p) -> str:
    return (f"Seen on {p['visit']:%m/%d/%Y}: {p['given']} {p['family']} (MRN: {p['mrn']}, DOB {p['born']:%m/%d/%Y}, SSN {p['ssn']}) of {p['street']}, {p['city']}, MA {p['zip']}. Phone {p['phone']}, fax: {p['fax']}, e-mail {p['email']}, "
            f"portal {p['url']} from IP {p['ip']}. Member ID {p['plan']}, account no. {p['account']}, driver's license {p['licence']}, certificate number {p['certificate']}, VIN {p['vehicle']}, device serial {p['device']}, fingerprint ID {p['biometric']}. "
            f"Wife: {p['relative']} {p['family']}. Returns {p['later'].isoformat()}. Takes metformin 500 mg twice daily; asthma is stable. Signed by Dr. {p['doctor']}.")


def patient(p) -> dict:
    ids = [{"type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": c}]}, "value": p[k]} for k, c in TYPES.items()]
    return {"resourceType": "Patient", "id": p["id"], "gender": p["gender"], "birthDate": p["born"].isoformat(), "name": [{"family": p["family"], "given": [p["given"]]}], "identifier": [*ids, {"value": p["biometric"]}],
            "address": [{"line": [p["street"]], "city": p["city"], "state": "MA", "postalCode": p["zip"]}], "telecom": [{"system": "phone", "value": p["phone"]}, {"system": "fax", "value": p["fax"]}, {"system": "email", "value": p["email"]}, {"system": "url", "value": p["url"]}],
            "contact": [{"name": {"family": p["family"], "given": [p["relative"]]}}], "photo": [{"url": p["url"]}], "text": {"status": "generated", "div": f"<div xmlns=\"http://www.w3.org/1999/xhtml\">{p['given']}</div>"}}


def resources(p, count: int, pool: list[dict], seed: int) -> list[dict]:
    "The patient, a dated encounter, a note, and `count` resources of a simulated record made theirs, each with the canary in one of its strings."
    r, me = random.Random(seed), {"reference": f"Patient/{p['id']}", "display": f"{p['given']} {p['family']}"}
    doctor = {"reference": "Practitioner?identifier=http://hl7.org/fhir/sid/us-npi|" + p["npi"], "display": f"Dr. {p['doctor']}"}
    out = [patient(p), {"resourceType": "Encounter", "id": "e-" + p["id"], "status": "finished", "class": {"code": "AMB"}, "subject": me, "participant": [{"individual": doctor}], "period": {"start": p["visit"].isoformat(), "end": p["later"].isoformat()}},
           {"resourceType": "DocumentReference", "id": "d-" + p["id"], "status": "current", "subject": me, "date": p["visit"].isoformat() + "T10:00:00Z", "content": [{"attachment": {"contentType": "text/plain; charset=utf-8", "data": base64.b64encode(canary(p).encode()).decode()}}]}]
    for one in r.choices(pool, k=count):
        made = copy.deepcopy(one)
        if "subject" in made: made["subject"] = dict(me)
        if "patient" in made: made["patient"] = dict(me)
        paths = list(strings(made))
        if paths: plant(made, r.choice(paths), r.choice([canary(p), f"Signed by Dr. {p['doctor']}", f"{p['given']} {p['family']}, {p['phone']}", f"{p['mrn']} {p['born']:%m/%d/%Y}"]))
        made["extension"] = [{"url": f"https://people.example/{p['given']}", "valueString": canary(p)}]
        out.append(made)
    return out


def strings(o, path=()):
    if isinstance(o, dict):
        for k, v in o.items():
            if k not in ("resourceType", "reference", "system", "url", "status", "data", "contentType"): yield from strings(v, (*path, k))
    elif isinstance(o, list):
        for i, v in enumerate(o): yield from strings(v, (*path, i))
    elif isinstance(o, str) and path[-1] in ("display", "text", "valueString", "description", "title", "patientInstruction", "comment", "name", "conclusion"): yield path


def plant(o, path, value):
    for k in path[:-1]: o = o[k]
    o[path[-1]] = value


def hl7v2(p) -> str:
    d = lambda x: f"{x:%Y%m%d}"
    esc = canary(p).replace("&", "\\T\\")
    ids = "~".join(f"{p[k]}^^^MERCY^{c}" for k, c in TYPES.items() if k != "ssn")
    return "\r".join([rf"MSH|^~\&|LAB|MERCY|||{d(p['visit'])}1015||ORU^R01|{p['account']}|P|2.5.1", f"PID|1||{ids}||{p['family']}^{p['given']}||{d(p['born'])}|{p['gender'][0].upper()}|||{p['street']}^^{p['city']}^MA^{p['zip']}||{p['phone']}~^^^{p['email']}|||||{p['account']}|{p['ssn']}|{p['licence']}^MA",
        f"NK1|1|{p['family']}^{p['relative']}|SPO^Spouse^HL70063|{p['street']}|{p['phone']}", f"PV1|1|O|{p['city']} CLINIC||||{p['npi']}^{p['doctor']}^A|||||||||||||||||||||||||||||||||||||{d(p['visit'])}1015|{d(p['later'])}",
        f"OBR|1|{p['device']}||4548-4^Hemoglobin A1c^LN|||{d(p['visit'])}", f"OBX|1|NM|4548-4^Hemoglobin A1c^LN||7.1|%|||||F|||{d(p['visit'])}|{p['city']}|{p['npi']}^{p['doctor']}", f"OBX|2|TX|NOTE^Note^L||{esc}||||||F",
        f"OBX|3|ED|DOC^Document^L||^TEXT^PLAIN^Base64^{base64.b64encode(canary(p).encode()).decode()}||||||F", f"NTE|1||{esc}", f"ZPI|1|{p['given']}|{p['ssn']}"])


def ccda(p) -> str:
    d, said = lambda x: f"{x:%Y%m%d}", canary(p).replace("&", "&amp;").replace("<", "&lt;")
    ids = "".join(f'<id root="1.2.840.99.{i}" extension="{p[k]}"/>' for i, k in enumerate(TYPES))
    return f"""<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/><id root="1.2.840.99.50" extension="{p['account']}"/><code code="34133-9" codeSystem="2.16.840.1.113883.6.1"/>
<title>Summary of {p['given']} {p['family']}</title><effectiveTime value="{d(p['visit'])}"/><recordTarget><patientRole>{ids}<addr><streetAddressLine>{p['street']}</streetAddressLine><city>{p['city']}</city><state>MA</state><postalCode>{p['zip']}</postalCode></addr>
<telecom value="tel:{p['phone']}"/><telecom value="mailto:{p['email']}"/><patient><name><given>{p['given']}</given><family>{p['family']}</family></name><administrativeGenderCode code="{p['gender'][0].upper()}" codeSystem="2.16.840.1.113883.5.1"/><birthTime value="{d(p['born'])}"/></patient></patientRole></recordTarget>
<author><time value="{d(p['visit'])}"/><assignedAuthor><id root="2.16.840.1.113883.4.6" extension="{p['npi']}"/><assignedPerson><name>{p['doctor']}</name></assignedPerson></assignedAuthor></author>
<componentOf><encompassingEncounter><id root="1.2.840.99.51" extension="{p['device']}"/><effectiveTime><low value="{d(p['visit'])}"/><high value="{d(p['later'])}"/></effectiveTime></encompassingEncounter></componentOf>
<component><structuredBody><component><section><code code="11450-4" codeSystem="2.16.840.1.113883.6.1"/><title>Problems</title><text><paragraph>{said}</paragraph><table><tbody><tr><td>{p['given']}</td><td>{p['mrn']}</td><td>{p['phone']}</td></tr></tbody></table><linkHtml href="{p['url']}">chart</linkHtml></text>
<entry><observation classCode="OBS" moodCode="EVN"><id root="1.2.840.99.52" extension="{p['certificate']}"/><code code="ASSERTION" codeSystem="2.16.840.1.113883.5.4"/><text>{said}</text><statusCode code="completed"/><effectiveTime><low value="{d(p['visit'])}"/></effectiveTime><value xsi:type="CD" code="195967001" codeSystem="2.16.840.1.113883.6.96" displayName="Asthma of {p['given']}"/></observation></entry></section></component></structuredBody></component></ClinicalDocument>"""


def tables(p) -> dict[str, bytes]:
    import csv
    import io
    def table(*rows):
        out = io.StringIO()
        csv.writer(out).writerows(rows)
        return out.getvalue().encode()
    return {"patients": table("Id BIRTHDATE DEATHDATE SSN MRN DRIVERS PASSPORT FIRST LAST GENDER ADDRESS CITY STATE ZIP PHONE EMAIL".split(), [p["id"], p["born"].isoformat(), "", p["ssn"], p["mrn"], p["licence"], p["certificate"], p["given"], p["family"], p["gender"][0].upper(), p["street"], p["city"], "MA", p["zip"], p["phone"], p["email"]]),
            "observations": table("DATE PATIENT ENCOUNTER CODE DESCRIPTION VALUE UNITS TECHNICIAN".split(), [p["visit"].isoformat(), p["id"], p["account"], "4548-4", "Hemoglobin A1c", "7.1", "%", p["doctor"]], [p["later"].isoformat(), p["id"], p["account"], "NOTE", "see " + p["family"], canary(p), "", p["doctor"]]),
            "notes": table(["note_id", "patient_id", "note_date", "text"], [p["device"], p["id"], p["visit"].isoformat(), canary(p)])}


def notebook(p) -> dict:
    "An output cell as a notebook keeps it: a frame shown as text and HTML."
    row = {"mrn": p["mrn"], "name": f"{p['family']}, {p['given']}", "note": canary(p)}
    return {"text/plain": "   ".join(row) + "\n0  " + "  ".join(row.values()), "text/html": "<table><tr>" + "".join(f"<td>{v}</td>" for v in row.values()) + "</tr></table>"}


def check(seed: int, count: int = 20, pool: list[dict] = None, full: bool = False) -> dict:
    "Everything about one seed: leaks by form and kind, surrogates and shifts that differ, outputs that are not valid; all empty when it holds."
    p, key, policy = person(seed), secret(), load_policy("safe-harbor")
    days = timedelta(days=date_offset(key, p["id"]))
    pool = pool if pool is not None else [r for r in Hospital(patients=1, seed=seed).resources() if r["resourceType"] not in ("Patient", "DocumentReference")]
    people, known, today = People.of([patient(p)]), known_of(patient(p)), date(2026, 1, 1)
    made = resources(p, count, pool, seed)
    wrong, done = {"leaks": [], "surrogates": [], "intervals": [], "invalid": [], "held": []}, []
    for r in made:
        try: done.append(transform(json.dumps(r).encode(), Context(policy, key, p["id"], known, today)))
        except Exception as e: wrong["held"].append(f"{r['resourceType']}: {type(e).__name__}")
    how = dict(people=people, policy=policy, key=key, today=today)
    message, doc = deidentify_message(hl7v2(p), **how).data.decode(), deidentify_document(ccda(p), **how).data.decode()
    csvs = {k: deidentify_table(v, **how).data.decode() for k, v in tables(p).items()}
    note, cell = scrub(canary(p), known=patient(p))[0].text, {k: scrub(v, known=patient(p))[0].text for k, v in notebook(p).items()}
    forms = {"fhir": [d.decode() for d in done], "hl7v2": [message], "ccda": [doc], "csv": list(csvs.values()), "note": [note], "notebook": list(cell.values())}
    wrong["leaks"] = sorted({f"{form}: {kind}" for form, texts in forms.items() for t in texts for kind in leaks(p, t, days)})
    wrong["invalid"] = [f"{json.loads(d)['resourceType']}: {i.path} {i.code}" for d in done for i in structural(d)]
    if full:
        from healthlab.fhir.model import validate
        wrong["invalid"] += [f"{json.loads(d)['resourceType']}: {i.path} {i.code}" for d in done for i in validate(d) if i.severity in ("error", "fatal")]
    opened = {**{k: " ".join(v) for k, v in forms.items()}, "fhir": " ".join(base64.b64decode(x).decode() for d in done for x in re.findall(rb'"data":"([A-Za-z0-9+/=]+)"', d)) + " ".join(d.decode() for d in done)}
    for kind in ("mrn", "ssn"):
        want = number_surrogate(key, p["id"], p[kind])
        wrong["surrogates"] += [f"{form}: {kind}" for form, text in opened.items() if want not in text]
    last = scrub(f"Mrs. {p['family']}", known=patient(p))[0].text.split()[-1]
    wrong["surrogates"] += [f"{form}: family name" for form, text in opened.items() if last not in text]
    born, visit, later = ((p[k] + days) for k in ("born", "visit", "later"))
    e = json.loads(done[1])["period"]
    m = parse(message)
    said = {"fhir": (json.loads(done[0])["birthDate"], e["start"], e["end"]), "hl7v2": tuple(f"{x[:4]}-{x[4:6]}-{x[6:8]}" for x in (m.value("PID-7"), m.value("PV1-44"), m.value("PV1-45"))),
            "ccda": tuple(f"{x[:4]}-{x[4:6]}-{x[6:8]}" for x in (re.search(r'birthTime value="(\d+)"', doc)[1], *re.search(r'<encompassingEncounter>.*?low value="(\d+)"/><high value="(\d+)"', doc).groups())),
            "csv": (csvs["patients"].split("\n")[1].split(",")[1], csvs["observations"].split("\n")[1].split(",")[0], csvs["observations"].split("\n")[2].split(",")[0])}
    wrong["intervals"] = [form for form, got in said.items() if got != (born.isoformat(), visit.isoformat(), later.isoformat())]
    wrong["intervals"] += [form for form in ("note", "notebook", "hl7v2", "ccda", "csv", "fhir") if f"{visit:%m/%d/%Y}" not in opened[form] or later.isoformat() not in opened[form]]
    kept = [form for form in ("note", "hl7v2", "ccda", "csv") if "metformin 500 mg twice daily; asthma is stable" not in opened[form]]
    return {**{k: v for k, v in wrong.items() if v}, **({"clinical words lost": kept} if kept else {}), "resources": len(made)}
