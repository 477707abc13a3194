//! The double keeps to what Modal does where a client of ours would not notice that it does not.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use pullwright_modal_double::{Double, Fault};
use pullwright_sandbox::modal::wire::client::generic_result::GenericStatus;
use pullwright_sandbox::modal::wire::client::sandbox_get_command_router_access_request::Target;
use pullwright_sandbox::modal::wire::client::{
    Sandbox, SandboxGetCommandRouterAccessRequest, SandboxGetTaskIdRequest, SandboxListRequest,
    SandboxTagsGetRequest, SandboxTerminateRequest, SandboxWaitRequest,
};
use pullwright_sandbox::modal::wire::task_command_router::task_exec_stdin_write_stream_request::Payload;
use pullwright_sandbox::modal::wire::task_command_router::{
    TaskExecStdinWriteStreamRequest, TaskExecStdinWriteStreamStart, TaskExecStdioReadRequest,
};
use tonic::{Code, Status};

use super::raw::{Raw, RawRouter};
use super::{double, runs_here, until, until_told};
use crate::support::in_time;

const LONG_LIVED: Duration = Duration::from_secs(1200);
const FOR_EVER: Duration = Duration::from_secs(600);

#[tokio::test(flavor = "multi_thread")]
async fn what_was_begun_goes_on_where_its_client_goes_away() {
    let double = double(LONG_LIVED).await;
    let raw = Raw::new(&double).await;
    for call in ["SandboxCreateV2", "TaskExecStart"] {
        let slow = Fault::Slow(Duration::from_millis(300));
        double.break_next(call, [slow]);
    }
    tokio::select! {
        _ = raw.create("key", raw.definition()) => panic!("it waited"),
        () = until(|| count(&double, "SandboxCreateV2") == 1) => {}
    }
    until(|| double.sandboxes() == 1).await;
    let made = in_time(raw.create("key", raw.definition())).await.unwrap();
    assert_eq!(double.sandboxes(), 1);

    let router = RawRouter::of(&made).await;
    tokio::select! {
        _ = router.start("exec", "sleep 1000") => panic!("it waited"),
        () = until(|| count(&double, "TaskExecStart") == 1) => {}
    }
    until_told(async || router.is_there("exec").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_does_the_work_once_and_others_at_the_same_time() {
    let double = double(LONG_LIVED).await;
    let raw = Raw::new(&double).await;
    let create = async |key: &'static str| {
        let made = raw.create(key, raw.definition()).await;
        made.unwrap()
    };
    let (one, again) = in_time(async { tokio::join!(create("one"), create("one")) }).await;
    assert_eq!(one.sandbox_id, again.sandbox_id);
    assert_eq!(double.sandboxes(), 1);

    // One of them is never made.
    double.break_next("SandboxCreateV2", [Fault::Slow(FOR_EVER)]);
    tokio::select! {
        _ = async { tokio::join!(create("two"), create("three"), create("four")) } => panic!("all"),
        () = until(|| double.sandboxes() == 3) => {}
    }

    let router = RawRouter::of(&one).await;
    let start = || router.start("exec", "echo started >> times");
    let (first, second) = in_time(async { tokio::join!(start(), start()) }).await;
    first.and(second).unwrap();
    in_time(router.pieces("exec")).await;
    router.start("look", "cat times").await.unwrap();
    let times = in_time(router.pieces("look")).await.concat();
    assert_eq!(times, b"started\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn input_that_broke_off_half_way_is_taken_up_at_that_byte() {
    const BYTES: usize = 1024 * 1024;
    let double = double(LONG_LIVED).await;
    let router = Raw::new(&double).await.sandbox().await;
    let reads_later = "until [ -e go ]; do sleep 0.02; done; cat";
    router.start("exec", reads_later).await.unwrap();
    let sent: Vec<u8> = (0..BYTES).map(|at| (at * at / 7) as u8).collect();
    let is_begun = async || router.input("exec").await.num_bytes_written > 0;
    tokio::select! {
        _ = router.write("exec", 0, sent.clone(), false) => panic!("it was taken whole"),
        () = until_told(is_begun) => {}
    }
    let again = tokio::spawn({
        let (router, sent) = (router.clone(), sent.clone());
        async move { router.write("exec", 0, sent, true).await }
    });
    router.start("going", "touch go").await.unwrap();
    let came = in_time(router.pieces("exec")).await.concat();
    again.await.unwrap().unwrap();
    assert!(came == sent, "{} bytes of {BYTES}", came.len());
    let stands = in_time(router.input("exec")).await;
    assert_eq!(
        (stands.num_bytes_written, stands.closed),
        (BYTES as u64, true)
    );
    let more = router.write("exec", BYTES + 1, vec![0], false).await;
    assert_eq!(more.unwrap_err().code(), Code::OutOfRange);
}

/// An answer comes only at the end, so whoever lost the stream asks where it stands.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_input_ends_when_somebody_asks_where_it_stands() {
    let double = double(LONG_LIVED).await;
    let router = Raw::new(&double).await.sandbox().await;
    router.start("exec", "cat").await.unwrap();
    let start = Payload::Start(TaskExecStdinWriteStreamStart {
        task_id: router.task_id.clone(),
        exec_id: "exec".to_owned(),
        offset: 0,
    });
    let pieces = [start, Payload::Data(b"half ".to_vec().into())].map(|payload| {
        TaskExecStdinWriteStreamRequest {
            payload: Some(payload),
        }
    });
    let pieces = stream::iter(pieces).chain(stream::pending());
    let mut client = router.client.clone();
    let streaming = client.task_exec_stdin_write_stream(router.signed(pieces));
    let asking = async {
        let first = router.read("exec").await.message().await;
        assert_eq!(*first.unwrap().unwrap().data, *b"half ");
        router.input("exec").await.num_bytes_written
    };
    let (evicted, stands) = in_time(async { tokio::join!(streaming, asking) }).await;
    assert_eq!(stands, 5);
    assert_eq!(evicted.unwrap_err().code(), Code::Aborted);
    let rest = b"and half".to_vec();
    router.write("exec", 5, rest, true).await.unwrap();
    let came = in_time(router.pieces("exec")).await.concat();
    assert_eq!(came, b"half and half");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_no_larger_and_no_longer_than_they_may_be() {
    const MOST_INPUT: usize = 16 * 1024 * 1024;
    const MOST_OUTPUT: usize = 256 * 1024;
    let double = double(LONG_LIVED).await;
    let router = Raw::new(&double).await.sandbox().await;
    router.start("taking", "cat >/dev/null").await.unwrap();
    let write = |offset, size| router.write("taking", offset, vec![0; size], false);
    let refused = in_time(write(0, MOST_INPUT + 1)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    in_time(write(0, MOST_INPUT)).await.unwrap();

    let printing = "head -c 3000000 /dev/zero";
    router.start("printing", printing).await.unwrap();
    let pieces = in_time(router.pieces("printing")).await;
    assert_eq!(pieces.iter().map(Vec::len).sum::<usize>(), 3_000_000);
    assert!(pieces.iter().all(|piece| piece.len() <= MOST_OUTPUT));

    let mut silent = router.signed(TaskExecStdioReadRequest {
        task_id: router.task_id.clone(),
        exec_id: "taking".to_owned(),
        ..TaskExecStdioReadRequest::default()
    });
    silent.set_timeout(Duration::from_millis(50));
    let stream = router.client.clone().task_exec_stdio_read(silent).await;
    let ended = in_time(stream.unwrap().get_mut().message()).await;
    assert_eq!(ended.unwrap_err().code(), Code::DeadlineExceeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_that_cannot_be_is_refused() {
    let double = double(LONG_LIVED).await;
    let raw = Raw::new(&double).await;
    let longest = raw.definition();
    let too_long = Sandbox {
        timeout_secs: 24 * 3600 + 1,
        ..longest.clone()
    };
    let wide_open = Sandbox {
        network_access: None,
        ..longest
    };
    for (key, impossible) in [("long", too_long), ("open", wide_open)] {
        let refused = in_time(raw.create(key, impossible)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    }
    assert_eq!(double.sandboxes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn sandboxes_are_listed_where_they_are() {
    let double = double(LONG_LIVED).await;
    let here = Raw::new(&double).await;
    let there = Raw::of_environment(&double, "staging").await;
    let one = here.create("one", here.definition()).await.unwrap();
    let two = there.create("two", there.definition()).await.unwrap();
    let list = async |environment: &str, app_id: &str| {
        let request = here.signed(SandboxListRequest {
            environment_name: environment.to_owned(),
            app_id: app_id.to_owned(),
            ..SandboxListRequest::default()
        });
        let listed = here.client.clone().sandbox_list_v2(request).await;
        let listed = listed.unwrap().into_inner().sandboxes.into_iter();
        let ids: Vec<String> = listed.map(|one| one.id).collect();
        ids.join(" ")
    };
    assert_eq!(list("", "").await, one.sandbox_id);
    assert_eq!(list("main", "").await, one.sandbox_id);
    assert_eq!(list("staging", "").await, two.sandbox_id);
    let app_of_two = two.metadata.unwrap().app_id;
    assert_eq!(list("", &app_of_two).await, two.sandbox_id);
    assert!(list("main", &app_of_two).await.is_empty());
    assert!(list("elsewhere", "").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_of_another_sandbox_is_refused() {
    let double = double(LONG_LIVED).await;
    let raw = Raw::new(&double).await;
    let mine = raw.create("mine", raw.definition()).await.unwrap();
    let other = raw.create("other", raw.definition()).await.unwrap();
    assert!(!mine.sandbox_token.is_empty() && mine.sandbox_token != other.sandbox_token);
    for (token, expected) in [
        (Some(&other.sandbox_token), Code::PermissionDenied),
        (Some(&mine.sandbox_token), Code::Ok),
    ] {
        let answers = calls_about(&raw, &mine.sandbox_id, token).await;
        assert_eq!(answers, [expected; 5], "{token:?}");
    }
    let answers = calls_about(&raw, &other.sandbox_id, None).await;
    assert_eq!(answers, [Code::Ok; 5]);
    assert_eq!(double.sandboxes(), 0);
}

/// What is answered to calls about a sandbox: what they find of it, and its end.
async fn calls_about(raw: &Raw, id: &str, token: Option<&String>) -> [Code; 5] {
    let id = || id.to_owned();
    let wait = raw.about(
        token,
        SandboxWaitRequest {
            sandbox_id: id(),
            timeout: 0.0,
        },
    );
    let task = raw.about(
        token,
        SandboxGetTaskIdRequest {
            sandbox_id: id(),
            ..SandboxGetTaskIdRequest::default()
        },
    );
    let tags = raw.about(token, SandboxTagsGetRequest { sandbox_id: id() });
    let target = Some(Target::SandboxId(id()));
    let access = raw.about(token, SandboxGetCommandRouterAccessRequest { target });
    let end = raw.about(token, SandboxTerminateRequest { sandbox_id: id() });
    let client = || raw.client.clone();
    [
        code(client().sandbox_wait_v2(wait).await),
        code(client().sandbox_get_task_id_v2(task).await),
        code(client().sandbox_tags_get_v2(tags).await),
        code(client().sandbox_get_command_router_access(access).await),
        code(client().sandbox_terminate_v2(end).await),
    ]
}

fn code<A>(answer: Result<A, Status>) -> Code {
    answer.err().map_or(Code::Ok, |status| status.code())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_ends_in_the_way_that_is_wanted_and_has_no_router_then() {
    let double = double(LONG_LIVED).await;
    let raw = Raw::new(&double).await;
    let made = raw.create("key", raw.definition()).await.unwrap();
    double.lose_sandboxes(GenericStatus::KernelOomKill).await;
    let request = raw.signed(SandboxWaitRequest {
        sandbox_id: made.sandbox_id.clone(),
        timeout: 10.0,
    });
    let ended = in_time(raw.client.clone().sandbox_wait_v2(request)).await;
    let result = ended.unwrap().into_inner().result.unwrap();
    assert_eq!(result.status(), GenericStatus::KernelOomKill);
    let request = raw.signed(SandboxGetCommandRouterAccessRequest {
        target: Some(Target::SandboxId(made.sandbox_id)),
    });
    let mut client = raw.client.clone();
    let refused = client.sandbox_get_command_router_access(request).await;
    assert_eq!(refused.unwrap_err().code(), Code::FailedPrecondition);
}

/// Even while a client is connected, and waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_double_that_is_dropped_ends_its_sandboxes() {
    let double = double(LONG_LIVED).await;
    let raw = Raw::new(&double).await;
    let (busy, mark) = (raw.sandbox().await, uuid::Uuid::new_v4().to_string());
    let script = format!("sleep 1000; echo {mark}");
    busy.start("exec", &script).await.unwrap();
    until(|| runs_here(&mark)).await;
    let waiting = tokio::spawn(async move { busy.pieces("exec").await });
    until(|| count(&double, "TaskExecStdioRead") == 1).await;
    drop(double);
    until(|| !runs_here(&mark)).await;
    // However it hears of that.
    let _ = in_time(waiting).await;
}

fn count(double: &Double, name: &str) -> usize {
    let calls = double.calls();
    calls.iter().filter(|call| call.name == name).count()
}
