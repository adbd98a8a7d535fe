"""HL7 v2: the public sample messages convert and validate; the guide's mapping rows are covered; v2 goes out and comes in again.

    python tests/spec/conformance_hl7v2.py     passed and failed counts, the failing names with the reason each
"""
import csv
import re
from pathlib import Path

from transactions import problem, suite

from healthlab.fhir.hl7v2 import Hl7Error, from_bundle, parse, split_batch, to_bundle
from healthlab.fhir.v2segments import TABLES

DATA = Path(__file__).resolve().parents[2].parent / "shared/data"
# fields the walk over the message handles itself, not a table row: statuses, periods, values, the document's body, merges, links between resources
WALKED = {"MSH": {3, 4, 5, 6, 7, 9, 10, 11, 19, 24, 25}, "MSH[MessageHeader]": {22, 23}, "SFT": {2, 3}, "EVN": {2, 4, 5, 6, 7}, "PID": {12, 21}, "MRG": {1, 2, 3, 4, 7}, "NK1": {8, 9}, "PV1": {44, 45}, "OBX": {2, 4, 5, 6}, "OBR": {8, 9, 10, 11, 14, 15, 27}, "ORC": {1, 5, 7}, "NTE": {3, 5, 6}, "DG1": {6, 15, 21},
          "AL1": {4, 5}, "IAM": {4, 5, 6}, "PR1": {7}, "TXA": {13, 3}, "RXA": {6, 7, 9, 21}, "RXO": {2, 3, 4, 11, 12}, "RXE": {3, 4, 5, 10, 11}, "TQ1": {2, 3, 4, 6, 7, 8, 9, 10, 11, 13, 14}, "SPM": {14, 17}, "SCH": {11, 12, 16}, "SCH[Appointment]": {20},
          "AIS": {3, 4, 7}, "AIG": {3, 4, 8, 11}, "AIL": {3, 6, 9}, "AIP": {3, 4, 6, 9}, "IN1": {3, 8, 12, 13}, "FT1": {4, 11}, "ROL": {3, 4}, "ROL[Encounter-PractitionerRole]": {5, 6}, "PRT": {4, 5, 10}}


# why the rest of the guide's fields is not mapped: by resource, else by field
NOT_MADE = {"PRT[CareTeam]", "ROL[CareTeam]", "IN3[CareTeam]", "PRT[Device]", "SFT[Device]", "PRT[PractitionerRole]", "PRT[RelatedPerson]", "ROL[RelatedPerson]", "PRT[Patient-GeneralPractitioner-PractitionerRole]",
            "ROL[Patient-GeneralPractitioner]", "ROL[Encounter-PractitionerRole]", "PRT[Observation-Location]", "ORC[Provenance]", "MSH[Provenance-Operator]", "MSH[Provenance-Source]", "SCH[Provenance]",
            "PID[Provenance-Patient]", "RXO[MedicationRequest]", "PV1[Basic-EncounterHistory]", "PV1[Coverage]", "PD1[Observation-LivingWill]", "DG1[EpisodeOfCare]"}
BY_FIELD = {**dict.fromkeys(("ORC 22", "ORC 23", "ORC 24", "OBX 24", "IN1 5", "RXA 28", "PV1 40", "MSH 17"), "an address, number or state of something another field names"),
            **dict.fromkeys(("AIS 5", "AIG 9", "AIL 7", "AIP 7", "TQ1 5"), "an offset from another segment's time"), **dict.fromkeys(("AIS 10", "AIP 12"), "a status beside the appointment's own"),
            **dict.fromkeys(("MSH 8", "MSH 26", "MSH 27", "PV2 22", "MSA 1", "MSA 2"), "an instruction to the receiving system")}


def why(name, n):
    if name in NOT_MADE: return "not mapped: belongs to a resource that is not made"
    return "not mapped: " + BY_FIELD.get(f"{name.split('[')[0]} {n}", "an extension or element healthlab has no use for")


def messages():
    folder = DATA / "landing/hl7v2"
    if not folder.is_dir(): raise FileNotFoundError("../shared/data/landing/hl7v2")
    for f in sorted(folder.rglob("*")):
        if f.is_file():
            for n, m in enumerate(split_batch(f.read_bytes()), 1): yield f"{f.name}#{n}", m


def verdict(message):
    try: return problem(to_bundle(message, timezone="UTC"))
    except Hl7Error as e: return f"not converted: {e}"


def round_trip(message):
    "ADT and ORU written back: the patient and every report keep id and content."
    kind, event = parse(message).type
    event = f"{kind}^{event}" if kind == "ADT" else "ORU^R01"
    first = to_bundle(message, timezone="UTC")
    second = {e["request"]["url"]: e["resource"] for e in to_bundle(from_bundle(first, event), timezone="UTC")["entry"]}
    for e in first["entry"]:
        r, url = e["resource"], e["request"]["url"]
        if r["resourceType"] not in ("Patient", "DiagnosticReport") or not r.get("identifier") or (r["resourceType"] == "Patient" and r.get("active") is False): continue
        if url not in second: return f"{r['resourceType']} comes back with another id"
        for element in ("birthDate", "gender", "code", "status", "effectiveDateTime"):
            if r.get(element) != second[url].get(element): return f"{r['resourceType']}.{element} differs"
    return ""


def guide():
    "(segment[resource] field, why it is not mapped) for every field the guide maps to an element."
    folder = DATA / "v2_to_fhir/segments"
    if not folder.is_dir(): return []
    out = []
    for f in sorted(folder.glob("*.csv")):
        name = re.search(r"R4_ (.+?) - ", f.name)[1]
        segment, fields = name.split("[")[0], set()
        with open(f, encoding="utf-8-sig", newline="") as rows:
            for r in csv.reader(rows):
                m = re.fullmatch(segment + r"-(\d+)", r[1].strip()) if len(r) > 9 else None
                if m and r[9].strip(): fields.add(int(m[1]))
        mapped = {int(row[0].split("-")[1]) for t in TABLES.get(segment, []) for row in t.rows if "-" in row[0]} | WALKED.get(segment, set()) | WALKED.get(name, set())
        out += [(f"{name} field {n}", "" if n in mapped else why(name, n)) for n in sorted(fields)]
    return out


def run():
    found = list(messages())
    back = [(n, m) for n, m in found if parse(m).type[0] in ("ADT", "ORU") and len(parse(m).all("PID")) == 1]
    suites = [suite("HL7 v2 samples to FHIR", [(n, verdict(m)) for n, m in found]), suite("HL7 v2 ADT and ORU round trip", [(n, round_trip(m)) for n, m in back])]
    if rows := guide(): suites.append(suite("v2-to-FHIR guide, segment fields mapped", rows))
    return suites


if __name__ == "__main__":
    for s in run():
        print(f"{s['suite']}: {s['passed']} passed, {s['failed']} failed")
        for name, why in s["failing"]: print(f"    {name}: {why}")
