//! Frames come back as they went, and noise is no frame.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use pullwright_sandbox::spawner::wire::{
    Channel, Entry, EntryKind, Exit, Frame, HEADER_BYTES, Hello, MAX_BODY_BYTES, Open, Ready,
    Spawn, WireError, body_len,
};

fn channel() -> impl Strategy<Value = Channel> {
    prop_oneof![
        Just(Channel::Stdin),
        Just(Channel::Stdout),
        Just(Channel::Stderr)
    ]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..300)
}

fn entry() -> impl Strategy<Value = Frame> {
    let kind = prop_oneof![
        Just(EntryKind::Folder),
        (any::<u32>(), any::<u64>()).prop_map(|(mode, size)| EntryKind::File { mode, size }),
        bytes().prop_map(|target| EntryKind::Link { target }),
    ];
    (bytes(), kind).prop_map(|(path, kind)| Frame::Entry(Entry { path, kind }))
}

fn spawn() -> impl Strategy<Value = Frame> {
    let env = btree_map(any::<String>(), any::<String>(), 0..4);
    let words = vec(any::<String>(), 0..5);
    (any::<u32>(), words, env, any::<Option<String>>()).prop_map(|(id, argv, env, cwd)| {
        Frame::Spawn {
            id,
            spawn: Spawn { argv, env, cwd },
        }
    })
}

fn frame() -> impl Strategy<Value = Frame> {
    let exit = prop_oneof![
        any::<i32>().prop_map(Exit::Code),
        any::<i32>().prop_map(Exit::Signal)
    ];
    prop_oneof![
        (any::<u32>(), any::<String>())
            .prop_map(|(version, tool_host)| Frame::Hello(Hello { version, tool_host })),
        (any::<String>(), any::<bool>())
            .prop_map(|(run, upload)| Frame::Open(Open { run, upload })),
        any::<String>().prop_map(|workspace| Frame::Ready(Ready { workspace })),
        any::<String>().prop_map(|why| Frame::Failed { why }),
        entry(),
        spawn(),
        bytes().prop_map(Frame::Chunk),
        any::<u32>().prop_map(|id| Frame::Started { id }),
        any::<u32>().prop_map(|id| Frame::Kill { id }),
        (any::<u32>(), any::<String>()).prop_map(|(id, why)| Frame::Refused { id, why }),
        (any::<u32>(), channel(), bytes()).prop_map(|(id, channel, bytes)| Frame::Data {
            id,
            channel,
            bytes
        }),
        (any::<u32>(), channel(), any::<u32>()).prop_map(|(id, channel, bytes)| Frame::Credit {
            id,
            channel,
            bytes
        }),
        (any::<u32>(), channel()).prop_map(|(id, channel)| Frame::End { id, channel }),
        (any::<u32>(), channel()).prop_map(|(id, channel)| Frame::Stop { id, channel }),
        (any::<u32>(), exit).prop_map(|(id, exit)| Frame::Exit { id, exit }),
        Just(Frame::Uploaded),
        Just(Frame::Ping),
        Just(Frame::Pong),
        Just(Frame::Bye),
    ]
}

proptest! {
    #[test]
    fn a_frame_comes_back_as_it_went(frame in frame()) {
        let encoded = frame.encode().unwrap();
        let (header, body) = encoded.split_first_chunk::<HEADER_BYTES>().unwrap();
        prop_assert_eq!(body_len(*header), Ok(body.len()));
        prop_assert_eq!(Frame::decode(body), Ok(frame));
    }

    #[test]
    fn noise_is_answered_without_a_panic(body in vec(any::<u8>(), 0..200)) {
        if let Ok(frame) = Frame::decode(&body) {
            // What is taken for a frame is one.
            let again = frame.encode().unwrap();
            prop_assert_eq!(Frame::decode(&again[HEADER_BYTES..]), Ok(frame));
        }
    }

    #[test]
    fn a_damaged_frame_is_answered_without_a_panic(
        frame in frame(), at in any::<prop::sample::Index>(), put in any::<u8>(), cut in any::<bool>(),
    ) {
        let mut body = frame.encode().unwrap().split_off(HEADER_BYTES);
        let at = at.index(body.len());
        body[at] = put;
        if cut {
            body.truncate(at);
        }
        let _ = Frame::decode(&body);
    }

    #[test]
    fn a_frame_over_size_is_refused_before_it_is_read(length in any::<u32>()) {
        let told = body_len(length.to_be_bytes());
        prop_assert_eq!(told.is_ok(), length as usize <= MAX_BODY_BYTES);
    }
}

#[test]
fn a_long_frame_is_not_sent() {
    let fits = Frame::Chunk(vec![0; MAX_BODY_BYTES - 1]);
    assert_eq!(fits.encode().unwrap().len(), HEADER_BYTES + MAX_BODY_BYTES);
    let long = Frame::Chunk(vec![0; MAX_BODY_BYTES]);
    let bytes = MAX_BODY_BYTES + 1;
    assert_eq!(long.encode(), Err(WireError::TooLong { bytes }));
}

#[test]
fn nesting_is_refused_without_a_crash() {
    let mut body = vec![1];
    body.extend("[".repeat(60_000).into_bytes());
    assert!(Frame::decode(&body).is_err());
    let deep = format!(
        "{{\"version\":1,\"tool_host\":\"/x\",\"x\":{}",
        "[".repeat(60_000)
    );
    let body = [&[1], deep.as_bytes()].concat();
    assert!(Frame::decode(&body).is_err());
}
