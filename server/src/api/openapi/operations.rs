//! The table of operations, in the order of the router.

use super::operation::{Answer, Content, Operation};
use crate::metrics;

const STREAM_HEADERS: &[&str] = &["Cache-Control", "X-Accel-Buffering"];
const STARTED_HEADERS: &[&str] = &["X-Run-Id", "Location"];

const NOTHING: Operation = Operation {
    method: "get",
    path: "",
    id: "",
    summary: "",
    description: "",
    is_open: false,
    parameters: &[],
    body: None,
    answers: &[],
    refusals: &[],
};

/// What a stream that was seen to its end answers.
const SEEN: Answer = Answer {
    status: 204,
    description: "The run has ended and nothing follows: an event source stops coming back.",
    headers: &[],
    content: &[],
};

const fn json(description: &'static str, content: &'static [Content]) -> Answer {
    Answer {
        status: 200,
        description,
        headers: &[],
        content,
    }
}

pub(super) const ALL: &[Operation] = &[
    Operation {
        path: "/healthz",
        id: "health",
        summary: "Whether the server is there",
        is_open: true,
        answers: &[json("It is.", &[Content::Json("Health")])],
        ..NOTHING
    },
    Operation {
        path: "/readyz",
        id: "readiness",
        summary: "Whether the store answers and new runs are taken",
        is_open: true,
        answers: &[json("Both.", &[Content::Json("Health")])],
        refusals: &[503],
        ..NOTHING
    },
    Operation {
        path: "/openapi.json",
        id: "openapi",
        summary: "This document",
        is_open: true,
        answers: &[json("The document.", &[Content::Json("Document")])],
        ..NOTHING
    },
    Operation {
        method: "post",
        path: "/webhooks/github",
        id: "takeGithubDelivery",
        summary: "Take a delivery of a GitHub webhook",
        description: "Its signature is its key. What it asks for is done afterwards, once, however often it \
                      comes; what asks for nothing is taken, too.",
        is_open: true,
        parameters: &["githubEvent", "githubDelivery", "githubSignature"],
        body: Some("GithubDelivery"),
        answers: &[Answer {
            status: 202,
            ..json("It is taken.", &[Content::Json("DeliveryTaken")])
        }],
        refusals: &[401, 404, 408, 413, 415, 429, 503],
    },
    Operation {
        method: "post",
        path: "/code",
        id: "code",
        summary: "Start a run and stream its frames",
        description: "With an `Idempotency-Key`, a retry joins the run that the first request \
                      started. `Last-Event-ID` needs that key: it says where to go on.",
        parameters: &[
            "deltas",
            "idempotencyKey",
            "lastEventId",
            "forgeToken",
            "traceparent",
        ],
        body: Some("NewRun"),
        answers: &[Answer {
            status: 200,
            description: "The run's frames, from the first or after the one named, to its end.",
            headers: &["X-Run-Id", "Location", "Cache-Control", "X-Accel-Buffering"],
            content: &[Content::EventStream("Frame")],
        }],
        refusals: &[408, 410, 413, 415, 422],
        ..NOTHING
    },
    Operation {
        path: "/v1/runs",
        id: "listRuns",
        summary: "The runs, newest first",
        description: "Those of the caller's key; all of them for administrators.",
        parameters: &["runsLimit", "after", "outcome", "repository"],
        answers: &[Answer {
            headers: &["Link"],
            ..json("A page of them.", &[Content::Json("RunPage")])
        }],
        ..NOTHING
    },
    Operation {
        method: "post",
        path: "/v1/runs",
        id: "startRun",
        summary: "Start a run and answer at once",
        description: "With an `Idempotency-Key`, a retry joins the run that the first request \
                      started.",
        parameters: &["idempotencyKey", "forgeToken", "traceparent"],
        body: Some("NewRun"),
        answers: &[Answer {
            status: 202,
            description: "The run is started, or was.",
            headers: STARTED_HEADERS,
            content: &[Content::Json("RunAccepted")],
        }],
        refusals: &[408, 413, 415, 422],
        ..NOTHING
    },
    Operation {
        path: "/v1/runs/{id}",
        id: "getRun",
        summary: "What is known of a run",
        parameters: &["id"],
        answers: &[json("The run.", &[Content::Json("RunRecord")])],
        refusals: &[404],
        ..NOTHING
    },
    Operation {
        path: "/v1/runs/{id}/events",
        id: "getEvents",
        summary: "A run's typed events, as a stream or page by page",
        description: "A stream, unless JSON is asked for by `Accept: application/json` or by \
                      `limit`; a page is there at once, also while the run goes on.",
        parameters: &["id", "from", "eventsLimit", "lastEventId"],
        answers: &[
            Answer {
                status: 200,
                description: "The events from the one named, to the run's end or the page's.",
                headers: &["Link", "Cache-Control", "X-Accel-Buffering"],
                content: &[
                    Content::EventStream("LoggedEvent"),
                    Content::Json("EventPage"),
                ],
            },
            SEEN,
        ],
        refusals: &[404, 410],
        ..NOTHING
    },
    Operation {
        path: "/v1/runs/{id}/stream",
        id: "getStream",
        summary: "A run's frames, live or later",
        description: "The same frames as those of `POST /code`.",
        parameters: &["id", "from", "deltas", "lastEventId"],
        answers: &[
            Answer {
                headers: STREAM_HEADERS,
                ..json(
                    "The frames from the one named, to the run's end.",
                    &[Content::EventStream("Frame")],
                )
            },
            SEEN,
        ],
        refusals: &[404, 410],
        ..NOTHING
    },
    Operation {
        path: "/v1/runs/{id}/patch",
        id: "getPatch",
        summary: "A run's change as a patch",
        parameters: &["id"],
        answers: &[Answer {
            headers: &["Content-Disposition"],
            ..json("The patch.", &[Content::Text("text/x-diff")])
        }],
        refusals: &[404, 410],
        ..NOTHING
    },
    Operation {
        method: "post",
        path: "/v1/runs/{id}/cancel",
        id: "cancelRun",
        summary: "Ask a run to end; its patch is kept",
        parameters: &["id"],
        answers: &[Answer {
            status: 202,
            ..json("It is asked.", &[Content::Json("CancelAccepted")])
        }],
        refusals: &[404, 409],
        ..NOTHING
    },
    Operation {
        method: "post",
        path: "/v1/runs/{id}/messages",
        id: "sayToRun",
        summary: "Say something to the model that works on a run, or have an ended one gone on with",
        description: "A model at work hears it before its next turn, and goes on where it had just \
                      finished; what is said while its change is published, the next run of the line \
                      hears. A run that has ended is followed by another one, which goes on with its \
                      change and its conversation; what is said to a run that is followed goes to the \
                      last that follows it. With an `Idempotency-Key`, a retry says it once.",
        parameters: &["id", "idempotencyKey", "forgeToken", "traceparent"],
        body: Some("SaidToRun"),
        answers: &[Answer {
            status: 202,
            headers: STARTED_HEADERS,
            ..json(
                "It is kept, or the run is started.",
                &[Content::Json("MessageAccepted")],
            )
        }],
        refusals: &[404, 408, 409, 410, 413, 415, 422],
        ..NOTHING
    },
    Operation {
        path: "/v1/audit",
        id: "listAudit",
        summary: "Who did what when, newest first",
        description: "For administrators.",
        parameters: &["auditLimit", "after"],
        answers: &[Answer {
            headers: &["Link"],
            ..json("A page of entries.", &[Content::Json("AuditPage")])
        }],
        ..NOTHING
    },
    Operation {
        path: "/v1/version",
        id: "version",
        summary: "What runs here",
        answers: &[json("Its name and version.", &[Content::Json("Version")])],
        ..NOTHING
    },
    Operation {
        path: "/metrics",
        id: "metrics",
        summary: "What is counted, in the text format of Prometheus",
        description: "For administrators.",
        answers: &[json("The counts.", &[Content::Text(metrics::CONTENT_TYPE)])],
        ..NOTHING
    },
];
