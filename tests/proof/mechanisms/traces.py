"""Traces, and that nothing waits for them."""

from tests.proof.mechanisms.removal import Edit, Removal

WHOLE = "tests/proof/end_to_end/test_traces.py"
SPANS = "tests/outbox/watched/test_traces.py"

REMOVALS = (
    Removal(
        "what is stored is the place of the request's span",
        (Edit("api/http/headers.py", "if spans is not None and (place", "if spans is None and (place"),),
        (f"{WHOLE}::test_every_hop_of_a_post_is_in_the_trace_of_its_caller_below_the_one_before",),
    ),
    Removal(
        "a record has the place of its publication",
        (Edit("outbox/relay/in_flight.py", "return spans.place_of(span)", "return None"),),
        (f"{WHOLE}::test_a_send_by_sql_with_a_traceparent_goes_on_in_its_trace",),
    ),
    Removal(
        "an attempt is below its claim",
        (Edit("pipeline/work/claiming.py", "_below(one, place) if place else one", "one"),),
        (f"{WHOLE}::test_a_record_of_another_producer_goes_on_in_its_trace",),
    ),
    Removal(
        "what is requested again is a root",
        (Edit("outbox/watched/spans.py", "is_root=request > 1", "is_root=False"),),
        (f"{WHOLE}::test_a_retry_is_a_root_that_links_to_the_request",),
    ),
    Removal(
        "a root that links is sampled as what it links to",
        (Edit("outbox/watched/exporting.py", "        if links:\n", "        if False:\n"),),
        (f"{SPANS}::test_a_root_that_links_to_what_was_sampled_is_sampled_whatever_the_share",),
    ),
    Removal(
        "what is not sampled has no spans",
        (
            Edit("outbox/watched/spans.py", " and traceparent[LAST : LAST + 1] in _ODD", ""),
            Edit("outbox/watched/exporting.py", "return ParentBased(AsLinked(root)) if", "return AsLinked(root) if"),
        ),
        (f"{WHOLE}::test_what_its_caller_does_not_sample_has_no_spans_and_goes_on_as_it_came",),
    ),
    Removal(
        "the end of a process waits two seconds for its last spans",
        (Edit("outbox/watched/traces.py", "last.join(FLUSH)", "last.join()"),),
        (f"{WHOLE}::test_a_collector_that_takes_nothing_stops_nothing_and_delays_no_end",),
    ),
    Removal(
        "a process exports its last spans",
        (Edit("outbox/watched/traces.py", "last.start()\n        last.join(FLUSH)", "pass"),),
        (f"{WHOLE}::test_what_is_left_is_exported_when_a_process_is_told_to_stop",),
    ),
    Removal(
        "OpenTelemetry is imported where traces are on",
        (Edit("outbox/watched/traces.py", "    if not asked.is_on:\n        return\n", ""),),
        ("tests/test_imports.py::test_without_traces_no_process_imports_anything_of_opentelemetry",),
    ),
    Removal(
        "a refusal is told by its code",
        (
            Edit(
                "outbox/relay/in_flight.py",
                'spans.published(span, "refused_by_kafka" if place in passed_by else None)',
                "spans.published(span, dict((row[:2], why) for row, why in self.refused).get(place))",
            ),
        ),
        (f"{SPANS}::test_a_page_ends_its_spans_and_says_what_was_refused",),
    ),
)
