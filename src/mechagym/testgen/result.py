"""What a run came to: the frozen suite, its measures, and the event that says so."""

from typing import Literal

from mechagym.events import TestgenComplete
from mechagym.records.testgen import StoppedBy, TestMetrics, TestTotals
from mechagym.testgen import metrics
from mechagym.testgen.readiness import unready
from mechagym.testgen.rounds import Run
from mechagym.testgen.suite import freeze
from mechagym.testgen.types import TestGenResult, digest_of

_FAILED: frozenset[StoppedBy] = frozenset({"model_error", "sandbox_error"})
_WHOLE: frozenset[StoppedBy] = frozenset({"complete", "target", "tests", "rounds"})


def conclude(run: Run, by: StoppedBy) -> TestGenResult:
    """Freeze the suite, measure it and tell."""
    given = run.given
    reasons = unready(
        run.tests,
        run.analysis.matrix,
        given.input_facts,
        quota=run.quota,
        workdir=run.bench.box.info.workdir,
    )
    suite = freeze(
        run.tests,
        runner=run.bench.ground.runner,
        survey_digest=digest_of(given.survey) if given.survey else None,
        config_digest=digest_of(given.config),
        ready=not reasons,
    )
    measured = measure(run)
    totals = TestTotals(
        tests_total=len(run.tests),
        tests_valid=run.valid,
        ready=not reasons,
        stopped_by=by,
        suite_digest=suite.digest,
        spend=run.meter.settled,
        duration_s=run.meter.used("seconds"),
        rounds=run.rounds,
        refinements=run.refinements,
        score=metrics.score(
            measured.comprehensiveness,
            measured.balance,
            measured.anti_cheat,
            measured.token_efficiency,
        ),
        metrics=measured,
        unready=reasons,
        notes=tuple(run.notes),
    )
    run.emit(TestgenComplete(run_id=run.run_id, status=_status(by), totals=totals))
    return TestGenResult(
        run_id=run.run_id,
        suite=suite,
        requirements=run.analysis.requirements,
        matrix=run.analysis.matrix,
        prohibited=run.prohibited,
        tests=run.tests,
        totals=totals,
    )


def _status(by: StoppedBy) -> Literal["complete", "limited", "failed"]:
    if by in _FAILED:
        return "failed"
    return "complete" if by in _WHOLE else "limited"


def measure(run: Run) -> TestMetrics:
    """All that can be measured before there is a solution."""
    tests, survey = run.tests, run.given.survey
    surveyed = survey is not None
    names = [name for preview in survey.previews for name in preview.names] if survey else []
    by_category = metrics.category_shares(tests, run.quota.categories)
    by_kind = metrics.requirement_shares(run.analysis.requirements, tests)
    rounds = [run.rounds_of[category] for category in run.quota.categories]
    cost = run.cost_usd
    return TestMetrics(
        comprehensiveness=run.comprehensiveness,
        balance=metrics.balance([share.count for share in by_category]),
        anti_cheat=metrics.anti_cheat_coverage(run.prohibited, tests, surveyed=surveyed),
        token_efficiency=metrics.token_efficiency(
            run.comprehensiveness, run.meter.settled.usage.tokens
        ),
        parameter_discovery=metrics.parameter_discovery(names, tests, surveyed=surveyed),
        reflection_effectiveness=metrics.reflection_effectiveness(rounds, run.refinements),
        requirement_coverage=metrics.total_of(by_kind),
        cell_coverage=metrics.cell_share(run.analysis.matrix, tests).rate,
        validity_rate=metrics.total_of(by_category),
        usd_per_valid_test=cost / run.valid if cost is not None and run.valid else None,
        by_kind=by_kind,
        by_category=by_category,
        by_rule=metrics.rule_shares(tests),
    )
