"""Threads that meet FHIR types for the first time at once, as a service's first requests do, each in a process of its own."""
import subprocess
import sys

import pytest

PROGRAM = """
import sys, threading
sys.setswitchinterval(1e-5)
from healthlab.fhir.structure import typed
kinds = ["Patient", "Observation", "Encounter", "Condition", "Procedure", "MedicationRequest", "DiagnosticReport", "DocumentReference"] * 2
together, read = threading.Barrier(len(kinds)), []
def one(kind):
    data = b'{"resourceType":"%s","meta":{"tag":[{"code":"a"}]},"text":{"status":"empty","div":"<div/>"}}' % kind.encode()
    together.wait()
    for _ in range(20):
        try: typed(data)
        except Exception: pass # what a type requires is missing: it is the reading that is tried
    read.append(kind)
threads = [threading.Thread(target=one, args=(k,)) for k in kinds]
for t in threads: t.start()
for t in threads: t.join()
print(len(read))
"""


@pytest.mark.parametrize("attempt", range(4))
def test_threads_may_decode_types_for_the_first_time_together(attempt):
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, "16"), done.stderr[-500:]
