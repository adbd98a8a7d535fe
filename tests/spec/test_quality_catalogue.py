"The catalogue covers what it promises to cover, and every check it lists can be evaluated."
from healthlab.quality import checks
from healthlab.quality.catalogue import CATEGORIES
from healthlab.quality.measurements import _OF_MEASUREMENTS
from healthlab.quality.rules import RULES
from healthlab.core.errors import InputError

import pytest

DQD = """measurePersonCompleteness measureConditionEraCompleteness measureObservationPeriodOverlap cdmTable cdmField isRequired cdmDatatype isPrimaryKey isForeignKey fkDomain fkClass
isStandardValidConcept measureValueCompleteness standardConceptRecordCompleteness sourceConceptRecordCompleteness sourceValueCompleteness plausibleValueLow plausibleValueHigh plausibleTemporalAfter
plausibleDuringLife withinVisitDates plausibleAfterBirth plausibleBeforeDeath plausibleStartBeforeEnd plausibleGender plausibleGenderUseDescendants plausibleUnitConceptIds""".split()
WHOLE_LAKE = {"same_patient", "reference_absent_type", "reference_conditional", "life_covers", "visit_covers", "gender_fits", "person_coverage", "overlap", "drift", "drift_presence", "visit_link"}


def test_all_27_check_types_of_the_data_quality_dashboard_have_a_counterpart():
    assert len(DQD) == 27 and {n for c in checks() for n in c.dqd} == set(DQD)

def test_kahns_three_categories(): assert {c.category for c in checks()} == set(CATEGORIES)

def test_every_kind_is_evaluated_somewhere():
    for c in checks(): assert c.kind in RULES or c.name in _OF_MEASUREMENTS or c.kind in WHOLE_LAKE, c.name

def test_every_check_says_where_it_comes_from(): assert all(c.source and c.description for c in checks())

def test_a_site_adds_and_replaces_checks(tmp_path):
    f = tmp_path / "site.csv"
    f.write_text("name,category,context,dqd,resource,path,kind,params,threshold,severity,source,description\n"
                 "value-range,plausibility,atemporal,,Observation,value,value_range,,0.5,warning,site,looser\nsite-rule,completeness,value,,Patient,telecom,required,,,error,site,telecom is present\n")
    mine = {c.name: c for c in checks(f)}
    assert mine["value-range"].threshold == 0.5 and mine["site-rule"].kind == "required" and len(mine) == len(checks()) + 1

@pytest.mark.parametrize("line", ["x,nonsense,value,,Patient,telecom,required,,,error,s,d", "x,completeness,value,,Patient,telecom,required,{broken,,error,s,d", ",completeness,value,,Patient,telecom,required,,,error,s,d"])
def test_a_check_that_cannot_be_read_is_an_error_with_its_line(tmp_path, line):
    f = tmp_path / "site.csv"
    f.write_text("name,category,context,dqd,resource,path,kind,params,threshold,severity,source,description\n" + line + "\n")
    with pytest.raises(InputError, match="line 2"): checks(f)
