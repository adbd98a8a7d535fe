"""Validation as tables: one resource, one thing wrong, the place and kind of the issue it must give."""
import json
import pickle
import subprocess
import sys
from decimal import Decimal

import msgspec
import pytest

from healthlab.fhir import r4, types
from healthlab.fhir.issues import load, outcome
from healthlab.fhir.model import Issue, ResourceError, parse, structural, validate
from healthlab.fhir.structure import explain, typed

OBSERVATION = {"resourceType": "Observation", "status": "final", "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
               "subject": {"reference": "Patient/ada"}, "effectiveDateTime": "2026-02-28T08:15:00+01:00",
               "valueQuantity": {"value": 72, "unit": "/min", "system": "http://unitsofmeasure.org", "code": "/min"}}
PATIENT = {"resourceType": "Patient", "id": "ada", "name": [{"family": "Okafor", "given": ["Ada", "B."]}], "gender": "female", "birthDate": "1974-12-25"}
BASES = {"Observation": OBSERVATION, "Patient": PATIENT}
DROP = object()

# base        change                                              code            path
STRUCTURE = [
    ("Observation", {"status": DROP}, "required", "Observation.status"),
    ("Observation", {"status": "done"}, "code-invalid", "Observation.status"),
    ("Observation", {"status": 1}, "structure", "Observation.status"),
    ("Observation", {"statuss": "final"}, "structure", "Observation"),
    ("Observation", {"code": DROP}, "required", "Observation.code"),
    ("Observation", {"code": [{"text": "x"}]}, "structure", "Observation.code"),
    ("Observation", {"code": {}}, "structure", "Observation.code"),
    ("Observation", {"code": "x"}, "structure", "Observation.code"),
    ("Observation", {"code": None}, "structure", "Observation.code"),
    ("Observation", {"code": {"id": "a"}}, "invariant", "Observation.code"),
    ("Observation", {"valueString": "72"}, "structure", "Observation.value"),
    ("Observation", {"valueBlob": "72"}, "structure", "Observation"),
    ("Observation", {"valueQuantity": {"value": "72"}}, "structure", "Observation.value.ofType(Quantity).value"),
    ("Observation", {"effectiveDateTime": "2026-02-29"}, "value", "Observation.effective.ofType(dateTime)"),
    ("Observation", {"effectiveDateTime": "2026-02-28T08:15:00"}, "value", "Observation.effective.ofType(dateTime)"),
    ("Observation", {"effectiveDateTime": "2026-02-28T24:15:00Z"}, "value", "Observation.effective.ofType(dateTime)"),
    ("Observation", {"issued": "2026-02-28"}, "value", "Observation.issued"),
    ("Observation", {"subject": {"reference": "Practitioner/1"}}, "structure", "Observation.subject.reference"),
    ("Observation", {"subject": {"reference": "https://example.org/fhir/Practitioner/1"}}, "structure", "Observation.subject.reference"),
    ("Observation", {"subject": {"reference": "ada"}}, "value", "Observation.subject.reference"),
    ("Observation", {"referenceRange": []}, "structure", "Observation.referenceRange"),
    ("Observation", {"referenceRange": {"text": "a"}}, "structure", "Observation.referenceRange"),
    ("Observation", {"meta": {"lastUpdated": "2026-02-28"}}, "value", "Observation.meta.lastUpdated"),
    ("Observation", {"contained": [{"resourceType": "Patient"}]}, "required", "Observation.contained[0]"),
    ("Observation", {"contained": [{"resourceType": "Patient", "id": "p", "gender": "F"}]}, "code-invalid", "Observation.contained[0].gender"),
    ("Observation", {"contained": [{"resourceType": "Patiant", "id": "p"}]}, "not-supported", "Observation.contained[0]"),
    ("Patient", {"id": "a_b"}, "value", "Patient.id"),
    ("Patient", {"id": "a" * 65}, "value", "Patient.id"),
    ("Patient", {"active": "true"}, "structure", "Patient.active"),
    ("Patient", {"gender": ""}, "value", "Patient.gender"),
    ("Patient", {"name": [{"given": ["Ada", ""]}]}, "value", "Patient.name[0].given[1]"),
    ("Patient", {"name": [{"given": ["Ada", None]}]}, "structure", "Patient.name[0].given[1]"),
    ("Patient", {"name": [{"given": "Ada"}]}, "structure", "Patient.name[0].given"),
    ("Patient", {"name": [{"family": "a\u0001b"}]}, "value", "Patient.name[0].family"),
    ("Patient", {"name": [{"family": "x" * (1024 * 1024 + 1)}]}, "too-long", "Patient.name[0].family"),
    ("Patient", {"multipleBirthInteger": 1.5}, "value", "Patient.multipleBirth.ofType(integer)"),
    ("Patient", {"multipleBirthInteger": 2**31}, "value", "Patient.multipleBirth.ofType(integer)"),
    ("Patient", {"telecom": [{"rank": 0}]}, "value", "Patient.telecom[0].rank"),
    ("Patient", {"photo": [{"contentType": "image/png", "data": "AAA"}]}, "value", "Patient.photo[0].data"),
    ("Patient", {"_birthDate": {}}, "structure", "Patient.birthDate"),
    ("Patient", {"_name": [{"id": "a"}]}, "structure", "Patient"),
    ("Patient", {"_birthDate": {"extension": [{"url": "http://x y", "valueString": "a"}]}}, "value", "Patient.birthDate.extension[0].url"),
    ("Patient", {"extension": [{"valueString": "a"}]}, "required", "Patient.extension[0].url"),
    ("Patient", {"extension": [{"url": "u", "valueString": "a", "valueCode": "b"}]}, "structure", "Patient.extension[0].value"),
    ("Patient", {"fhir_comments": ["x"]}, "structure", "Patient"),
    ("Patient", {"resourceType": DROP}, "structure", ""),
    ("Patient", {"resourceType": "Patiant"}, "not-supported", ""),
]


def changed(base, change):
    return {k: v for k, v in (BASES[base] | change).items() if v is not DROP}


@pytest.mark.parametrize("base,change,code,path", STRUCTURE)
def test_structure(base, change, code, path):
    resource = changed(base, change)
    issues = structural(json.dumps(resource).encode())
    assert (code, path) in [(i.code, i.path) for i in issues if i.stops]
    assert any(i.stops for i in validate(resource))
    with pytest.raises(ResourceError): parse(json.dumps(resource))


FINE = [
    ("Observation", {}), ("Patient", {}),
    ("Observation", {"status": DROP, "_status": {"extension": [{"url": "http://x", "valueCode": "unknown"}]}}),
    ("Observation", {"valueQuantity": DROP, "_valueString": {"extension": [{"url": "http://x", "valueCode": "unknown"}]}}),
    ("Observation", {"subject": {"reference": "urn:uuid:0b6d4c52-1a6c-4a35-b1c5-1f7a8a2f0d11"}}),
    ("Observation", {"subject": {"reference": "Patient?identifier=urn:x|7"}}),
    ("Observation", {"subject": {"reference": "https://example.org/fhir/Patient/7/_history/2"}}),
    ("Observation", {"subject": {"identifier": {"value": "7"}}}),
    ("Observation", {"valueQuantity": {"value": 1.50, "unit": "mg"}}),
    ("Observation", {"valueQuantity": {"value": -1e-7}}),
    ("Patient", {"name": [{"given": ["Ada", None], "_given": [None, {"extension": [{"url": "http://x", "valueCode": "masked"}]}]}]}),
    ("Patient", {"_birthDate": {"extension": [{"url": "http://x", "valueDateTime": "1974-12-25T14:35:45-05:00"}]}}),
    ("Patient", {"name": [{"family": "García {} \\ \"O'Neil\" 李"}]}),
    ("Patient", {"contained": [{"resourceType": "Organization", "id": "o", "name": "Clinic"}], "managingOrganization": {"reference": "#o"}}),
    ("Patient", {"photo": [{"contentType": "image/png", "data": "AAAA\nAAA="}]}),
]


@pytest.mark.parametrize("base,change", FINE)
def test_valid(base, change):
    resource = changed(base, change)
    assert validate(resource) == []
    for text in (json.dumps(resource), json.dumps(resource, indent=2, ensure_ascii=False), "\ufeff" + json.dumps(resource)):
        assert structural(text.encode()) == []
        back = json.loads(parse(text).to_json())
        if "photo" not in resource: assert back == resource


# invariant, the base it is tried on, a change that breaks it
INVARIANTS = [
    ("obs-6", "Observation", {"dataAbsentReason": {"text": "refused"}}),
    ("obs-3", "Observation", {"referenceRange": [{"type": {"text": "normal"}}]}),
    ("obs-7", "Observation", {"component": [{"code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]}}]}),
    ("per-1", "Observation", {"effectiveDateTime": DROP, "effectivePeriod": {"start": "2026-03-02", "end": "2026-03-01"}}),
    ("qty-3", "Observation", {"valueQuantity": {"value": 1, "code": "mg"}}),
    ("rng-2", "Observation", {"valueQuantity": DROP, "valueRange": {"low": {"value": 2}, "high": {"value": 1}}}),
    ("ref-1", "Observation", {"subject": {"reference": "#p"}}),
    ("pat-1", "Patient", {"contact": [{"gender": "male"}]}),
    ("cpt-2", "Patient", {"telecom": [{"value": "555"}]}),
    ("att-1", "Patient", {"photo": [{"data": "AAAA"}]}),
    ("ext-1", "Patient", {"extension": [{"url": "http://x"}]}),
    ("ext-1", "Patient", {"extension": [{"url": "http://x", "valueCode": "a", "extension": [{"url": "b", "valueCode": "c"}]}]}),
    ("dom-2", "Patient", {"contained": [{"resourceType": "Organization", "id": "o", "name": "x", "contained": [{"resourceType": "Organization", "id": "p", "name": "y"}]}]}),
    ("dom-3", "Patient", {"contained": [{"resourceType": "Organization", "id": "o", "name": "x"}]}),
    ("dom-4", "Patient", {"contained": [{"resourceType": "Organization", "id": "o", "name": "x", "meta": {"versionId": "1"}}], "managingOrganization": {"reference": "#o"}}),
    ("dom-5", "Patient", {"contained": [{"resourceType": "Organization", "id": "o", "name": "x", "meta": {"security": [{"code": "R"}]}}], "managingOrganization": {"reference": "#o"}}),
    ("txt-1", "Patient", {"text": {"status": "generated", "div": "<div xmlns='http://www.w3.org/1999/xhtml'><script>x</script></div>"}}),
    ("txt-1", "Patient", {"text": {"status": "generated", "div": "<!DOCTYPE a [<!ENTITY b 'c'>]><div xmlns='http://www.w3.org/1999/xhtml'>&b;</div>"}}),
    ("txt-2", "Patient", {"text": {"status": "generated", "div": "<div xmlns='http://www.w3.org/1999/xhtml'> </div>"}}),
]


@pytest.mark.parametrize("key,base,change", INVARIANTS)
def test_invariants(key, base, change):
    assert validate(BASES[base]) == []
    issues = validate(changed(base, change))
    assert [i for i in issues if i.code == "invariant" and i.message.startswith(key + ":")], issues
    assert all(i.severity == "error" for i in issues)


def test_best_practice_only_when_asked():
    assert validate(PATIENT) == []
    assert [i.message[:5] for i in validate(PATIENT, hints=True)] == ["dom-6"]


PROSE = [({"resourceType": "SearchParameter", "type": "composite"}, "two components"), ({"resourceType": "CodeSystem", "content": "complete", "supplements": "http://loinc.org"}, "supplement"),
         ({"resourceType": "ValueSet", "compose": {"include": [{"system": "#c1"}]}}, "absolute URI"), (OBSERVATION | {"code": {"coding": [{"system": "local", "code": "a"}]}}, "absolute URI"),
         ({"resourceType": "SearchParameter", "type": "token", "derivedFrom": "http://hl7.org/fhir/SearchParameter/Organization-name"}, "derived"),
         (OBSERVATION | {"subject": {"reference": "urn:uuid:123"}}, "36 characters"),
         ({"resourceType": "StructureDefinition", "kind": "resource", "derivation": "constraint", "type": "Patient", "differential": {"element": [{"path": "Patient.nickname"}]}}, "elements that exist"),
         ({"resourceType": "ValueSet", "compose": {"include": [{"system": "http://snomed.info/sct", "concept": [{"code": "12345"}]}]}}, "concept identifiers"),
         ({"resourceType": "ValueSet", "compose": {"exclude": [{"system": "http://snomed.info/sct", "filter": [{"property": "constraint", "op": "=", "value": "<< (1"}]}]}}, "Expression Constraint"),
         ({"resourceType": "ValueSet", "compose": {"include": [{"system": "http://x", "filter": [{"property": "inactive", "op": "=", "value": "no"}]}]}}, "true or false"),
         ({"resourceType": "Library", "dataRequirement": [{"type": "Patient", "extension": [{"url": "http://x", "valueExpression": {"language": "text/fhirpath", "expression": "a.("}}]}]}, "is FHIRPath"),
         ({"resourceType": "SearchParameter", "expression": "Patient..name"}, "search parameter is FHIRPath"),
         ({"resourceType": "CapabilityStatement", "rest": [{"resource": [{"searchParam": [{"definition": "http://hl7.org/fhir/SearchParameter/clinical-date", "type": "token"}]}]}]}, "cannot be values"),
         (PATIENT | {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/humanname-mothers-family", "valueString": "x"}]}, "HumanName.family"),
         (PATIENT | {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/patient-birthPlace", "valueString": "x"}]}, "value of type Address"),
         (PATIENT | {"contained": [{"resourceType": "Patient", "id": "c", "_birthDate": {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/patient-religion"}]}}]}, "only on Patient")]


@pytest.mark.parametrize("resource,wanted", PROSE)
def test_rules_of_the_prose(resource, wanted):
    assert any(wanted in i.message for i in validate(resource))


HELD = [PATIENT | {"_birthDate": {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/patient-birthTime", "valueDateTime": "1974-12-25T14:35:45-05:00"}]}},
        PATIENT | {"name": [{"_family": {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/humanname-own-name", "valueString": "x"}]}}]},
        PATIENT | {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/not-known-in-r4", "valueString": "x"}]},
        OBSERVATION | {"_status": {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]}, "status": "final"},
        {"resourceType": "StructureDefinition", "url": "http://x/p", "name": "P", "status": "draft", "abstract": False, "kind": "resource", "derivation": "constraint", "type": "Bundle",
         "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Bundle", "differential": {"element": [{"id": "Bundle.entry:p.resource.name", "path": "Bundle.entry.resource.name"}]}}]


@pytest.mark.parametrize("resource", HELD)
def test_the_prose_allows(resource):
    assert not [i for i in validate(resource) if i.stops]


ENTRY = {"fullUrl": "urn:uuid:0b6d4c52-1a6c-4a35-b1c5-1f7a8a2f0d11", "resource": PATIENT, "request": {"method": "POST", "url": "Patient"}}
BUNDLES = [
    ({"type": "transaction", "entry": [ENTRY]}, None),
    ({"type": "transaction", "entry": [ENTRY, ENTRY]}, "bdl-7"),
    ({"type": "collection", "entry": [ENTRY]}, "bdl-3"),
    ({"type": "transaction", "entry": [{k: v for k, v in ENTRY.items() if k != "request"}]}, "bdl-3"),
    ({"type": "collection", "total": 1}, "bdl-1"),
    ({"type": "document"}, "bdl-9"),
    ({"type": "searchset", "entry": [{"resource": {"resourceType": "Patient", "active": True}, "fullUrl": "http://x/Patient/1"}]}, "needs its id"),
    ({"type": "transaction", "entry": [ENTRY | {"fullUrl": "Patient/ada"}]}, "fullUrl must be absolute"),
    ({"type": "transaction", "entry": [ENTRY | {"resource": PATIENT | {"managingOrganization": {"reference": "urn:uuid:1b6d4c52-1a6c-4a35-b1c5-1f7a8a2f0d11"}}}]}, "No entry of the bundle"),
    ({"type": "transaction", "entry": [ENTRY | {"resource": PATIENT | {"gender": "F"}}]}, "administrative-gender"),
    ({"type": "searchset", "link": [{"relation": "self", "url": "a"}, {"relation": "self", "url": "b"}]}, "link relation"),
]


@pytest.mark.parametrize("bundle,wanted", BUNDLES)
def test_bundles(bundle, wanted):
    issues = validate({"resourceType": "Bundle"} | bundle)
    if wanted is None: assert issues == []
    else: assert any(wanted in i.message for i in issues), issues


def test_big_bundles_take_linear_time():
    import time
    def once(n):
        entries = [ENTRY | {"fullUrl": f"urn:uuid:00000000-0000-0000-0000-{i:012d}", "resource": PATIENT | {"id": str(i)}} for i in range(n)]
        data = json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries}).encode()
        def timed():
            start = time.process_time()
            assert validate(data) == []
            return time.process_time() - start
        return min(timed() for _ in range(3)) # the collector may walk whatever else this process holds, but not each time
    assert once(8000) < 8 * 5 * max(once(1000), .02)


UNREADABLE = [(b"", "empty"), (b"  \n", "empty"), (b"{", "truncated"), (b'{"resourceType": "Pat', "truncated"), (b"[]", "JSON object"), (b"null", "JSON object"),
              ('{"resourceType":"Patient"}'.encode("utf-16"), "UTF-16"), ('{"resourceType":"Patient"}'.encode("utf-16-le"), "UTF-16"), ("{}".encode("utf-32"), "UTF-32"),
              ('{"resourceType":"Patient","name":[{"family":"Müller"}]}'.encode("latin-1"), "Latin-1"), (b'{"resourceType":"Patient"}\0', "NUL"),
              (b"\x1f\x8b\x08\0abc", "NUL"), (b"[" * 200_000, "deeply"), (b'{"a":' * 200_000, "deeply"), (b'{"resourceType":"Patient","extension":[' * 5000, ""),
              (b'{"resourceType":"Patient","multipleBirthInteger":' + b"9" * 10_000 + b"}", "whole JSON number"), (b'{"resourceType":"Patient","x":NaN}', "NaN"),
              (b'{"resourceType":"Patient","id":"a","id":"b"}', "twice"), (b'{"resourceType":"Patient","resourceType":"Patient"}', "twice"),
              (b'{"resourceType":"Patient"} // note', "comments"), (b'{"resourceType":"Patient",}', ""), (b'{"resourceType":"Patient","name":[{"family":"\\ud800"}]}', "surrogate")]


@pytest.mark.parametrize("data,wanted", UNREADABLE)
def test_unreadable(data, wanted):
    for issues in (validate(data), structural(data)):
        assert any(i.stops and wanted in i.message for i in issues), issues
    with pytest.raises(ResourceError) as error: parse(data)
    assert error.value.issues


@pytest.mark.parametrize("value", [{"resourceType": "Patient", "x": {1, 2}}, {"resourceType": "Patient", "active": float("nan")}, {"resourceType": "Patient", 3: 4}, {}])
def test_odd_dicts(value):
    assert any(i.stops for i in validate(value))


def test_nothing_is_quoted():
    "Issues about a value never hold it."
    secret = "Zebulon-4711"
    resources = [PATIENT | {k: secret + " x"} for k in ("id", "gender", "birthDate", "active", "name", "deceasedBoolean")] + [PATIENT | {secret: 1}, {"resourceType": secret}]
    for r in resources + [OBSERVATION | {"subject": {"reference": secret}}, OBSERVATION | {"valueQuantity": {"value": secret}}]:
        issues = validate(r)
        assert issues and not any("4711" in i.message or "4711" in i.path for i in issues)
    assert "4711" not in validate(b'{"resourceType": "Patient", "id": Zebulon-4711}')[0].message


RELEASES = [({"resourceType": "Encounter", "status": "planned", "class": {"code": "AMB"}, "actualPeriod": {"start": "2026"}}, "R5"),
            ({"resourceType": "ActorDefinition", "status": "draft"}, "R5"), ({"resourceType": "SubscriptionTopic", "url": "x"}, "R4B"),
            ({"resourceType": "ProcedureRequest", "status": "active"}, "STU3"),
            ({"resourceType": "MedicationRequest", "status": "active", "intent": "order", "subject": {"reference": "Patient/1"}, "medication": {"concept": {"text": "x"}}}, "R5")]


@pytest.mark.parametrize("resource,title", RELEASES)
def test_other_releases_are_named(resource, title):
    issues = validate(resource)
    assert any(i.code == "not-supported" and title in i.message for i in issues), issues


def test_fhir_version_is_named():
    issues = validate({"resourceType": "StructureDefinition", "url": "http://x", "name": "X", "status": "draft", "fhirVersion": "5.0.0", "kind": "resource", "abstract": False, "type": "Patient"})
    assert any("5.0.0" in i.message for i in issues)


def test_typed_resources():
    made = parse(json.dumps(OBSERVATION).replace("72", "72.0"))
    assert isinstance(made, r4.Observation) and isinstance(made.subject, r4.Reference)
    assert made.valueQuantity.value == Decimal("72.0") and b'"value":72.0' in made.to_json()
    assert made.to_dict()["code"] == OBSERVATION["code"] and "Observation" in made._repr_html_()
    lenient = parse(json.dumps({k: v for k, v in OBSERVATION.items() if k != "status"} | {"_status": {"extension": [{"url": "http://x", "valueCode": "unknown"}]}}))
    assert isinstance(lenient, r4.Observation) and lenient.status is None and "status" not in json.loads(lenient.to_json())
    assert r4.PatientContact.__name__ == "PatientContact"
    with pytest.raises(AttributeError): r4.Nonsense  # noqa: B018


def test_errors_travel():
    try: parse(b"{}")
    except ResourceError as e: back = pickle.loads(pickle.dumps(e))
    assert back.issues and "resourceType" in str(back)
    assert outcome(back.issues)["issue"][0]["severity"] == "error" and structural(json.dumps(outcome([])).encode()) == []
    assert structural(json.dumps(outcome([Issue("error", "required", "Patient.name", "x")])).encode()) == []


def test_decimals_and_doubled_keys_when_reading():
    value, _ = load(b'{"a": 1.10, "a": 1.20, "b": [1]}')
    assert value["a"] == Decimal("1.20") and value.keys_twice == ("a",)


def test_every_type_builds():
    from healthlab.fhir.types import release
    for name in release()["types"]: msgspec.json.Decoder(getattr(r4, "".join(p[0].upper() + p[1:] for p in name.split("."))))


def test_fast_path_takes_ordinary_resources():
    for r in (OBSERVATION, PATIENT): assert typed(json.dumps(r).encode()) is not None and explain(json.dumps(r).encode()) == []


def test_a_text_known_good_in_one_place_is_not_in_another():
    def found(**change): return [(i.code, i.path) for i in structural(json.dumps(OBSERVATION | change).encode())]
    assert found(effectiveDateTime="2024", performer=[{"reference": "Practitioner/7"}]) == []
    assert found(effectiveDateTime="2024", issued="2024") == [("value", "Observation.issued")]
    assert found(subject={"reference": "Practitioner/7"}) == [("structure", "Observation.subject.reference")]


@pytest.mark.parametrize("number", ["1e-6", "1E5", '"inf"'])
def test_a_doubled_key_is_seen_though_numbers_grew(number):
    "Numbers that read longer after decoding must not hide what was dropped: here both texts are equally long."
    grown = len(types.ENCODER.encode(Decimal(number.strip('"')))) - len(number)
    doubled = '"id":"' + "x" * (-len('"id":"",') % grown or grown) + '",'
    rows = ",".join(f'{{"url":"http://x/{i}","valueDecimal":{number}}}' for i in range(len(doubled) // grown))
    data = f'{{"resourceType":"Basic",{doubled * 2}"extension":[{rows}],"code":{{"text":"c"}}}}'.encode()
    assert len(types.ENCODER.encode(msgspec.json.decode(data, type=r4.Basic))) == len(data)
    assert any("twice" in i.message for i in structural(data))


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(types, "MAX_KNOWN", 3)
    memory = types.Known(r"^[a-z]+\Z")
    for text in ("a", "b", "c", "d", "e" * 300): memory.learn((text, None))
    assert None in memory and len(memory) <= 3 and "e" * 300 not in memory
    with pytest.raises(ValueError): memory.learn(("1",))


def test_import_is_cheap():
    code = "import time; t=time.process_time(); import healthlab.fhir.r4; print(time.process_time()-t)"
    assert float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout) < .3
