"""Write docs/parity.md: `make parity`. A test fails when the page is stale, a row is missing, or a row's test does not exist.

A row: id | feature | works, differs or refused | how it differs, or why it is refused | the test that shows it, from tests/.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parent / "parity.md"
STATES = ("works", "differs", "refused")

SECTIONS = {
    "A": "Client, definitions, inputs and outputs",
    "B": "Running work and getting results",
    "C": "Children",
    "D": "Execution policy",
    "E": "Conditions",
    "F": "Durable execution",
    "G": "Events, crons, schedules, webhooks",
    "H": "Observability and control",
    "I": "Testing, tooling, platform",
    "J": "Names that code imports",
}

OUTSIDE = (
    "## From outside",
    "",
    "`tests/outside/programs` are whole programs as they are written for Hatchet: they say `from hatchet_sdk import ...` and bring their own tests. "
    "The suite runs them on `local` with the import changed, deep paths by `headrace.compat`, and nothing else (`tests/outside/test_programs.py`): all pass. "
    "`python tests/outside/check_programs.py PYTHON` imports the same files with the real package, in a Python that has it (last with 1.37.5). "
    "Hatchet's own examples are not among them: neither its wheel nor its source distribution holds any.",
    "",
    "| programs | of |",
    "|---|---|",
    "| `simple`, `dags`, `children`, `failing` | every way to run; parents, on-failure and on-success tasks; fan-out, metadata, the same children after a retry; retries, final failures, timeouts, errors as values |",
    "| `cancelling`, `replaying`, `looking` | cancel and replay, one by one, by ids and by filter; workflows, metrics, expressions |",
    "| `conditions`, `durable`, `events`, `time` | `wait_for`, `skip_if`, `cancel_if`; sleeps, events, children, replay, non-determinism, no eviction; filters and scopes; crons and schedules |",
    "| `limiting`, `batches`, `surroundings` | concurrency, rate limits, idempotency, pauses; batch tasks; lifespans, dependencies, dataclasses, validators on the wire, stubs, logs, streams, mocks |",
    "",
    "What a program has to change beside the import is in the rows below: a static rate limit is put at the top level of a module (D15), a worker is declared there (H18), "
    "`TaskApi` is made of the app (J).",
)

ROWS = """\
A1 | `Hatchet(...)` | differs | no token; `client=`, `dispatcher` and `listener` are refused, as there is no server | sdk/test_definitions.py::test_an_app_makes_no_request_and_needs_no_token
A2 | `ClientConfig` and the environment | differs | `HEADRACE_` names first, then `HATCHET_CLIENT_`; what only a server needs is taken and has no effect | sdk/test_settings.py::test_hatchet_s_names_are_read
A3 | `@hatchet.task` | works |  | sdk/test_definitions.py::test_defaults_are_hatchets
A4 | `hatchet.workflow` | works |  | sdk/test_arguments.py::test_options_of_workflows
A5 | DAG tasks with parents | works |  | core/test_graph.py::test_a_child_is_judged_by_all_its_parents
A6 | `ctx.task_output`, `ctx.was_skipped` | works |  | sdk/test_tasks_alone.py::test_parents_of_a_mock_run
A7 | `Workflow.add_task` | works |  | sdk/test_parity.py::test_a_standalone_task_is_added_to_a_workflow
A8 | `TaskDefaults` | works |  | sdk/test_definitions.py::test_task_defaults_fill_what_was_left_alone
A9 | On-failure task | works |  | engine/test_deliver.py::test_the_on_failure_task_sees_the_errors
A10 | On-success task | works |  | sdk/test_definitions.py::test_the_on_success_task_follows_all_leaves
A11 | Durable tasks | differs | sync functions are refused | durable/test_durable.py::test_a_suspension_is_invisible
A12 | Batch tasks | works |  | sdk/test_batches.py::test_each_run_gets_its_own_output
A13 | Input validators | differs | an input that is not valid fails the task at once: `retries` would see the same input | sdk/test_runs.py::test_bad_input_fails_at_once_with_the_field
A14 | Output types | works |  | sdk/test_tasks_alone.py::test_other_outputs_are_illegal
A15 | Serialisation hooks | works |  | sdk/test_definitions.py::test_validators_tell_the_wire_by_pydantics_info_and_by_its_context
A16 | `Depends` | works |  | sdk/test_tasks_alone.py::test_dependencies_of_every_kind_in_async_code
A17 | Lifespans | works |  | sdk/test_user_code_raises.py::test_a_lifespan_s_context_variable_is_seen_and_reset
A18 | Middleware | differs | Hatchet's Python SDK has none; ours is `hatchet.middleware` | sdk/test_middleware.py::test_hooks_change_inputs_and_outputs_in_their_order
A19 | Namespaces | differs | they stand before rate limit keys, too | sdk/test_namespaces.py::test_limits_and_slots_are_their_own
A20 | Versions and registration | differs | a deployment, a worker process that starts, or the clock registers; a run finishes by the plan it started with | handlers/test_deployment.py::test_it_publishes_and_says_so
A21 | Stubs | works |  | sdk/test_runs.py::test_a_stub_needs_no_code
A22 | Default metadata | works |  | sdk/test_one_door.py::test_defaults_are_the_workflows_whatever_the_way
A23 | Introspection | differs | `wf.id` follows from the name, without a look-up | sdk/test_one_import.py::test_what_a_task_says_of_itself
B1 | `run`, `aio_run` | works |  | sdk/test_runs.py::test_results_come_in_the_type_that_was_declared
B2 | Running without waiting | works |  | sdk/test_runs.py::test_by_reference_from_anywhere
B3 | `run_no_wait` and its relatives | works |  | sdk/test_one_door.py::test_options_of_run_by_place_are_those_of_its_signature
B4 | `run_many` | differs | chunks of 500, in any number | sdk/test_runs.py::test_many_at_once_in_order
B5 | `return_exceptions` | works |  | clients/test_refs.py::test_exceptions_as_values
B6 | Bulk items | works |  | sdk/test_arguments.py::test_options_of_run_are_those_of_an_item
B7 | Trigger options | differs | `parent_id` and `parent_step_run_id` of another run are refused, `child_index` outside of tasks and in durable ones | sdk/test_one_door.py::test_what_an_option_cannot_do_is_refused
B8 | `runs.create` | works |  | clients/test_runs.py::test_create_by_name
B9 | Results by id | works |  | sdk/test_runs.py::test_by_reference_from_anywhere
B10 | Many waits at once | differs | waits poll the table together, 100 runs a read | clients/test_refs.py::test_hundreds_of_waiters_share_their_reads
C1 | Children | works |  | sdk/test_runs.py::test_many_children_of_an_async_parent
C2 | Children over retries | works |  | sdk/test_runs.py::test_children_are_the_same_over_retries
C3 | Metadata of children | works |  | sdk/test_one_door.py::test_reserved_metadata_says_what_started_the_run_and_cannot_be_given
C4 | `DedupeViolationError` | works |  | sdk/test_runs.py::test_a_child_key_names_one_child
C5 | Children of durable tasks | works |  | durable/test_durable.py::test_a_failure_among_children_is_given_in_its_place
D1 | Retries | works |  | engine/test_deliver.py::test_retries
D2 | Backoff | works |  | core/test_values.py::test_backoff_is_hatchets
D3 | `NonRetryableException` | differs | an exception group that holds one is final, too | sdk/test_user_code_raises.py::test_a_group_that_holds_a_final_failure_is_not_retried
D4 | Execution timeout | differs | sync code is interrupted; on a Lambda worker at most 15 minutes less a margin | sdk/test_runs.py::test_execution_timeouts
D5 | Schedule timeout | works |  | engine/test_deliver.py::test_a_task_that_waits_too_long_is_cancelled_by_the_first_look
D6 | Durations | differs | sub-second spans are kept | sdk/test_definitions.py::test_durations_as_strings
D7 | `refresh_timeout` | differs | not past the invocation's own end on Lambda | sdk/test_runs.py::test_the_context
D8 | Cancelling | works |  | sdk/test_one_import.py::test_ctx_cancel_cancels_its_task_alone
D9 | Cancellation inside a task | differs | sync code that does not look ends with its deadline, not with a thread that runs on | engine/test_cancellation.py::test_running_code_is_told_between_beats
D10 | Lost workers | differs | noticed when a lease ends | core/test_transitions.py::test_a_lease_that_is_over_is_taken_over_without_a_retry
D11 | `GROUP_ROUND_ROBIN` | differs | each key has a line of its own | engine/test_gates.py::test_each_value_of_a_key_has_its_own_places
D12 | `CANCEL_IN_PROGRESS` | works |  | engine/test_gates.py::test_cancel_in_progress_lets_the_newest_run
D13 | `CANCEL_NEWEST` | works |  | engine/test_gates.py::test_cancel_newest_cancels_a_run_that_finds_the_places_taken
D14 | Numbers, lists and levels of concurrency | works |  | engine/test_gates.py::test_two_gates_are_passed_in_order_and_held_together
D15 | Static rate limits | differs | a limit put at a module's top level is stored with the deployment; without one the app does not compile | sdk/test_limits.py::test_a_key_whose_limit_is_set_nowhere_is_not_deployed
D16 | Dynamic rate limits | works |  | sdk/test_admission.py::test_a_dynamic_key_is_shared_by_all_tasks_that_name_it
D17 | Windows | differs | they begin at multiples of their length since 1970 | engine/test_windows.py::test_windows_of_any_length_refill_in_full_at_their_beginning
D18 | `hatchet.rate_limits` | works |  | sdk/test_limits.py::test_a_limit_is_put_replaced_and_listed
D19 | Priority | differs | it decides where tasks wait: at slots and limits. Without them Lambda has room for all | engine/test_gates.py::test_priority_then_age_decides_and_a_retry_lines_up_ahead_of_high
D20 | Sticky | differs | to a worker, which is a queue and all that serve it, not to one process | sdk/test_sticky.py::test_the_first_task_s_worker_is_home
D21 | Worker labels | differs | a Lambda worker's labels are those it declares | sdk/test_labels.py::test_only_a_process_changes_its_labels
D22 | Labels of a run | works |  | sdk/test_labels.py::test_the_labels_of_a_run_choose_its_worker
D23 | Slots | differs | over all of a worker's invocations and processes; no cap unless given; `durable_slots` has no effect | engine/test_gates.py::test_slots_cap_a_worker_and_cost_weighs
D24 | `ctx.release_slot` | works |  | sdk/test_admission.py::test_a_slot_is_released_while_the_task_goes_on_and_its_place_at_its_key_is_kept
D25 | Idempotency by time | works |  | sdk/test_runs.py::test_idempotency_by_time
D26 | Idempotency by status | works |  | sdk/test_runs.py::test_idempotency_by_status_is_released_at_the_end
D27 | Idempotency in bulk and by events | works |  | sdk/test_one_door.py::test_of_many_the_colliding_are_named_and_the_others_start
D28 | Pausing | differs | workers that run take up to 10 seconds to notice; a run that has waited out its `queue_ttl` is cancelled within the next minute | sdk/test_admission.py::test_a_paused_workflow_keeps_its_runs_until_it_goes_on
E1 | `SleepCondition` | works |  | engine/test_conditions.py::test_a_sleep_begins_when_the_parents_are_done_and_costs_nothing_while_it_lasts
E2 | `UserEventCondition` | works |  | engine/test_conditions.py::test_an_event_that_came_before_its_parents_were_done_does_not_count
E3 | `ParentCondition` | differs | an expression that gives neither true nor false fails the task | sdk/test_user_code_raises.py::test_a_condition_that_gives_no_answer_fails_at_once
E4 | `or_` groups | works |  | sdk/test_definitions.py::test_conditions_are_on_parents_with_keys_of_their_own
E5 | `wait_for` | differs | one that can no longer hold skips its task | engine/test_conditions.py::test_while_it_waits_there_is_no_row_and_its_run_is_open
E6 | `skip_if` | works |  | core/test_graph.py::test_skip_goes_before_cancel_goes_before_run
E7 | `cancel_if` | works |  | engine/test_conditions.py::test_skip_if_and_cancel_if_race_with_wait_for
F1 | Log and replay | works |  | durable/test_durable_crashes.py::test_any_crash_point
F2 | Durable sleep | differs | one that would outlive its run's retention fails the task at once | durable/test_durable.py::test_a_sleep_of_days_holds_nothing_and_ends_on_time
F3 | `aio_wait_for` | works |  | durable/test_durable.py::test_wait_for_any_of_two_sleeps_says_which_it_was
F4 | `aio_wait_for_event` | works |  | durable/test_durable.py::test_a_wait_for_an_event_is_within_the_namespace_as_a_push_is
F5 | `aio_now` and memos | works |  | durable/test_durable.py::test_a_memo_is_made_once_across_sleeps_and_retries
F6 | Durable children | works |  | durable/test_durable.py::test_many_children_at_once
F7 | Non-determinism | works |  | durable/test_durable.py::test_another_kind_at_replay_fails_at_once
F8 | Eviction | differs | a wait ends its invocation after about a second, unless the policy holds it | durable/test_durable.py::test_a_policy_that_holds_never_gives_up_the_invocation
F9 | Manual restore by REST | differs | `hatchet.runs.restore_task(task)`; `TaskApi` is made of the app | durable/test_restoring.py::test_an_evicted_task_runs_to_its_wait_again_and_goes_on_when_it_comes
F10 | `reset_durable_task` | differs | the run has to be over: cancel it first; nodes and branches are counted from 0 | durable/test_reset.py::test_what_was_before_the_node_is_kept_and_the_rest_is_made_again
F11 | Counters of the context | works |  | durable/test_durable.py::test_many_sleeps_in_a_row_are_remembered
G1 | `event.push` | works |  | engine/test_events.py::test_which_runs_an_event_starts
G2 | `bulk_push` | works |  | engine/test_events.py::test_bulk_push_takes_a_thousand_in_order
G3 | `on_events` with wildcards | works |  | core/test_events.py::test_keys_with_wildcards
G4 | Filters and scopes | works |  | clients/test_events.py::test_filters_are_created_changed_and_deleted_and_events_follow
G5 | Events listed | works |  | clients/test_events.py::test_events_are_listed_newest_first_by_pages_over_days
G6 | Declared crons | differs | time zones beside UTC; the newest tick of the last two minutes is made up | engine/test_crons.py::test_a_clock_that_stood_still_makes_up_the_newest_tick_of_two_minutes
G7 | Crons by call | works |  | engine/test_crons.py::test_created_listed_and_deleted
G8 | Scheduled runs | differs | one whose time has passed starts at once | engine/test_crons.py::test_one_whose_time_has_passed_starts_at_once
G9 | Scheduled runs in bulk | works |  | engine/test_crons.py::test_listed_by_what_is_asked_for_and_changed_in_bulk
G10 | Webhooks | differs | at the URL of the stack's own function | sdk/test_webhooks.py::test_a_signed_request_starts_a_run_and_is_told_of_its_event
H1 | Metadata | works |  | clients/test_runs.py::test_filters
H2 | `runs.list` | works |  | clients/test_runs.py::test_newest_first_over_days_shards_and_workflows
H3 | `runs.get` and details | differs | `task_events` has no SENT_TO_WORKER and ACKNOWLEDGED, as a claim is both (ASSIGNED), and no COULD_NOT_SEND_TO_WORKER; SLOT_RELEASED and TIMEOUT_REFRESHED are there from the attempt's next beat or its end on, RATE_LIMIT_ERROR comes before its FAILED | sdk/test_task_events.py::test_a_longer_time_limit_is_told_of_each_attempt_at_no_request
H4 | Replay | differs | also with another input, or of the failed tasks only; a run that is not over is refused | clients/test_replay.py::test_a_failed_run_is_replayed_and_its_reference_awaited_again
H5 | Bulk cancel and replay | works |  | clients/test_bulk.py::test_failed_runs_are_replayed_by_a_worker_though_the_client_is_gone
H6 | Task logs | works |  | sdk/test_log_capture.py::test_lines_of_the_logger_and_of_those_below_it
H7 | `hatchet.logs` | works |  | clients/test_small_clients.py::test_lines_of_a_task_and_of_a_run
H8 | Streams | differs | through the table: for progress and tokens | clients/test_refs.py::test_a_stream_gives_what_comes_after_and_ends_with_the_run
H9 | `hatchet.metrics` | works |  | clients/test_small_clients.py::test_tasks_are_counted_by_status
H10 | OpenTelemetry | works |  | telemetry/test_otel.py::test_one_trace_leads_from_the_caller_over_the_queue_into_the_task_and_its_child
H11 | Prometheus | differs | names begin with `headrace_`; `headrace metrics --prometheus` for a stack, `/metrics` of a worker process; rates are in CloudWatch | clients/test_small_clients.py::test_open_tasks_as_prometheus_text
H12 | Autoscaling API | differs | `hatchet.metrics.get_task_stats` and `headrace metrics -o json` in place of REST; Lambda scales by itself | cli/test_runs.py::test_open_tasks_are_counted
H13 | `hatchet.workers` | differs | a worker's id is its name; a pause is noticed within 10 seconds | clients/test_small_clients.py::test_workers
H14 | `hatchet.workflows` | differs | what a worker still registers is not deleted: deploy without it first; only the current version is kept | clients/test_small_clients.py::test_a_workflow_that_no_worker_has_any_more_is_deleted_with_what_starts_it
H15 | `hatchet.cel.debug` | works |  | clients/test_small_clients.py::test_an_expression_is_tried
H16 | Facts of the context | differs | `worker_id` is the worker's name; clients and `action` are not on the context | sdk/test_runs.py::test_the_context
H17 | Health of a worker process | works |  | handlers/test_process.py::test_it_works_tells_its_health_and_drains
H18 | Workers | differs | a worker is also what is deployed: a queue and a function; another `loop` is refused | sdk/test_one_import.py::test_a_worker_runs_the_workflows_of_other_modules_apps
I1 | `mock_run` | works |  | sdk/test_tasks_alone.py::test_the_context_of_a_mock_run
I2 | `mcp_tool` | works |  | sdk/test_parity.py::test_a_tool_needs_a_description_a_validator_and_its_sdk
I3 | Command line | differs | `headrace dev`, `trigger`, `runs` and others in place of a server's | infra/test_cli.py::test_dev_runs_an_app_and_another_terminal_triggers_it
I4 | Terminal pages | refused | the dashboard and `headrace runs` show the same | dashboard/test_pages.py::test_every_page_opens
I5 | Dashboard | differs | runs, workflows, crons, schedules, events, limits and dead letters; access is IAM's | dashboard/test_pages.py::test_every_page_opens
I6 | Tenants and roles | refused | access is IAM's: a stack is a tenant | infra/test_roles.py::test_a_reader_changes_nothing_and_a_trigger_lists_nothing
I7 | Alerts | differs | CloudWatch alarms of the stack | infra/test_template.py::test_a_clock_that_is_silent_rings
I8 | REST API | refused | no server; the models that code imports are in `headrace.compat` | clients/test_compat.py::test_every_name_that_code_imports_is_there
I9 | Managed compute | differs | Lambda | infra/test_template.py::test_each_worker_has_a_queue_a_function_and_a_mapping_between_them
I10 | Retention | differs | `retention_days` by the table's expiry | infra/test_template.py::test_the_namespace_and_the_retention_reach_the_functions
I11 | Payload limits | works |  | sdk/test_runs.py::test_an_input_over_the_limit_is_refused_at_the_call
I12 | Kit for coding agents | differs | `llms.txt` with the documentation site; no server for it | docs/test_pages.py::test_the_pages_for_newcomers_and_on_features_have_programs
I13 | Public exceptions | differs | `RunNotFound` and `RunCancelled` are ValueErrors with Hatchet's text | clients/test_refs.py::test_what_hatchet_raises_as_valueerror_can_be_told_apart
I14 | Operators | refused | they push to HTTP targets; Lambda is called by its queue | infra/test_template.py::test_each_worker_has_a_queue_a_function_and_a_mapping_between_them
J | Names at the top and deep paths | differs | deep paths need `headrace.compat.install()`; `TaskApi` is made of the app: `TaskApi(hatchet)`, and has `v1_task_restore` | clients/test_compat.py::test_every_name_that_code_imports_is_there
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A feature of Hatchet's, and what becomes of it. `test`: file::function, from tests/."""

    id: str
    feature: str
    state: str
    note: str
    test: str


def rows() -> Iterator[Row]:
    """Every row, in order."""
    for line in ROWS.splitlines():
        name, feature, state, note, test = (part.strip() for part in line.split(" | "))
        yield Row(id=name, feature=feature, state=state, note=note, test=test)


def page() -> str:
    """The whole page."""
    found = list(rows())
    counts = Counter(row.state for row in found)
    lines = [
        "# Parity with Hatchet, row by row",
        "",
        "Made by `make parity` from docs/parity.py. Each row names a test that shows what it says; a test holds that the test exists.",
        "",
        f"Of {len(found)} rows {counts['works']} work as in Hatchet, {counts['differs']} differ, {counts['refused']} are refused: "
        "by an error where they are defined or called, or because there is no server that they could be of.",
        "",
        *OUTSIDE,
    ]
    for letter, title in SECTIONS.items():
        lines += [
            "",
            f"## {letter}. {title}",
            "",
            "| | feature |  | how, or why not | shown by |",
            "|---|---|---|---|---|",
        ]
        lines += [
            f"| {row.id} | {row.feature} | {row.state} | {row.note} | `{row.test}` |"
            for row in found
            if row.id[0] == letter
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        sys.exit(
            0 if PAGE.exists() and PAGE.read_text() == page() else "docs/parity.md is stale: make parity"
        )
    PAGE.write_text(page())
