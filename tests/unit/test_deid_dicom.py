"""DICOM objects by PS3.15's basic profile: headers, private attributes, UIDs, dates; burnt-in text blanked where a mask is declared and held where none is."""
import io
import json
from importlib.resources import files

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RLELossless

from healthlab.core.errors import InputError
from healthlab.deid.carrier import People
from healthlab.deid.dicom import deidentify_object
from healthlab.deid.policy import load_policy
from healthlab.deid.text import date_offset, number_surrogate

KEY = b"k" * 32
PERSON = {"resourceType": "Patient", "id": "p-1", "identifier": [{"value": "MRN-7740913"}], "name": [{"family": "Quillfeather", "given": ["Zenobia"]}]}


def image(compressed=False, **more):
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID, ds.file_meta.SourceApplicationEntityTitle = ExplicitVRLittleEndian, "MERCYPACS"
    given = dict(SOPClassUID=CTImageStorage, SOPInstanceUID="1.2.3.4.1", StudyInstanceUID="1.2.3.4.5", SeriesInstanceUID="1.2.3.4.6", Modality="CT", PatientName="Quillfeather^Zenobia", PatientID="MRN-7740913", PatientBirthDate="19610517", PatientSex="F", PatientAge="093Y", StudyDate="20240105", StudyTime="101500.25",
        AcquisitionDateTime="20240106101500.5", StudyDescription="CT chest, Mrs. Quillfeather", InstitutionName="Mercy", ReferringPhysicianName="Holbrook^Ann", StationName="MERCYCT1", DeviceSerialNumber="SN-99120", OperatorsName="Holbrook^Ann", ImageComments="call 617-555-0188", PatientAddress="48 Larkspur Hollow", SliceThickness="1.25", KVP="120",
        ImageType=["ORIGINAL", "PRIMARY", "AXIAL"], Rows=8, Columns=10, SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2", BitsAllocated=8, BitsStored=8, HighBit=7, PixelRepresentation=0, PixelData=np.full((8, 10), 200, np.uint8).tobytes())
    for k, v in {**given, **more}.items(): setattr(ds, k, v)
    item = Dataset()
    item.ReferencedSOPInstanceUID, item.PatientName, item.CodeMeaning = "1.2.3.4.1", "Quillfeather^Zenobia", "Chest"
    ds.ReferencedImageSequence, ds.OtherPatientIDsSequence = Sequence([item]), Sequence([item])
    ds.private_block(0x0011, "ACME", create=True).add_new(1, "LO", "Zenobia")
    ds.add_new(0x60000040, "CS", "G")
    ds.add_new(0x60004000, "LT", "Zenobia")
    if compressed: ds.compress(RLELossless)
    out = io.BytesIO()
    ds.save_as(out, enforce_file_format=True)
    return out.getvalue()


def made(data=None, **how):
    out = deidentify_object(data or image(), key=KEY, people=People.of([PERSON]), **how).data
    return pydicom.dcmread(io.BytesIO(out)), out


def own(tmp_path, *masks):
    d = json.loads((files("healthlab.deid") / "policies/safe-harbor.json").read_text())
    (tmp_path / "own.json").write_text(json.dumps(d | {"dicom_masks": list(masks)}))
    return load_policy(str(tmp_path / "own.json"))


def test_nothing_of_anybody_is_left():
    ds, out = made()
    assert not [w for w in (b"uillfeather", b"Zenobia", b"7740913", b"19610517", b"20240105", b"20240106", b"ercy", b"MERCY", b"Holbrook", b"0188", b"Larkspur", b"99120", b"1.2.3.4.", b"ACME", b"093Y") if w in out]
    assert not any(e.tag.is_private or e.tag.group >> 8 == 0x60 for e in ds.iterall()) and "OtherPatientIDsSequence" not in ds


def test_the_image_and_what_describes_it_stay():
    ds, _ = made()
    assert ds.pixel_array.tolist() == [[200] * 10] * 8 and ds.ImageType == ["ORIGINAL", "PRIMARY", "AXIAL"] and (ds.SliceThickness, ds.KVP, ds.Modality, ds.PatientSex, ds.PatientAge) == (1.25, 120, "CT", "F", "090Y")
    assert ds.StudyDescription.startswith("CT chest, Mrs. ") and ds.PatientIdentityRemoved == "YES" and [x.CodeValue for x in ds.DeidentificationMethodCodeSequence] == ["113100", "113105", "113107", "113108"]


def test_numbers_and_dates_are_those_of_the_fhir_record():
    from datetime import date, timedelta
    ds, _ = made()
    moved = f"{date(2024, 1, 5) + timedelta(days=date_offset(KEY, 'p-1')):%Y%m%d}"
    assert ds.PatientID == number_surrogate(KEY, "p-1", "MRN-7740913") and ds.StudyDate == moved and str(ds.StudyTime) == "101500.25"
    assert str(ds.AcquisitionDateTime)[8:] == "101500.5"


def test_uids_still_refer_to_each_other():
    a, _ = made()
    b, _ = made(image(SOPInstanceUID="1.2.3.4.2"))
    assert a.StudyInstanceUID == b.StudyInstanceUID and a.SOPInstanceUID != b.SOPInstanceUID and a.SOPInstanceUID == b.ReferencedImageSequence[0].ReferencedSOPInstanceUID == a.file_meta.MediaStorageSOPInstanceUID
    assert a.SOPClassUID == CTImageStorage and all(u.startswith("2.25.") and len(u) <= 64 for u in (a.StudyInstanceUID, a.SOPInstanceUID))


@pytest.mark.parametrize("more", [dict(Modality="US"), dict(BurnedInAnnotation="YES"), dict(Modality="XC"), dict(Modality="OP")])
def test_what_may_hold_burnt_in_text_is_held(more):
    with pytest.raises(InputError) as e: made(image(**more))
    assert "mask" in e.value.what and "Quillfeather" not in str(e.value)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind,dark", [("MONOCHROME2", 0), ("MONOCHROME1", 255)])
def test_a_declared_mask_is_blanked_and_the_rest_stays(tmp_path, compressed, kind, dark):
    policy = own(tmp_path, {"when": {"Modality": "US", "StationName": "other"}, "rectangles": [[0, 0, 10, 8]]}, {"when": {"Modality": "US"}, "rectangles": [[2, 1, 3, 2], [8, 6, 99, 99]]})
    ds, _ = made(image(compressed, Modality="US", PhotometricInterpretation=kind), policy=policy)
    want = np.full((8, 10), 200)
    want[1:3, 2:5] = dark
    want[6:, 8:] = dark
    assert ds.pixel_array.tolist() == want.tolist() and ds.BurnedInAnnotation == "NO" and "113101" in [x.CodeValue for x in ds.DeidentificationMethodCodeSequence]


def test_every_frame_is_blanked(tmp_path):
    policy = own(tmp_path, {"when": {"Modality": "US"}, "rectangles": [[0, 0, 10, 1]]})
    ds, _ = made(image(Modality="US", NumberOfFrames=3, SamplesPerPixel=3, PlanarConfiguration=0, PhotometricInterpretation="RGB", PixelData=np.full((3, 8, 10, 3), 9, np.uint8).tobytes()), policy=policy)
    assert ds.pixel_array.shape == (3, 8, 10, 3) and not ds.pixel_array[:, 0].any() and (ds.pixel_array[:, 1:] == 9).all()


@pytest.mark.parametrize("masks", [[{"rectangles": []}], [{"when": {"Modality": "US"}}], [{"when": {"Modality": "US"}, "rectangles": [[1, 2, 3]]}]])
def test_a_mask_that_says_nothing_is_refused(tmp_path, masks):
    with pytest.raises(InputError): own(tmp_path, *masks)


@pytest.mark.parametrize("data", [b"", b"Zenobia" * 40, image()[:600], image(PixelData=b"\0")])
def test_what_cannot_be_read_is_held(data):
    try: ds, out = made(data)
    except InputError as e: assert "Zenobia" not in str(e)
    else: assert b"Zenobia" not in out and b"uillfeather" not in out


def test_dates_stay_in_a_limited_data_set():
    ds, out = made(policy=load_policy("limited-data-set"))
    assert ds.StudyDate == "20240105" and b"uillfeather" not in out and ds.LongitudinalTemporalInformationModified == "UNMODIFIED"


def test_of_people_over_89_only_that_they_are():
    from datetime import date
    ds, out = made(image(PatientBirthDate="19200517"), today=date(2026, 1, 1))
    assert ds.PatientBirthDate == "19360101" and b"19200517" not in out
