"""Whatever arrives, the C-CDA reader answers with a bundle that validates or a CcdaError: no other exception, no hang, no unbounded memory."""
import json
import resource
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from healthlab.fhir.ccda import CcdaError, to_bundle
from healthlab.fhir.model import validate

LOOSE = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
T = "2.16.840.1.113883.10.20.22.4."
TAGS = ["act", "observation", "procedure", "substanceAdministration", "supply", "encounter", "organizer", "entryRelationship", "component", "section", "entry", "value", "code", "effectiveTime", "low", "high", "period", "id",
        "templateId", "text", "statusCode", "participant", "participantRole", "playingEntity", "consumable", "manufacturedProduct", "manufacturedMaterial", "recordTarget", "patientRole", "patient", "name", "given",
        "birthTime", "addr", "telecom", "author", "assignedAuthor", "assignedPerson", "doseQuantity", "repeatNumber", "quantity", "subject", "relatedSubject", "originalText", "reference", "translation", "ClinicalDocument",
        "structuredBody", "nonXMLBody", "performer", "assignedEntity", "interpretationCode", "referenceRange", "observationRange", "sdtc:raceCode", "location", "healthCareFacility", "encompassingEncounter", "componentOf"]
VALUES = st.one_of(st.sampled_from(["", "20260101", "20261301", "2026-01-01T00:00:00", "1.2.3", "EVN", "INT", "RQO", "completed", "active", "true", "false", "UNK", "PQ", "CD", "TS", "IVL_PQ", "ST", "INT", "BL", "RTO_PQ_PQ", "1e999", "-1", "mg", "#x", "M",
                                   *(T + k for k in ("3", "4", "7", "30", "16", "17", "52", "1", "2", "26", "14", "49", "45", "121", "60", "202", "500", "80", "78"))]), st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters='<>&"'), max_size=6))
NAMES = st.sampled_from(["code", "codeSystem", "value", "unit", "xsi:type", "root", "extension", "nullFlavor", "negationInd", "moodCode", "typeCode", "displayName", "use", "ID", "classCode", "representation", "mediaType"])


@st.composite
def element(draw, depth=0):
    tag = draw(st.sampled_from(TAGS))
    attrs = "".join(f' {k}="{v}"' for k, v in draw(st.dictionaries(NAMES, VALUES, max_size=4)).items())
    inner = "".join(draw(st.lists(element(depth + 1), max_size=4))) if depth < 5 else ""
    return f"<{tag}{attrs}>{inner or draw(VALUES)}</{tag}>"


def survives(data):
    try: b = to_bundle(data, timezone="UTC")
    except CcdaError as e:
        assert e.what
        return
    errors = [i for i in validate(json.dumps(b)) if i.severity in ("fatal", "error")]
    assert not errors, errors[:3]


@settings(LOOSE, max_examples=40)  # the trees are large
@given(element())
def test_arbitrary_trees_of_cda_elements(xml):
    survives(xml)
    survives(f"<ClinicalDocument><component><structuredBody><component><section><code code='11450-4'/><entry>{xml}</entry></section></component></structuredBody></component></ClinicalDocument>")


@LOOSE
@given(st.binary(max_size=300))
def test_arbitrary_bytes(data):
    survives(data)


@LOOSE
@given(st.data())
def test_mutated_documents(data):
    text = DOCUMENT
    for _ in range(data.draw(st.integers(1, 5))):
        at, cut = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 12))
        text = text[:at] + data.draw(st.one_of(st.text(max_size=4), st.sampled_from(["<", ">", "&", '"', "<value/>", "nullFlavor='UNK'", "<!-- -->", "<![CDATA[x]]>", "&#0;", "\x00"]))) + text[at + cut:]
    survives(text)


DOCUMENT = f"""<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><id root="1.2.3" extension="d"/><code code="34133-9" codeSystem="2.16.840.1.113883.6.1"/><effectiveTime value="20260105101500+0100"/>
<recordTarget><patientRole><id root="1.2.3" extension="p"/><addr><city>T</city></addr><telecom value="tel:1"/><patient><name><given>E</given><family>R</family></name><administrativeGenderCode code="F"/><birthTime value="19750501"/></patient></patientRole></recordTarget>
<component><structuredBody><component><section><code code="30954-2" codeSystem="2.16.840.1.113883.6.1"/><text><table><tr><td ID="r1">Glucose</td></tr></table></text><entry><organizer classCode="BATTERY" moodCode="EVN"><templateId root="{T}1"/>
<code code="24323-8" codeSystem="2.16.840.1.113883.6.1"/><statusCode code="completed"/><component><observation classCode="OBS" moodCode="EVN"><templateId root="{T}2"/><id root="1.2" extension="o"/><code code="2345-7" codeSystem="2.16.840.1.113883.6.1"><originalText><reference value="#r1"/></originalText></code>
<statusCode code="completed"/><effectiveTime value="20260105"/><value xsi:type="PQ" value="5.4" unit="mmol/L"/><referenceRange><observationRange><value xsi:type="IVL_PQ"><low value="3.9" unit="mmol/L"/><high value="5.6" unit="mmol/L"/></value></observationRange></referenceRange></observation></component></organizer></entry></section></component></structuredBody></component></ClinicalDocument>"""


def lol(depth):
    return "<!DOCTYPE lolz [<!ENTITY lol0 'lol'>" + "".join(f"<!ENTITY lol{n} '{f'&lol{n - 1};' * 10}'>" for n in range(1, depth)) + f"]><ClinicalDocument>&lol{depth - 1};</ClinicalDocument>"


@pytest.mark.parametrize("attack", [
    lol(10), "<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><ClinicalDocument>&a;</ClinicalDocument>", "<!DOCTYPE x SYSTEM 'http://127.0.0.1:1/x.dtd'><ClinicalDocument/>",
    "<!DOCTYPE x [<!ENTITY % p SYSTEM 'http://127.0.0.1:1/'> %p;]><ClinicalDocument/>", "<a>" * 100_000, "<a>" * 300 + "</a>" * 300, "<ClinicalDocument " + "x='" + "y" * 10_000_000 + "'/", "<!DOCTYPE ClinicalDocument><ClinicalDocument/>",
    "<html><body>hello</body></html>", "", "not xml", "{}", "<ClinicalDocument>&undefined;</ClinicalDocument>",
], ids=lambda a: a[:24])
def test_attacks_are_refused_fast(attack):
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(CcdaError): to_bundle(attack)
    assert time.process_time() - start < 5 and resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000
