"""FHIR R4 search as its specification tells it: each row is a small world, a search, and who is to be found."""
import pytest

LOINC, UCUM = "http://loinc.org", "http://unitsofmeasure.org"


def quantity(value, unit="g/dL"): return dict(value=value, unit=unit, code=unit, system=UCUM)


def observation(id, code="718-7", value=None, day="2024-01-01", patient="ann", status="final", **more):
    return dict(resourceType="Observation", id=id, status=status, code=dict(coding=[dict(system=LOINC, code=code)]), subject=dict(reference=f"Patient/{patient}"),
                effectiveDateTime=day, **(dict(valueQuantity=value) if value else {}), **more)


@pytest.fixture
def world(http):
    http.add(resourceType="Organization", id="clinic", name="Clinic")
    http.add(resourceType="Patient", id="ann", gender="female", birthDate="1948-02-01", name=[dict(family="Müller", given=["Ann"])], active=True,
             identifier=[dict(system="urn:mrn", value="007")], managingOrganization=dict(reference="Organization/clinic"))
    http.add(resourceType="Patient", id="bob", gender="male", birthDate="1990-07", name=[dict(family="Mullen", given=["Bob"])], identifier=[dict(value="007")])
    http.add(**observation("hb-low", value=quantity(9.8), day="2024-01-01"))
    http.add(**observation("hb-mid", value=quantity(13.1), day="2024-02-10T08:00:00Z"))
    http.add(**observation("hb-liter", value=quantity(140, "g/L"), day="2024-03"))
    http.add(**observation("na", code="2951-2", value=quantity(138, "mmol/L"), patient="bob", day="2023-12-31T23:30:00-02:00", status="amended"))
    http.add(**observation("bp", code="85354-9", patient="bob", day="2024-05-05", component=[
        dict(code=dict(coding=[dict(system=LOINC, code="8480-6")]), valueQuantity=quantity(150, "mm[Hg]")),
        dict(code=dict(coding=[dict(system=LOINC, code="8462-4")]), valueQuantity=quantity(90, "mm[Hg]"))]))
    return http


SEARCHES = [
    # tokens
    ("Observation?code=718-7", "hb-low hb-mid hb-liter"),
    (f"Observation?code={LOINC}|2951-2", "na"),
    ("Observation?code=http://snomed.info/sct|2951-2", ""),
    ("Observation?code=2951-2,85354-9", "na bp"),
    ("Observation?code:not=718-7", "na bp"),
    ("Observation?status=amended", "na"),
    ("Observation?status=http://hl7.org/fhir/observation-status|amended", "na"),
    ("Patient?gender=female&active=true", "ann"),
    ("Patient?identifier=007", "ann bob"),
    ("Patient?identifier=urn:mrn|007", "ann"),
    ("Patient?identifier=|007", "bob"),
    ("Patient?identifier=urn:mrn|", "ann"),
    # strings: beginning, accents and case aside
    ("Patient?name=mull", "ann bob"),
    ("Patient?family=MÜLLER", "ann"),
    ("Patient?family:exact=Müller", "ann"),
    ("Patient?family:exact=müller", ""),
    ("Patient?family:contains=ulle", "ann bob"),
    ("Patient?name=mullen&name=bob", "bob"),
    # dates: a stretch within, or beyond, a stretch; offsets count
    ("Patient?birthdate=1990", "bob"),
    ("Patient?birthdate=lt1950", "ann"),
    ("Observation?date=2024-01-01", "hb-low na"),
    ("Observation?date=ge2024-02&date=lt2024-04", "hb-mid hb-liter"),
    ("Observation?date=gt2024-03-15", "hb-liter bp"),
    ("Observation?date=sa2024-03", "bp"),
    ("Observation?date=eb2024-01-01", ""),
    ("Observation?date=2024-01-01T01:30:00Z", "na"),
    ("Observation?date=ne2024", ""),
    # quantities: units of one dimension compare
    ("Observation?value-quantity=gt13", "hb-mid hb-liter na"),
    (f"Observation?value-quantity=gt13|{UCUM}|g/dL", "hb-mid hb-liter"),
    (f"Observation?value-quantity=lt100|{UCUM}|g/L", "hb-low"),
    (f"Observation?value-quantity=14|{UCUM}|g/dL", "hb-liter"),
    ("Observation?value-quantity=13.1||g/dL", "hb-mid"),
    ("Observation?value-quantity=13", "hb-mid"),
    ("Observation?value-quantity=13.0", ""),
    ("Observation?value-quantity=ap14||g/dL", "hb-mid hb-liter"),
    # composites hold within one piece
    ("Observation?component-code-value-quantity=8480-6$gt140", "bp"),
    ("Observation?component-code-value-quantity=8462-4$gt140", ""),
    ("Observation?code-value-quantity=718-7$lt10", "hb-low"),
    # references and chains
    ("Observation?patient=bob", "na bp"),
    ("Observation?subject=Patient/bob", "na bp"),
    ("Observation?subject:Patient=bob", "na bp"),
    ("Observation?subject=Group/bob", ""),
    ("Observation?patient=http://127.0.0.1:8080/fhir/Patient/bob", "na bp"),
    ("Observation?subject:Patient.gender=male", "na bp"),
    ("Observation?patient.organization.name=clinic", "hb-low hb-mid hb-liter"),
    ("Patient?_has:Observation:patient:code=2951-2", "bob"),
    ("Organization?_has:Patient:organization:_has:Observation:patient:code=718-7", "clinic"),
    # missing, ids, times, words
    ("Observation?value-quantity:missing=true", "bp"),
    ("Patient?organization:missing=false", "ann"),
    ("Patient?_id=ann,nobody", "ann"),
    ("Patient?_lastUpdated=gt2000", "ann bob"),
    ("Patient?_content=müller ann", "ann"),
]


def test_searches_find_what_the_specification_says(world):
    wrong = {search: found for search, expected in SEARCHES if (found := sorted(world.ids(search))) != sorted(expected.split())}
    assert wrong == {}


SORTS = [("date", "hb-low na hb-mid hb-liter bp"), ("-date", "bp hb-liter hb-mid hb-low na"), ("code,-date", "na hb-liter hb-mid hb-low bp"),
                                         ("-value-quantity", "hb-liter na hb-mid hb-low bp"), ("patient,date", "hb-low hb-mid hb-liter na bp"), ("_id", "bp hb-liter hb-low hb-mid na")]


def test_sorts_give_the_order_asked_for(world):
    wrong = {sort: found for sort, order in SORTS if (found := world.ids(f"Observation?_sort={sort}")) != order.split()}
    assert wrong == {}


@pytest.mark.parametrize("sort", ["", "&_sort=date", "&_sort=-code"])
def test_pages_follow_each_other_without_loss_or_repetition(world, sort):
    seen, path = [], f"/fhir/Observation?_count=2{sort}"
    while path:
        page = world.get(path).json
        seen += [e["resource"]["id"] for e in page["entry"]]
        world.add(**observation(f"new{len(seen)}")) # what comes in between belongs to a later search
        path = next((link["url"].removeprefix("http://127.0.0.1:8080") for link in page["link"] if link["relation"] == "next"), None)
    assert sorted(seen) == ["bp", "hb-liter", "hb-low", "hb-mid", "na"]


def test_the_link_to_a_page_hides_what_was_searched_and_is_for_one_caller(world, as_client):
    for n in range(3): world.add(resourceType="Patient", id=f"p{n}", name=[dict(family="Secretname")])
    page = world.ask("POST", "/fhir/Patient/_search", "name=secretname&_count=1", "application/x-www-form-urlencoded").json
    following = next(link["url"] for link in page["link"] if link["relation"] == "next").removeprefix("http://127.0.0.1:8080")
    assert "ecretname" not in following
    assert len(world.get(following).json["entry"]) == 1
    assert as_client("system/*.cruds").get(following).status_code == 400
    assert world.get(following[:-4] + "AAAA").status_code == 400


def test_includes_come_along_once_and_are_marked(world):
    page = world.get("/fhir/Observation?patient=bob&_include=Observation:subject").json
    assert [(e["resource"]["id"], e["search"]["mode"]) for e in page["entry"]] == [("bp", "match"), ("na", "match"), ("bob", "include")] and page["total"] == 2
    page = world.get("/fhir/Observation?code=718-7&_include=Observation:patient&_include:iterate=Patient:organization").json
    assert [e["resource"]["id"] for e in page["entry"] if e["search"]["mode"] == "include"] == ["ann", "clinic"]
    page = world.get("/fhir/Patient?_id=bob&_revinclude=Observation:patient").json
    assert sorted(e["resource"]["id"] for e in page["entry"]) == ["bob", "bp", "na"]


def test_parts_of_resources_are_marked_as_parts(world):
    def one(more): return world.get(f"/fhir/Patient?_id=ann&{more}").json
    kept = one("_elements=birthDate")["entry"][0]["resource"]
    assert set(kept) == {"resourceType", "id", "meta", "birthDate"} and kept["meta"]["tag"][0]["code"] == "SUBSETTED"
    assert "name" in one("_summary=true")["entry"][0]["resource"] and "entry" not in one("_summary=count")
    assert world.get("/fhir/Observation?_summary=count").json["total"] == 5


def test_totals_are_exact_when_asked_for(world):
    assert "total" not in world.get("/fhir/Observation?_count=2").json
    assert world.get("/fhir/Observation?_count=2&_total=accurate").json["total"] == 5


REFUSED = [
    ("Patient?nmae=x", "nmae"), ("Patient?birthdate=yesterday", "birthdate"), ("Observation?value-quantity=many", "value-quantity"), ("Patient?name:soundex=x", "name:soundex"),
    ("Observation?subject.nothing=x", "subject.nothing"), ("Observation?code-value-quantity=718-7", "code-value-quantity"), ("Patient?_count=many", "_count"), ("Patient?_sort=colour", "_sort"),
    ("Patient?_include=Patient:nothing", "_include"), ("Patient?_has:Observation:nothing:code=x", "_has"), ("Patient?_page=abc", "_page"), ("Patient?_summary=some", "_summary"), ("Patient?gender=", "gender"),
    ("Observation?subject:Patient.general-practitioner.organization.partof.partof.partof.name=x", "chain")]


def test_what_cannot_be_searched_is_refused_with_the_place(world):
    for search, where in REFUSED:
        answer = world.get(f"/fhir/{search}")
        assert (answer.status_code, answer.json["issue"][0].get("expression")) == (400, [where]), search


def test_unknown_parameters_are_left_out_only_when_the_client_asks_for_lenience(world):
    assert world.get("/fhir/Patient?nmae=x").status_code == 400
    page = world.get("/fhir/Patient?nmae=x", Prefer="handling=lenient").json
    assert page["total"] == 2 and page["entry"][-1]["search"]["mode"] == "outcome" and "nmae" not in page["link"][0]["url"]


def test_a_search_within_a_patient(world):
    page = world.get("/fhir/Patient/bob/Observation?code=2951-2").json
    assert [e["resource"]["id"] for e in page["entry"]] == ["na"]


def test_an_update_changes_what_is_found(world):
    world.add(**observation("hb-low", code="1-1"))
    assert "hb-low" not in world.ids("Observation?code=718-7") and world.ids("Observation?code=1-1") == ["hb-low"]
    world.delete("/fhir/Observation/hb-low")
    assert world.ids("Observation?code=1-1") == []
