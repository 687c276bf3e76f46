"""One event of each kind of test generation, with every field said."""

from mechagym.events import (
    EventBody,
    ProtocolReported,
    TestgenCalibrated,
    TestgenComplete,
    TestgenConfigAccepted,
    TestgenConfigSaved,
    TestgenError,
    TestgenInputs,
    TestgenMatrix,
    TestgenProgress,
    TestgenProposal,
    TestgenReflection,
    TestgenResult,
    TestgenStart,
    TestgenSurvey,
    TestgenTest,
)
from mechagym.events.testgen import CalibrationCount, ProtocolStep
from mechagym.records import Spend, Usage
from mechagym.records.survey import Language, Preview, SeenFile, Survey
from mechagym.records.testgen import (
    Constraint,
    Entity,
    GeneratedTest,
    InputFact,
    Matrix,
    ProhibitedTool,
    Provenance,
    Requirement,
    Share,
    TestMetrics,
    TestTotals,
    Tick,
)

RUN = "tg-20250101-120000-a1b2c3"
SURVEY = Survey(
    backend="memory",
    image="img:1",
    network="public",
    workdir="/app",
    user="root",
    languages=(Language(name="python3", version="3.13.1", packages=("pytest==8.3",)),),
    files=(SeenFile(path="/app/a.csv", size_bytes=12, mode="644"),),
    files_total=1,
    previews=(Preview(path="/app/a.csv", text="a,b\n1,2\n", names=("a", "b")),),
    cpus=2.0,
    memory_mb=2048,
    disk_free_mb=9000,
    lacks=("node",),
)
TEST = GeneratedTest(
    test_id="T014",
    function="test_T014_empty_line_gives_no_row",
    category="boundary",
    role="goal",
    title="an empty line gives no row",
    code="def test_T014_empty_line_gives_no_row():\n    assert open('/app/o').read()\n",
    provenance=Provenance(run_id=RUN, round=2, step=1, model="a:b", prompt_digest="9f2c"),
    requirement_ids=("R3",),
    cells=("E2xC4",),
    input_source="/app/in.csv@9f2c41aa",
    expected_source="computed",
    status="rejected",
    reject_rule="V6",
    reject_reason="passes before any work",
    label="Real",
)
TOTALS = TestTotals(
    tests_total=3,
    tests_valid=2,
    ready=False,
    stopped_by="tokens",
    suite_digest="ab" * 32,
    spend=Spend(usage=Usage(input=10, output=2), billed_nano=5),
    duration_s=1.5,
    metrics=TestMetrics(balance=0.5, by_rule=(Share(name="V6", count=1, total=3),)),
    unready=("C1 has no test",),
)
TESTGEN_EXAMPLES: tuple[EventBody, ...] = (
    TestgenStart(
        run_id=RUN,
        context="benchmark",
        config_digest="cd",
        limits={"tokens": 30_000},
        categories=("existence", "correctness"),
        task_id="t",
    ),
    TestgenSurvey(
        run_id=RUN,
        survey=SURVEY,
        prohibited=(ProhibitedTool(name="R", reason="converted", quote="from R", found=False),),
    ),
    TestgenInputs(
        run_id=RUN,
        facts=(
            InputFact(path="/app/a.csv", sha256="9f", format="csv", shape="1 row", sample="a,b"),
        ),
    ),
    TestgenMatrix(
        run_id=RUN,
        requirements=(Requirement(id="R1", quote="must be sorted", kind="output_format"),),
        matrix=Matrix(
            entities=(Entity(id="E1", name="rows", quote="rows"),),
            constraints=(Constraint(id="C1", name="sorted", quote="sorted"),),
            ticks=(Tick(entity_id="E1", constraint_id="C1", reason="all rows"),),
        ),
        uncovered=("It must end.",),
    ),
    TestgenProgress(run_id=RUN, phase="category", category="boundary", round=1, rounds=3, made=1),
    TestgenTest(run_id=RUN, test=TEST),
    TestgenResult(run_id=RUN, test_id="T014", occasion="untouched", ordinal=1, status="passed"),
    TestgenReflection(
        run_id=RUN, purpose="assessing", text="thin", comprehensiveness=6.5, gaps=("empty input",)
    ),
    TestgenComplete(run_id=RUN, status="limited", totals=TOTALS),
    TestgenError(run_id=RUN, error="ModelError", message="gone"),
    TestgenProposal(
        proposal_id="p1",
        from_digest="a",
        to_digest="b",
        change="update_params",
        changes={"temperature": 0.4},
        clamps=("temperature: 0.7 became 0.4",),
        low=-0.1,
        high=0.2,
        basis="internal",
        accepted=False,
    ),
    TestgenConfigAccepted(digest="b", version="1.0.1", body={"temperature": 0.4}),
    TestgenConfigSaved(digest="b", version="1.0.1", body={"temperature": 0.4}, parent_digest="a"),
    TestgenCalibrated(
        config_digest="b",
        job_id="job-id",
        counts=(CalibrationCount(category="all", metric="false_fail", successes=1, trials=12),),
    ),
    ProtocolReported(
        followed=False,
        steps=(ProtocolStep(name="4 IMPLEMENT", state="missing", evidence=(3, 9)),),
        stubs=12,
    ),
)
