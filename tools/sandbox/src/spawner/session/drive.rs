//! Drives an open stream until it is closed or lost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, BufReader, BufWriter};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};

use super::Order;
use crate::spawner::calls::{Calls, Unasked};
use crate::spawner::framing::{self, FramingError};
use crate::spawner::mux::{Mux, Violation};
use crate::spawner::wire::{Channel, Frame};
use crate::spawner::{Engine, Input, Output, readable};

/// How often the inside is asked whether it is there.
const PING_INTERVAL: Duration = Duration::from_secs(10);

/// How long it may say nothing: a machine that vanished ends no stream.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a closing inside may take to kill what runs in it.
const BYE_TIMEOUT: Duration = Duration::from_secs(8);

/// How long the engine may then take to remove its container.
const END_TIMEOUT: Duration = Duration::from_secs(8);

/// How long a lost engine may take to end by itself, which tells more than that it was killed.
const LOST_TIMEOUT: Duration = Duration::from_secs(1);

/// What is driven.
pub(super) struct Driven {
    pub(super) engine: Box<dyn Engine>,
    pub(super) stdin: BufWriter<Input>,
    pub(super) stdout: BufReader<Output>,
    pub(super) mux: Mux,
    pub(super) calls: Arc<Calls>,
    pub(super) orders: mpsc::UnboundedReceiver<Order>,
    pub(super) is_over: watch::Sender<bool>,
}

/// Why the stream cannot be gone on with.
#[derive(Debug, thiserror::Error)]
enum LostError {
    #[error("its stream ended")]
    Ended,
    #[error(transparent)]
    Framing(#[from] FramingError),
    #[error("it sent {0}")]
    Violation(#[from] Violation),
    #[error("it sent {0}")]
    Unasked(#[from] Unasked),
    #[error("it sent a frame that is not its to send")]
    Misplaced,
    #[error("it sent an answer to a ping that was not sent")]
    Pong,
    #[error("it said nothing for {} s", .0.as_secs())]
    Silent(Duration),
    #[error("{0}")]
    Broken(String),
}

enum End {
    Closed,
    Lost(LostError),
}

pub(super) async fn drive(driven: Driven) {
    let Driven {
        mut engine,
        stdin,
        stdout,
        mux,
        calls,
        orders,
        is_over,
    } = driven;
    let end = converse(stdin, stdout, &mux, &calls, orders).await;
    let why = match end {
        End::Closed => {
            mux.fail("it is closed");
            engine.end(END_TIMEOUT).await;
            "it is closed".to_owned()
        }
        End::Lost(error) => {
            let grace = match error {
                LostError::Ended | LostError::Framing(FramingError::Stream(_)) => LOST_TIMEOUT,
                _ => Duration::ZERO,
            };
            let ended = engine.end(grace).await;
            let why = engine.why_lost().await;
            why.unwrap_or_else(|| format!("{error}; {ended}"))
        }
    };
    mux.fail(&why);
    calls.give_up();
    // Nobody may be waiting for it.
    let _ = is_over.send(true);
}

/// Until the stream ends. It owns the stream, so that the inside sees its end too.
async fn converse(
    mut stdin: BufWriter<Input>,
    mut stdout: BufReader<Output>,
    mux: &Mux,
    calls: &Calls,
    mut orders: mpsc::UnboundedReceiver<Order>,
) -> End {
    let mut talk = std::pin::pin!(talk(&mut stdin, &mut stdout, mux, calls));
    let order = tokio::select! {
        lost = &mut talk => return End::Lost(lost),
        order = orders.recv() => order,
    };
    match order {
        Some(Order::BreakOff(why)) => End::Lost(LostError::Broken(why)),
        Some(Order::Close) | None => {
            mux.send(Frame::Bye);
            // It ends the stream when it is done; what else it does then is no matter.
            let _ = timeout(BYE_TIMEOUT, talk).await;
            End::Closed
        }
    }
}

async fn talk(
    stdin: &mut (impl AsyncWrite + Unpin),
    stdout: &mut (impl AsyncRead + Unpin),
    mux: &Mux,
    calls: &Calls,
) -> LostError {
    let pulse = Pulse::new();
    tokio::select! {
        lost = listen(stdout, mux, calls, &pulse) => lost,
        lost = speak(stdin, mux) => lost,
        lost = keep_alive(mux, &pulse, PING_INTERVAL, SILENCE_TIMEOUT) => lost,
    }
}

async fn listen(
    stdout: &mut (impl AsyncRead + Unpin),
    mux: &Mux,
    calls: &Calls,
    pulse: &Pulse,
) -> LostError {
    loop {
        let taken = match framing::read(stdout).await {
            Ok(None) => return LostError::Ended,
            Ok(Some(frame)) => take(frame, mux, calls, pulse),
            Err(error) => return error.into(),
        };
        if let Err(error) = taken {
            return error;
        }
        pulse.beat();
    }
}

fn take(frame: Frame, mux: &Mux, calls: &Calls, pulse: &Pulse) -> Result<(), LostError> {
    let Some(frame) = mux.receive(frame)? else {
        return Ok(());
    };
    match frame {
        Frame::Started { id } => calls.started(id)?,
        Frame::Refused { id, why } => {
            calls.refused(id, readable(why.as_bytes()))?;
            mux.forget_outgoing(id, Channel::Stdin);
            mux.forget_incoming(id, Channel::Stdout);
            mux.forget_incoming(id, Channel::Stderr);
        }
        Frame::Exit { id, exit } => {
            calls.exited(id, exit)?;
            mux.forget_outgoing(id, Channel::Stdin);
        }
        Frame::Pong if pulse.asked.swap(false, Ordering::Relaxed) => {}
        Frame::Pong => return Err(LostError::Pong),
        _ => return Err(LostError::Misplaced),
    }
    Ok(())
}

async fn speak(stdin: &mut (impl AsyncWrite + Unpin), mux: &Mux) -> LostError {
    match framing::write_all(mux, stdin).await {
        // What the inside said last may still be on its way to us, and tells more.
        Err(FramingError::Stream(_)) => {
            tokio::time::sleep(LOST_TIMEOUT).await;
            LostError::Ended
        }
        Err(error) => error.into(),
        Ok(()) => LostError::Ended,
    }
}

/// Asks whether the inside is there, one question at a time.
async fn keep_alive(mux: &Mux, pulse: &Pulse, interval: Duration, limit: Duration) -> LostError {
    loop {
        tokio::time::sleep(interval).await;
        if pulse.silence() > limit {
            return LostError::Silent(limit);
        }
        if !pulse.asked.swap(true, Ordering::Relaxed) {
            mux.send(Frame::Ping);
        }
    }
}

/// When the inside was last heard, and whether it owes an answer.
struct Pulse {
    heard: Mutex<Instant>,
    asked: AtomicBool,
}

impl Pulse {
    fn new() -> Self {
        Self {
            heard: Mutex::new(Instant::now()),
            asked: AtomicBool::new(false),
        }
    }

    fn beat(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn silence(&self) -> Duration {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spawner::mux::Side;

    const TICK: Duration = Duration::from_millis(1);

    #[tokio::test]
    async fn an_inside_that_never_answers_is_given_up_after_one_question() {
        let (mux, pulse) = (Mux::new(Side::Host), Pulse::new());
        let lost = keep_alive(&mux, &pulse, TICK, 20 * TICK).await;
        assert!(matches!(lost, LostError::Silent(_)), "{lost}");
        assert_eq!(mux.try_next(), Some(Frame::Ping));
        assert_eq!(mux.try_next(), None);
    }

    #[tokio::test]
    async fn one_that_answers_is_asked_again() {
        let (mux, pulse) = (Mux::new(Side::Host), Pulse::new());
        let calls = Calls::default();
        let answering = async {
            for _ in 0..5 {
                assert_eq!(mux.next().await, Frame::Ping);
                take(Frame::Pong, &mux, &calls, &pulse).unwrap();
                pulse.beat();
            }
        };
        let patience = Duration::from_secs(20);
        tokio::select! {
            lost = keep_alive(&mux, &pulse, TICK, patience) => panic!("{lost}"),
            () = answering => {}
        }
        assert!(take(Frame::Pong, &mux, &calls, &pulse).is_err());
    }
}
