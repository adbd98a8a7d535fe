"""The public HL7 v2 and C-CDA samples, as the conformance suites run them."""
import conformance_ccda
import conformance_hl7v2


def test_every_hl7v2_sample_converts_and_validates(public_data):
    samples, back, *_ = conformance_hl7v2.run()
    assert samples["passed"] >= 200 and samples["failing"] == []
    assert back["failed"] <= 0.1 * (back["passed"] + back["failed"]), back["failing"]


def test_every_well_formed_ccda_document_converts_and_validates(public_data):
    s = conformance_ccda.run()
    assert s["passed"] >= 250 and [f for f in s["failing"] if "not well-formed" not in f[1]] == []
